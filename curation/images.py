"""From the bytes of an image to an upright RGB picture and its facts; bytes that are no image become a reason."""

from __future__ import annotations

import hashlib
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

# The plugins are imported by name, so that Pillow never loads those that start other programs (EPS starts ghostscript).
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from curation.signatures import describe_content
from curation.values import ImageFacts

PixelArray = NDArray[np.uint8]

_FORMATS = tuple(
    plugin.format
    for plugin in (
        AvifImagePlugin.AvifImageFile,
        BmpImagePlugin.BmpImageFile,
        GifImagePlugin.GifImageFile,
        Jpeg2KImagePlugin.Jpeg2KImageFile,
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        PpmImagePlugin.PpmImageFile,
        TiffImagePlugin.TiffImageFile,
        WebPImagePlugin.WebPImageFile,
    )
)

# What Pillow's readers raise on damaged data: found by altering files of every format at random. Caught around
# Pillow's own calls alone, so that a mistake of ours is never taken for a damaged image.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    TypeError,  # TIFF without dimensions
    OverflowError,
    RuntimeError,  # AVIF
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

_ORIENTATION_TAG = 0x0112  # EXIF 2.32, section 4.6.4
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)  # orientations that exchange width and height

_JPEGS = ("JPEG", "MPO")  # MPO: what cameras write as .jpg, a JPEG with a second one behind it
_DRAFT_RESERVE = 2  # a JPEG is decoded at no less than twice the size asked for, so that bicubic does the filtering
_BICUBIC_REACH = 2  # half the width of Pillow's bicubic kernel, in pixels of the coarser of the two grids

_FLAT = 1e-30  # a range of grey values as small as this is one value (and 255 divided by it is no float32)

_PILLOW_LOCK = threading.RLock()  # Pillow's pixel limit and Python's warning filters belong to the whole process


@dataclass(frozen=True, slots=True)
class Decoded:
    """An upright RGB image and its facts; `image` is None exactly when `facts.reason` is set."""

    image: Image.Image | None
    facts: ImageFacts


def decode(data: bytes, max_pixels: int, target_px: int | None = None) -> Decoded:
    """Decode the first frame of an image: upright, RGB, transparency on white.

    Never raises for bad data: `facts.reason` says what is wrong with it. An image of more than `max_pixels` is refused
    from its header. Where only `target_px` pixels of the shorter side are needed, a large JPEG is decoded at a
    fraction of its size; `facts` tell the full size all the same.
    """
    facts = ImageFacts(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    if not data:
        return Decoded(None, replace(facts, reason="the file is empty"))
    with _quiet_pillow():
        try:
            image = _open(data)
        except _DAMAGE as error:
            return Decoded(None, replace(facts, reason=_reason(error, data)))
        header_size = image.size
        facts = replace(
            facts, format=image.format or "", mode=image.mode, width_px=header_size[0], height_px=header_size[1]
        )
        if math.prod(header_size) > max_pixels:
            return Decoded(None, replace(facts, reason=_too_many_pixels(header_size, max_pixels)))
        try:
            Image.MAX_IMAGE_PIXELS = max_pixels  # for sizes that hide behind the header; `_quiet_pillow` restores it
            frames, orientation = _load(image, target_px)
        except _DAMAGE as error:
            return Decoded(None, replace(facts, reason=_reason(error, data)))
        try:
            upright = _upright(_to_rgb(image), orientation)
        except (ValueError, OSError, MemoryError) as error:  # no way from this mode to RGB, or no memory for it
            return Decoded(None, replace(facts, reason=_reason(error, data)))
    width_px, height_px = upright.size
    if image.format in _JPEGS:  # may have been decoded at a fraction of its size
        width_px, height_px = header_size[::-1] if orientation in _LYING else header_size
    return Decoded(upright, replace(facts, width_px=width_px, height_px=height_px, frames=frames))


def square_pixels(image: Image.Image, input_px: int, crop_share: float) -> PixelArray:
    """The square an encoder sees: uint8 RGB of shape (input_px, input_px, 3).

    The standard evaluation transform of timm and open_clip: bicubic resize so that the shorter side has
    round(input_px / crop_share) pixels, then the centre. Only the part that the centre needs is resized, with the
    same sampling points, so an image of 1 x 10,000 px costs no more than a square one.
    """
    if not 0 < crop_share <= 1:
        raise ValueError(f"crop_share must lie in (0, 1], got {crop_share}")
    shorter_px = shorter_side_px(input_px, crop_share)
    shorter_of_image = min(image.size)
    spans = [_span(side, shorter_of_image, shorter_px, input_px) for side in image.size]
    horizontal, vertical = spans
    window = image.resize(
        (horizontal.stop - horizontal.start, vertical.stop - vertical.start),
        Image.Resampling.BICUBIC,
        box=(
            horizontal.start * horizontal.scale,
            vertical.start * vertical.scale,
            min(horizontal.stop * horizontal.scale, image.width),  # rounding must not lead outside
            min(vertical.stop * vertical.scale, image.height),
        ),
    )
    left, top = horizontal.crop - horizontal.start, vertical.crop - vertical.start
    return np.asarray(window.crop((left, top, left + input_px, top + input_px)))


def shorter_side_px(input_px: int, crop_share: float) -> int:
    """Pixels of the shorter side before the centre crop."""
    return round(input_px / crop_share)


@dataclass(frozen=True, slots=True)
class _Span:
    """One axis of the resized image: the window [start, stop) that is computed, the first pixel of the crop, and how
    many pixels of the image one of its pixels covers."""

    start: int
    stop: int
    crop: int
    scale: float


def _span(side_px: int, shorter_of_image: int, shorter_px: int, input_px: int) -> _Span:
    resized_px = side_px * shorter_px // shorter_of_image  # rounded down, as torchvision does
    scale = side_px / resized_px
    crop = round((resized_px - input_px) / 2)
    reach = math.ceil(_BICUBIC_REACH * max(1.0, 1 / scale)) + 1
    return _Span(max(0, crop - reach), min(resized_px, crop + input_px + reach), crop, scale)


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """No warning leaves Pillow, and its pixel limit is ours alone while we decode."""
    with _PILLOW_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None  # opening reads the header only; the size is judged right after
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _open(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data), formats=_FORMATS)


def _load(image: Image.Image, target_px: int | None) -> tuple[int, int]:
    """Decode the first frame in place; returns the number of frames and the orientation that is left to apply."""
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if target_px is not None:
        image.draft("RGB", (_DRAFT_RESERVE * target_px, _DRAFT_RESERVE * target_px))
    image.load()
    return frames, _orientation(image)


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except _DAMAGE:  # damaged EXIF does not spoil a picture: it is taken as upright, as browsers do
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(opaque, mask=opaque.getchannel("A"))
        return white
    return image.convert("RGB")


def _to_eight_bits(values: NDArray[np.generic], mode: str) -> PixelArray:
    """Grey values of more than eight bits, scaled and never clipped, as uint8.

    16-bit modes use their whole range. The range of 32-bit and float values is not recorded anywhere, so it is guessed:
    [0, 1] (float only), 8 or 16 bits where all values fit and nothing is negative, else from smallest to largest.
    """
    grey = values.astype(np.float32)
    grey[~np.isfinite(grey)] = 0.0
    low, high = 0.0, 65535.0
    if mode in ("I", "F"):
        ranges = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
        least, most = float(grey.min()), float(grey.max())
        fitting = [top for top in ranges if least >= 0 and most <= top]
        low, high = (0.0, fitting[0]) if fitting else (least, most)
    factor = 255.0 / (high - low) if high - low > _FLAT else 0.0
    grey *= factor  # in place: an image at the pixel limit takes 320 MB in float32
    grey -= low * factor
    return np.rint(grey, out=grey).astype(np.uint8)


def _too_many_pixels(size: tuple[int, int], max_pixels: int) -> str:
    return f"{size[0]} x {size[1]} pixels are more than the limit of {max_pixels} (decompression bomb?)"


def _reason(error: Exception | Warning, data: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        return describe_content(data)
    if isinstance(error, MemoryError):
        return "decoding needs more memory than there is"
    detail = str(error).strip() or type(error).__name__
    return f"truncated or damaged image: {detail}"

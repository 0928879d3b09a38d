"""A fingerprint of what a picture shows: small grey copies of it, with and without its frame.

It is made where the pixels are anyway, in the decoding processes; `curation.duplicates` compares it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.image_quality import GreyArray

FINGERPRINT_PX = 32  # 1 KiB a copy; 48 px told standing from slowly moving video frames no better

_BLANK = 2.0  # standard deviation in grey levels; below, there is nothing but noise to compare
_FRAME_TOLERANCE = 6.0  # grey levels a frame may deviate from its first line: JPEG of quality 30 makes 2 to 4
_WIDEST_FRAME = 0.35  # of a side: a film of 2.35 : 1 in a square has 0.29
_EDGE_PX = 1  # where frame and picture meet, resampling has mixed them

_OUTLINE = 8  # lowest frequencies of each axis
_TINY = 1e-6

# The cosine transform (DCT-II), its rows of equal length.
_PLACES = np.arange(FINGERPRINT_PX) + 0.5
_WAVES = np.cos(np.pi / FINGERPRINT_PX * np.arange(_OUTLINE)[:, None] * _PLACES).astype(np.float32)
_WAVES[0] /= np.sqrt(2)


def fingerprint_of(grey: GreyArray) -> bytes:
    """One or two grey copies of 32 x 32 bytes: of the whole picture and, where it has one, without its uniform frame.

    `grey` is uint8 of shape (H, W). A blank picture has an empty fingerprint: it equals only its own file.
    """
    if grey.std() < _BLANK:
        return b""
    image = Image.fromarray(grey)
    whole = (0, 0, image.width, image.height)
    inner = picture_box(grey)
    boxes = [whole] if inner == whole else [whole, inner]
    size = (FINGERPRINT_PX, FINGERPRINT_PX)
    # Cut out first: a box given to `resize` would let the filter reach into the frame.
    return b"".join(image.crop(box).resize(size, Image.Resampling.LANCZOS).tobytes() for box in boxes)


def picture_box(grey: GreyArray) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what lies within a frame of one grey, in pixels; the whole where there is none."""
    height, width = grey.shape
    values = grey.astype(np.float32)
    left, right = _frame_px(values.T), width - _frame_px(values.T[::-1])
    top, bottom = _frame_px(values), height - _frame_px(values[::-1])
    return (left, top, right, bottom) if left < right and top < bottom else (0, 0, width, height)


def _frame_px(lines: NDArray[np.float32]) -> int:
    """How many lines from the first on are part of a frame, the mixed one behind it included."""
    widest = int(_WIDEST_FRAME * len(lines))
    deviations = np.sqrt(np.square(lines[: widest + 1] - lines[0].mean()).mean(axis=1))
    picture = np.flatnonzero(deviations > _FRAME_TOLERANCE)
    frame = int(picture[0]) if len(picture) else widest
    return frame + _EDGE_PX if frame else 0


def thumbnails(fingerprints: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """All grey copies, uint8 of shape (T, 32, 32), and for each the position of its fingerprint, shape (T,)."""
    copies = np.frombuffer(b"".join(fingerprints), dtype=np.uint8).reshape(-1, FINGERPRINT_PX, FINGERPRINT_PX)
    counts = [len(fingerprint) // FINGERPRINT_PX**2 for fingerprint in fingerprints]
    return copies, np.repeat(np.arange(len(fingerprints)), counts)


def outlines(copies: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Vectors that are near for near copies: unit-norm float32, shape (T, 64), the same for a mirror image.

    The lowest frequencies of the cosine transform (as in perceptual hashes), brightness left out; those that are odd
    from left to right change their sign in the mirror, so only their size counts.
    """
    frequencies = _WAVES @ copies.astype(np.float32) @ _WAVES.T
    frequencies[:, 0, 0] = 0
    frequencies[:, :, 1::2] = np.abs(frequencies[:, :, 1::2])
    vectors = frequencies.reshape(-1, _OUTLINE**2)
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
    return unit

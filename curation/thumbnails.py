"""Small JPEGs of whole pictures, decoded in guarded processes: a bad image costs its own picture and nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from curation.decoding import DecodingPool, ImageReference, decode_images, processes_for
from curation.decoding_worker import DecodedImage, DecodeSettings
from curation.images import PixelArray, decode
from curation.progress import Progress, silent
from curation.sources.location import UnreadableImageError, read_bytes
from curation.values import ImageFacts

if TYPE_CHECKING:
    from curation.config import ImagesConfig


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """A JPEG and its size, or the reason why there is none, empty bytes and no size."""

    data: bytes
    width_px: int
    height_px: int
    reason: str = ""


def draw_pictures(
    references: Iterable[ImageReference],
    longest_px: int,
    quality: int,
    config: ImagesConfig,
    progress: Progress = silent,
    pool: DecodingPool | None = None,
) -> dict[str, SmallPicture]:
    """SHA-256 -> JPEG within `longest_px` of every image, each decoded once; never raises for a bad one.

    `quality` is JPEG's. No picture is enlarged. `pool`: processes of `picture_pool`, else they are started for this.
    """
    distinct = list({reference.sha256: reference for reference in references}.values())
    drawn: dict[str, SmallPicture] = {}
    decoding = decode_images(
        distinct, input_px=longest_px, crop_share=1.0, config=config, decode=decode_whole_picture, pool=pool
    )
    with closing(decoding) as batches:
        for batch in batches:
            pixels = dict(zip(batch.rows.tolist(), batch.pixels, strict=True))
            for row, facts in enumerate(batch.facts):
                drawn[facts.sha256] = _small_picture(facts, pixels.get(row), longest_px, quality)
            progress("drawing pictures", len(drawn), len(distinct))
    return drawn


def picture_pool(config: ImagesConfig) -> DecodingPool:
    """Processes for callers who draw a few pictures at a time, often; to be closed."""
    return DecodingPool(processes_for(config), decode_whole_picture, config.timeout_s)


def decode_whole_picture(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """The whole picture in the upper left corner of the square; an encoder's square would cut off its sides."""
    try:
        data = read_bytes(reference.uri)
    except UnreadableImageError as error:
        return DecodedImage(ImageFacts(sha256=reference.sha256, reason=error.reason), None)
    decoded = decode(data, settings.max_pixels, settings.input_px)
    if decoded.facts.sha256 != reference.sha256:
        reason = "changed since it was ingested; ingest its source again"
        return DecodedImage(ImageFacts(sha256=reference.sha256, reason=reason), None)
    if decoded.image is None:
        return DecodedImage(decoded.facts, None)
    size = fitted_size(decoded.facts.width_px, decoded.facts.height_px, settings.input_px)
    square = Image.new("RGB", (settings.input_px, settings.input_px))
    square.paste(decoded.image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))
    return DecodedImage(decoded.facts, np.asarray(square))


def fitted_size(width_px: int, height_px: int, side_px: int) -> tuple[int, int]:
    """The size in a square of `side_px` with the same proportions; never larger than it was, at least one pixel."""
    scale = min(1.0, side_px / max(width_px, height_px))
    return _scaled(width_px, scale), _scaled(height_px, scale)


def _scaled(length_px: int, scale: float) -> int:
    return max(1, round(length_px * scale))


def _small_picture(facts: ImageFacts, pixels: PixelArray | None, longest_px: int, quality: int) -> SmallPicture:
    if pixels is None:
        return SmallPicture(b"", 0, 0, facts.reason or "it has no pixels")
    width_px, height_px = fitted_size(facts.width_px, facts.height_px, longest_px)
    data = io.BytesIO()
    Image.fromarray(pixels[:height_px, :width_px]).save(data, "JPEG", quality=quality, optimize=True)
    return SmallPicture(data.getvalue(), width_px, height_px)

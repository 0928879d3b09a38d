"""Format `csv`: only the tables; the images stay where they are and are read through their `uri`."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

from curation.export.storage import CheckedImage, PlacedSample, Placement, StorageOptions
from curation.values import CleanedSample


def write_images(_folder: Path, images: Iterable[CheckedImage], _options: StorageOptions) -> Generator[PlacedSample]:
    """Write nothing; the sizes are noted."""
    for sample, data in images:
        yield PlacedSample(sample, Placement("", 0, len(data)))


def image_uri(_folder: Path, sample: CleanedSample, _placement: Placement) -> str:
    """Where the bytes were when the set was exported."""
    return sample.uri

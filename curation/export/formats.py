"""The export formats by name. A new one is a file with `write_images` and `image_uri`, a line here, and a test."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from curation.errors import ExportError
from curation.export import hugging_face, imagefolder, parquet, uri_list, webdataset
from curation.export.storage import CheckedImage, PlacedSample, Placement, StorageOptions
from curation.values import CleanedSample


@dataclass(frozen=True, slots=True)
class Format:
    """How images are laid out in a folder, and found again.

    `write_images(folder, images, options)` consumes the images one by one and answers each with its placement.
    `image_uri(folder, sample, placement)` says where its bytes are now (`curation.sources.location`).
    `holds_images` is False where the bytes stay at their `uri`.
    """

    write_images: Callable[[Path, Iterable[CheckedImage], StorageOptions], Generator[PlacedSample]]
    image_uri: Callable[[Path, CleanedSample, Placement], str]
    holds_images: bool = True


FORMATS = {
    "imagefolder": Format(imagefolder.write_images, imagefolder.image_uri),
    "csv": Format(uri_list.write_images, uri_list.image_uri, holds_images=False),
    "parquet": Format(parquet.write_images, parquet.image_uri),
    "webdataset": Format(webdataset.write_images, webdataset.image_uri),
    "hf": Format(hugging_face.write_images, parquet.image_uri),
}


def find_format(name: str) -> Format:
    """The format called `name`; raises `ExportError` that lists the names there are."""
    if name not in FORMATS:
        raise ExportError(f"unknown export format {name!r}.", hint=f"Formats are {', '.join(FORMATS)}.")
    return FORMATS[name]

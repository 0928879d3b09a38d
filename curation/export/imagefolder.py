"""Format `imagefolder`: one folder a category with the original bytes as files, as torchvision's ImageFolder reads it.

The parts of a split are folders above them: `train/<category>/`.

ImageFolder numbers the folders it finds from 0 in alphabetical order; `samples.csv` has the category ids that stay the
same over all exports.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from pathlib import Path

from curation.export.names import file_name, image_suffix
from curation.export.storage import CheckedImage, PlacedSample, Placement, StorageOptions
from curation.sources.location import file_uri, path_of
from curation.values import CleanedSample

PASSED_OVER_BY_TORCHVISION = (".gif", ".avif", ".jp2", ".bin")  # not in torchvision 0.29's IMG_EXTENSIONS


def write_images(folder: Path, images: Iterable[CheckedImage], options: StorageOptions) -> Generator[PlacedSample]:
    """Write every image as `<category folder>/<name>-<sample id>.<suffix>`; a hard link where asked and possible."""
    for sample, data in images:
        category_folder = folder / (sample.split or "") / options.folders[sample.category]
        category_folder.mkdir(parents=True, exist_ok=True)
        target = category_folder / file_name(sample, image_suffix(data))
        linked = options.hard_links and _link(sample.uri, target)
        if not linked:
            target.write_bytes(data)
        yield PlacedSample(sample, Placement(target.relative_to(folder).as_posix(), 0, len(data), linked))


def image_uri(folder: Path, _sample: CleanedSample, placement: Placement) -> str:
    """Where the bytes of one image of such a folder are."""
    return file_uri(folder / placement.file)


def _link(uri: str, target: Path) -> bool:
    """Link the plain file behind `uri` to `target`; False where that is not possible and the bytes must be copied.

    Not possible: bytes inside a tar or a Parquet file, another file system, a file system without links, a file of
    somebody else (Linux refuses to link those), too many links.
    """
    if not uri.startswith("file://") or "#" in uri:
        return False
    try:
        target.hardlink_to(os.path.realpath(path_of(uri)))
    except OSError:
        return False
    return True

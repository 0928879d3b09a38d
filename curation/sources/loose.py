"""Images of no category as a source: one file, or every image anywhere below a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from curation.sources.folder import IMAGE_SUFFIXES, list_loose, why_not_an_image
from curation.sources.folder import accepts as has_folders
from curation.sources.location import file_uri, file_version, readable_text
from curation.values import SourceEntry

EXPECTS = "an image file or a folder of images"


def accepts(path: Path) -> bool:
    """Whether `path` is an image, or a folder with images or visible subfolders directly in it."""
    if path.is_dir():
        return has_folders(path) or any(child.suffix.lower() in IMAGE_SUFFIXES for child in path.iterdir())
    return path.is_file() and why_not_an_image(path) is None


def list_entries(path: Path, ignored: Counter[str]) -> Iterator[SourceEntry]:
    """Every image in the order of its path, named by its path below the folder; the rest is counted in `ignored`."""
    if path.is_dir():
        yield from list_loose(path, ignored)
    else:
        yield SourceEntry(readable_text(path.name), "", file_uri(path), file_version(path))

"""A folder tree `category/**/image.jpg` as a source: the first-level folder is the category."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curation.errors import SourceError
from curation.signatures import HEAD_BYTES, image_format
from curation.sources.location import UnreadableImageError, file_uri, file_version, open_regular, readable_text
from curation.values import SourceEntry

EXPECTS = "a folder with one subfolder per category"

# Names that claim to be images. Formats that cannot be decoded are among them on purpose: such a file was meant as an
# image, so it becomes a row with its reason instead of being passed over.
IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff", "avif"),
        *("jp2", "j2k", "pbm", "pgm", "ppm", "pnm"),
        *("heic", "heif", "jxl", "svg"),  # cannot be decoded
    )
)

_Identity = tuple[int, int]  # device and inode of a folder


def accepts(path: Path) -> bool:
    """Whether `path` is a folder with visible subfolders."""
    return path.is_dir() and any(
        _is_folder(entry) and not entry.name.startswith(".") for entry in _sorted_entries(path)
    )


def list_entries(path: Path, ignored: Counter[str]) -> Iterator[SourceEntry]:
    """Every image of the tree in the order of its path; what is passed over is counted in `ignored` by reason."""
    root = path.absolute()
    try:
        top = _sorted_entries(root)
    except OSError as error:
        raise SourceError(
            f"the folder {root} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    for entry in top:
        if entry.name.startswith("."):
            ignored["hidden"] += 1
        elif _is_folder(entry):
            category = _Category(root, readable_text(entry.name), {_identity(root)}, ignored)
            yield from category.entries(Path(entry.path))
        else:
            ignored["outside any category folder"] += 1


def list_loose(folder: Path, ignored: Counter[str]) -> Iterator[SourceEntry]:
    """Every image anywhere below `folder`, of no category (""), in the order of its path."""
    yield from _Category(folder.absolute(), "", set(), ignored).entries(folder.absolute())


@dataclass(frozen=True, slots=True)
class _Category:
    """One category folder while it is walked; `visited` keeps a loop of links from being followed for ever."""

    root: Path
    name: str
    visited: set[_Identity]
    ignored: Counter[str]

    def entries(self, folder: Path) -> Iterator[SourceEntry]:
        try:
            identity = _identity(folder)
            children = _sorted_entries(folder)
        except OSError as error:
            self.ignored[f"folder that cannot be read ({error.strerror})"] += 1
            return
        if identity in self.visited:
            self.ignored["link to a folder that is listed already"] += 1
            return
        self.visited.add(identity)
        # Linked folders come last: where a folder can be reached by its own path, it is listed under that.
        for child in sorted(children, key=lambda child: child.is_symlink() and _is_folder(child)):
            yield from self._child(child)

    def _child(self, child: os.DirEntry[str]) -> Iterator[SourceEntry]:
        if child.name.startswith("."):
            self.ignored["hidden"] += 1
        elif _is_folder(child):
            yield from self.entries(Path(child.path))
        elif (reason := why_not_an_image(Path(child.path))) is not None:
            self.ignored[reason] += 1
        else:
            yield self._entry(Path(child.path))

    def _entry(self, file: Path) -> SourceEntry:
        return SourceEntry(
            image_id=readable_text(file.relative_to(self.root).as_posix()),
            category=self.name,
            uri=file_uri(file),
            version=file_version(file),
        )


def why_not_an_image(file: Path) -> str | None:
    """None for an image by name or by its first bytes, else the reason to pass it over."""
    suffix = file.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return None
    try:
        with open_regular(file) as opened:
            head = opened.read(HEAD_BYTES)
    except (OSError, UnreadableImageError):
        head = b""
    kind = readable_text(suffix) or "no suffix"
    return None if image_format(head) else f"not an image by name or content ({kind})"


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _identity(folder: Path) -> _Identity:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino

"""Names of folders and files in an export: readable, safe on any file system, never the same twice."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath

from curation.signatures import HEAD_BYTES, image_format
from curation.values import CleanedSample

SIMILARITY_NETWORK = "similarity.safetensors"
CARD = "README.md"

_RESERVED = frozenset(
    {
        "manifest.json",
        "samples.csv",
        "categories.csv",
        "set_aside.csv",
        "review.csv",
        SIMILARITY_NETWORK,
        CARD.casefold(),
    }
)
_UNSAFE = re.compile(r"[^\w ,()+&'.-]")  # \w holds the letters of every script
_LONGEST_BYTES = 100  # file systems allow 255 for a name; ours add a sample id and a suffix

_IMAGE_SUFFIXES = frozenset(
    [
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "png",
        "gif",
        "webp",
        "bmp",
        "tif",
        "tiff",
        "avif",
        "heic",
        "heif",
        "jp2",
        "jxl",
        "ppm",
        "pgm",
        "pbm",
        "pnm",
        "ico",
        "bin",
    ]
)
_SUFFIXES = {
    "JPEG": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "WebP": "webp",
    "BMP": "bmp",
    "TIFF": "tif",
    "JPEG 2000": "jp2",
    "AVIF": "avif",
}
_PORTABLE_ANYMAP = re.compile(rb"P[1-6]\s")


def image_suffix(data: bytes) -> str:
    """The suffix that belongs to these bytes, whatever their file was called: "jpg", "png"; "bin" where unknown."""
    if _PORTABLE_ANYMAP.match(data):
        return "ppm"
    return _SUFFIXES.get(image_format(data[:HEAD_BYTES]) or "", "bin")


def category_folders(categories: Mapping[str, int]) -> dict[str, str]:
    """The folder name of every category: its own name where that is safe and free, else made safe with its id added.

    Names that differ only in case count as the same. Ids never change and new ones are larger, so a category keeps
    its folder name over all exports of a workspace.
    """
    folders: dict[str, str] = {}
    taken = set(_RESERVED)
    for category, category_id in sorted(categories.items(), key=lambda item: item[1]):
        stem = safe_name(category)
        folder = stem or str(category_id)
        while folder.casefold() in taken:
            folder = f"{folder}.{category_id}"
        taken.add(folder.casefold())
        folders[category] = folder
    return folders


def file_name(sample: CleanedSample, suffix: str) -> str:
    """A file name that shows the user's name of the image and cannot collide: it ends in the sample's id."""
    stem = PurePosixPath(sample.image_id.replace("\\", "/")).name
    head, _, tail = stem.rpartition(".")
    if head and tail.casefold() in _IMAGE_SUFFIXES:
        stem = head
    safe = safe_name(stem)
    return f"{safe}-{sample.sample_id}.{suffix}" if safe else f"{sample.sample_id}.{suffix}"


def safe_name(name: str) -> str:
    """`name` without what a file system or a shell trips over, at most 100 bytes of UTF-8; may be empty."""
    plain = _UNSAFE.sub("_", unicodedata.normalize("NFC", plain_text(name)))
    return plain.encode("utf-8")[:_LONGEST_BYTES].decode("utf-8", "ignore").strip(" .-")


def plain_text(text: str) -> str:
    """`text` as every UTF-8 format can hold it: bytes that were no UTF-8 (lone surrogates) become `\\udcXX`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

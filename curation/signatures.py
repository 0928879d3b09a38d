"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import re

HEAD_BYTES = 32  # enough for every signature below

_READABLE = "JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF", "JPEG 2000", "AVIF"

# (offset, bytes, name) of the signatures, from each format's specification.
_IMAGES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
)
_OTHERS = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "gzip-compressed data"),
    (4, b"ftyp", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"\0\0\1\0", "an icon file"),
)

_HTML = re.compile(rb"<(!doctype html|html|head|body|script|meta|title)\b", re.IGNORECASE)
_SVG = re.compile(rb"<svg\b", re.IGNORECASE)
_PROLOGUE_BYTES = 1024  # pages and drawings name themselves within their first lines


def image_format(head: bytes) -> str | None:
    """The name of the image format that the first `HEAD_BYTES` bytes announce; None where they announce none."""
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":  # two letters alone would catch text
        return "BMP"
    return _first_match(head, _IMAGES)


def describe_content(data: bytes) -> str:
    """Why bytes that no image reader accepts are not an image: one short sentence."""
    name = image_format(data[:HEAD_BYTES])
    if name in _READABLE:
        return f"truncated or damaged image: it begins as {name}, but its header cannot be read"
    if name is not None:
        return f"{name} is not a supported image format"
    other = _first_match(data, _OTHERS)
    if other is not None:
        return f"not an image: it looks like {other}"
    return _describe_text(data)


def _describe_text(data: bytes) -> str:
    prologue = data[:_PROLOGUE_BYTES]
    if not _is_text(prologue):
        return "not an image of a supported format"
    if _HTML.search(prologue):
        return "not an image: it looks like HTML"
    if _SVG.search(prologue):
        return "SVG is not a supported image format"
    return "not an image: it looks like text"


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3:  # more than a character cut in two at the end
            return False
        text = data[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\n\r\f\ufeff" for character in text)


def _first_match(data: bytes, signatures: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next((name for offset, mark, name in signatures if data.startswith(mark, offset)), None)

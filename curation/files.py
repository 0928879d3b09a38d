"""Files that are whole or not there: written beside, flushed to disk, renamed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def new_file(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file that becomes `path` when the block ends; a reader, or a kill at any moment, sees the old one or the new.

    What is not `durable`, fit for a cache, does not wait for the disk and may be lost or cut short with the power.
    Where the block raises, or writing does (`OSError`: no space, no permission), nothing is left behind; callers say
    what it means.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        flush_folder(path.parent)


def replace_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write `data` to `path` in one step; all else as `new_file`."""
    with new_file(path, durable=durable) as file:
        file.write(data)


def replace_text(path: Path, text: str) -> None:
    """`replace_bytes` for UTF-8 text."""
    replace_bytes(path, text.encode("utf-8"))


def file_digest(path: Path) -> str | None:
    """SHA-256 of what is in the file, 64 hex digits; `None` where there is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

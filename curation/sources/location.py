"""Where an image's bytes lie, written as a URI, and how they are read.

    file:///data/robin/1.jpg                                           a file
    file:///data/shard.tar#member=robin/1.jpg&offset=512&size=8123     a member of a tar archive
    file:///data/set.parquet#row=17                                    the column `image` of a Parquet row

Names that are not UTF-8 keep their bytes, percent-encoded.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, quote, unquote_to_bytes

# Above any photograph that `max_pixels` lets pass (80 megapixels of raw RGB have 240 MB), and little enough that every
# decoding process can hold one.
MAX_BYTES = 256 * 2**20

_REASONS = {
    errno.ENOENT: "the file has vanished",
    errno.ENOTDIR: "the file has vanished",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "symbolic link loop",
    errno.ENXIO: "not a regular file",  # a socket, a device without a driver
    errno.ENODEV: "not a regular file",
    errno.EISDIR: "not a regular file",
}


class UnreadableImageError(Exception):
    """The bytes of one image cannot be had; `reason` says why in one short sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def file_uri(path: Path) -> str:
    """The URI of a file."""
    return path.absolute().as_uri()


def member_uri(container: Path, member: str, offset: int, size: int) -> str:
    """The URI of a tar member whose `size` bytes begin at byte `offset` of `container`."""
    name = quote(os.fsencode(member), safe="/")
    return f"{file_uri(container)}#member={name}&offset={offset}&size={size}"


def row_uri(container: Path, row: int) -> str:
    """The URI of the image in row `row` (from 0) of a Parquet file."""
    return f"{file_uri(container)}#row={row}"


def path_of(uri: str) -> Path:
    """The file that a URI names: the image's own, or the container's."""
    scheme, _, rest = uri.partition("://")
    if scheme != "file" or not rest.startswith("/"):
        raise UnreadableImageError(f"not a location of an image: {uri}")
    return Path(os.fsdecode(unquote_to_bytes(rest.partition("#")[0])))


def file_version(path: Path) -> str:
    """A text that changes when the file's bytes may have changed: its size and modification time.

    Of a link that leads nowhere, those of the link; "missing" where there is nothing at all.
    """
    for follow in (True, False):
        try:
            facts = path.stat(follow_symlinks=follow)
        except (OSError, ValueError):
            continue
        return _version(facts)
    return "missing"


def readable_text(name: str) -> str:
    """A file name as valid Unicode: bytes that are not UTF-8 are percent-encoded, everything else stays."""
    return "".join(
        f"%{ord(character) - 0xDC00:02X}" if "\udc80" <= character <= "\udcff" else character for character in name
    )


def read_bytes(uri: str) -> bytes:
    """The bytes of one image; `UnreadableImageError` for everything that can be wrong with it.

    Only regular files are read, so a pipe or a device never blocks the reader.
    """
    path = path_of(uri)
    fields = {name: values[0] for name, values in parse_qs(uri.partition("#")[2], encoding="latin-1").items()}
    try:
        if "row" in fields:
            return _checked(_read_row(path, int(fields["row"])))
        if "offset" in fields:
            return _read_part(path, int(fields["offset"]), int(fields["size"]))
        return _read_file(path)
    except OSError as error:
        raise UnreadableImageError(_reason(error)) from error
    except (ValueError, KeyError) as error:  # a null byte in the name, a fragment that is no number
        raise UnreadableImageError(f"not a location of an image: {error}") from error


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file, opened without ever waiting; `UnreadableImageError` if it is anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableImageError("not a regular file")
        yield file


def _read_file(path: Path) -> bytes:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        _refuse_too_large(size)
        return _checked(file.read(size))


def _read_part(path: Path, offset: int, size: int) -> bytes:
    _refuse_too_large(size)
    with open_regular(path) as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) < size:
        raise UnreadableImageError(f"the archive ends inside the image: {len(data)} of {size} bytes are there")
    return _checked(data)


def _read_row(path: Path, row: int) -> bytes:
    from curation.sources.parquet_rows import read_row  # loads pyarrow, which readers of plain files do without

    with open_regular(path) as file:
        version = _version(os.fstat(file.fileno()))
    return read_row(path, version, row)


def _version(facts: os.stat_result) -> str:
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _checked(data: bytes) -> bytes:
    _refuse_too_large(len(data))
    if not data:
        raise UnreadableImageError("the file is empty")
    return data


def _refuse_too_large(size: int) -> None:
    if size > MAX_BYTES:
        raise UnreadableImageError(f"larger than {MAX_BYTES} bytes")


def _reason(error: OSError) -> str:
    return _REASONS.get(error.errno or 0, f"the file cannot be read: {error.strerror or error}")

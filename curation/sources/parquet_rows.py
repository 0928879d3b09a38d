"""Read the image of one Parquet row in bounded memory, fast for readers that go in row order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.parquet as pq

from curation.sources.location import UnreadableImageError

IMAGE_COLUMN = "image"

_ROWS_HELD = 64  # rows of images in memory at once for a row group that is too large to be held whole
_WHOLE_GROUP_BYTES = 64 * 2**20  # a row group of no more than this is held whole, so that any order of rows is fast
_FILES_OPEN = 4  # a reader of several shards goes back and forth between few of them
_NOWHERE = -1  # no row group has this number
_READ_BUFFER_BYTES = 2**20  # read pages as they are needed instead of whole column chunks


def read_row(path: Path, version: str, row: int) -> bytes:
    """The bytes in column `image` (binary, or a struct with `bytes`) of row `row`, counted from 0 over the file.

    `version` tells one state of the file from the next, so that a replaced file is opened anew.
    """
    try:
        return _open_reader(path, version).read(row)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableImageError(f"the Parquet file cannot be read: {_first_line(error)}") from error


def image_leaf(schema: pa.Schema) -> str:
    """The name of the column of bytes: `image`, or `image.bytes` where it is a struct as Hugging Face writes it."""
    return f"{IMAGE_COLUMN}.bytes" if pa.types.is_struct(schema.field(IMAGE_COLUMN).type) else IMAGE_COLUMN


class _RowReader:
    """An open Parquet file, with the rows around the last one asked for."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, buffer_size=_READ_BUFFER_BYTES, pre_buffer=False)
        metadata = self._file.metadata
        self._starts = [0]
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)
        self._leaf = image_leaf(self._file.schema_arrow)
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._group = _NOWHERE
        self._first = self._after = 0
        self._images: pa.Array = pa.array([])
        self._lock = Lock()  # a server's threads share the reader

    def read(self, row: int) -> bytes:
        if not 0 <= row < self._starts[-1]:
            raise UnreadableImageError(f"the Parquet file has {self._starts[-1]} rows, but row {row} was asked for")
        with self._lock:
            data = self._at(row)
        if not isinstance(data, bytes):
            raise UnreadableImageError("the row holds no image bytes")
        return data

    def _at(self, row: int) -> object:
        group = next(group for group, start in enumerate(self._starts[1:]) if row < start)
        if group != self._group or row < self._first:
            self._begin(group)
        while row >= self._after:
            self._advance()
        return self._images[row - self._first].as_py()

    def _begin(self, group: int) -> None:
        whole = self._bytes_of(group) <= _WHOLE_GROUP_BYTES
        rows = self._starts[group + 1] - self._starts[group]
        self._batches = self._file.iter_batches(
            batch_size=rows if whole else _ROWS_HELD, row_groups=[group], columns=[self._leaf], use_threads=False
        )
        self._group = group
        self._first = self._after = self._starts[group]

    def _advance(self) -> None:
        try:
            column = next(self._batches).column(0)
        except Exception:
            self._group = _NOWHERE  # the stream is broken: the next reader begins anew
            raise
        self._images = column.field(0) if pa.types.is_struct(column.type) else column
        self._first, self._after = self._after, self._after + len(self._images)

    def _bytes_of(self, group: int) -> int:
        columns = self._file.metadata.row_group(group)
        chunks = [columns.column(index) for index in range(columns.num_columns)]
        return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == self._leaf)


@lru_cache(maxsize=_FILES_OPEN)
def _open_reader(path: Path, version: str) -> _RowReader:  # noqa: ARG001 - part of the cache's key
    return _RowReader(path)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

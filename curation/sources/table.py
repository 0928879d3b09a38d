"""CSV and Parquet manifests as a source: one row per image, columns `image` and `category`."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from curation.errors import SourceError
from curation.sources.crawl_facts import CRAWL_COLUMNS, crawl_facts, optional_text
from curation.sources.location import file_uri, file_version, readable_text, row_uri
from curation.sources.parquet_rows import IMAGE_COLUMN
from curation.values import SourceEntry

EXPECTS = "a .csv or .parquet file, or a folder of them, with the columns image and category"

_CATEGORY_COLUMN = "category"
_REQUIRED = (IMAGE_COLUMN, _CATEGORY_COLUMN)
_OPTIONAL = (_CATEGORY_COLUMN, "image_id", *CRAWL_COLUMNS)
_SUFFIXES = (".csv", ".parquet")
_CSV_BLOCK_BYTES = 8 * 2**20  # pyarrow refuses a row that is longer than its block; a page title never is

_Row = dict[str, Any]


def accepts(path: Path) -> bool:
    """Whether `path` is a manifest or a folder that holds some."""
    return bool(_manifests(path))


def list_entries(path: Path, ignored: Counter[str]) -> Iterator[SourceEntry]:
    """Every row that names an image and a category, in order; the others are counted in `ignored` by reason."""
    return _list_rows(path, ignored, _REQUIRED)


def list_unlabelled(path: Path, ignored: Counter[str]) -> Iterator[SourceEntry]:
    """Every row that names an image; its category is "" where the manifest tells none."""
    return _list_rows(path, ignored, (IMAGE_COLUMN,))


def _list_rows(path: Path, ignored: Counter[str], required: Sequence[str]) -> Iterator[SourceEntry]:
    uris: defaultdict[str, set[str]] = defaultdict(set)  # by category
    image_ids: defaultdict[str, set[str]] = defaultdict(set)
    for manifest in _manifests(path):
        prefix = f"{readable_text(manifest.stem)}/" if path.is_dir() else ""
        for entry in _entries_of(manifest.absolute(), prefix, ignored, required):
            if entry.uri in uris[entry.category]:
                ignored["the same image under the same category again"] += 1
            elif entry.image_id in image_ids[entry.category]:
                ignored["image_id used for another image of the same category"] += 1
            else:
                uris[entry.category].add(entry.uri)
                image_ids[entry.category].add(entry.image_id)
                yield entry


def _manifests(path: Path) -> list[Path]:
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in candidates if file.suffix.lower() in _SUFFIXES and file.is_file()]


def _entries_of(manifest: Path, prefix: str, ignored: Counter[str], required: Sequence[str]) -> Iterator[SourceEntry]:
    container_version = file_version(manifest)
    try:
        for number, row in _read_rows(manifest, required):
            where = f"{readable_text(str(manifest))}, row {number + 1}"
            category = _category(row.get(_CATEGORY_COLUMN), where)
            image = row.get(IMAGE_COLUMN)
            if category is None and _CATEGORY_COLUMN in required:
                ignored["row without a category"] += 1
            elif IMAGE_COLUMN in row and not (image and image.strip()):
                ignored["row without an image"] += 1
            else:
                written = None if image is None else _written_path(image, where)
                file = None if written is None else manifest.parent / written
                yield SourceEntry(
                    image_id=optional_text(row.get("image_id")) or readable_text(written or f"{prefix}row-{number}"),
                    category=category or "",
                    uri=row_uri(manifest, number) if file is None else file_uri(file),
                    version=container_version if file is None else file_version(file),
                    crawl=crawl_facts(row, where),
                )
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"the manifest {readable_text(str(manifest))} cannot be read: {str(error).partition(chr(10))[0]}.",
            hint="It must be a CSV file with a header and commas, or a Parquet file.",
        ) from error


def _read_rows(manifest: Path, required: Sequence[str]) -> Iterator[tuple[int, _Row]]:
    """Row number, from 0, and the known columns of every row; `image` is missing where it holds bytes."""
    read = _parquet_batches if manifest.suffix.lower() == ".parquet" else _csv_batches
    batches = read(manifest, required)
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            yield number, row
            number += 1


def _csv_batches(manifest: Path, required: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Known columns as bytes: text "007" stays as it is, and a path need not be UTF-8."""
    read = pa.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES)
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    with pa.csv.open_csv(manifest, read, parse, pa.csv.ConvertOptions(check_utf8=False)) as probe:
        columns = _known_columns(probe.schema.names, manifest, required)
    convert = pa.csv.ConvertOptions(
        include_columns=columns,
        column_types=dict.fromkeys(columns, pa.binary()),
        null_values=[""],
        strings_can_be_null=True,
    )
    with pa.csv.open_csv(manifest, read, parse, convert) as reader:
        yield from reader


def _parquet_batches(manifest: Path, required: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Known columns, without that of the images where it holds bytes."""
    with pa.parquet.ParquetFile(manifest) as file:
        schema = file.schema_arrow
        columns = _known_columns(schema.names, manifest, required)
        if _holds_bytes(schema.field(IMAGE_COLUMN).type, manifest):
            columns.remove(IMAGE_COLUMN)
        yield from file.iter_batches(columns=columns)


def _holds_bytes(kind: pa.DataType, manifest: Path) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return True
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return False
    raise SourceError(
        f"{readable_text(str(manifest))}: column image must hold paths or bytes, got {kind}.",
        hint="Write text, binary, or a struct with a field bytes.",
    )


def _known_columns(found: list[str], manifest: Path, required: Sequence[str]) -> list[str]:
    for name in required:
        if name not in found:
            nearest = get_close_matches(name, found, n=1, cutoff=0.4)
            raise SourceError(
                f"the manifest {readable_text(str(manifest))} has no column {name!r}; it has: {', '.join(found)}.",
                hint=f"Rename {nearest[0]!r} to {name!r}." if nearest else f"Add a column {name!r}.",
            )
    return [name for name in (IMAGE_COLUMN, *_OPTIONAL) if name in found]


def _category(value: object, where: str) -> str | None:
    """A category as text; numbers of class become their digits."""
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise SourceError(f"{where}: the category is not UTF-8.", hint="Save the manifest as UTF-8.") from error
    return optional_text(value)


def _written_path(image: str | bytes, where: str) -> str:
    written = os.fsdecode(image)
    if "://" in written:
        raise SourceError(
            f"{where}: image must be the path of a file, got {readable_text(written)!r}.",
            hint="Fetch the images first; keep the address in the column source_url.",
        )
    return written

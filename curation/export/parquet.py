"""Format `parquet`: one file with a row a sample, the bytes in column `image`, ready to be ingested again.

Row groups are small, so that training can read random rows; their pages carry checksums and are packed with zstd.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.export.storage import CheckedImage, PlacedSample, Placement, StorageOptions
from curation.export.tables import facts_of
from curation.sources.location import row_uri
from curation.values import CleanedSample

FILE = "images.parquet"

_SCHEMA = pa.schema(
    [
        pa.field("image", pa.binary(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source_url", pa.string()),
        pa.field("query", pa.string()),
        pa.field("rank", pa.int64()),
        pa.field("title", pa.string()),
        pa.field("split", pa.string()),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("category_id", pa.int64(), nullable=False),
        pa.field("web_category", pa.string(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("noise_probability", pa.float64()),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
    ]
)
_REPETITIVE = ["category", "query", "split", "role", "web_category"]  # worth a dictionary


def write_images(folder: Path, images: Iterable[CheckedImage], options: StorageOptions) -> Generator[PlacedSample]:
    """Write `images.parquet`; at most one row group of images is held in memory.

    Ingesting wants image ids that are unique within a category. Where two sources, or a relabelled image, bring the
    same one twice, the later gets its sample id appended.
    """
    used: set[tuple[str, str]] = set()
    with pq.ParquetWriter(
        folder / FILE,
        _SCHEMA,
        compression="zstd",
        use_dictionary=_REPETITIVE,
        write_statistics=[name for name in _SCHEMA.names if name != "image"],  # whole images would be repeated in them
        write_page_checksum=True,
    ) as writer:
        row = 0
        for group in _row_groups(images, options):
            rows = [{"image": image.data, **_facts_of(image.sample, used)} for image in group]
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), row_group_size=len(rows))
            for image in group:
                yield PlacedSample(image.sample, Placement(FILE, row, len(image.data)))
                row += 1


def image_uri(folder: Path, _sample: CleanedSample, placement: Placement) -> str:
    """Where the bytes of one row are."""
    return row_uri(folder / placement.file, placement.position)


def _facts_of(sample: CleanedSample, used: set[tuple[str, str]]) -> dict[str, Any]:
    facts = facts_of(sample)
    if (facts["category"], facts["image_id"]) in used:
        facts["image_id"] += f"#{sample.sample_id}"
    used.add((facts["category"], facts["image_id"]))
    return facts


def _row_groups(images: Iterable[CheckedImage], options: StorageOptions) -> Iterator[list[CheckedImage]]:
    """Cut the stream where the next image would exceed the bounds of a row group."""
    group: list[CheckedImage] = []
    held_bytes = 0
    for image in images:
        if group and (len(group) >= options.row_group_rows or held_bytes + len(image.data) > options.row_group_bytes):
            yield group
            group, held_bytes = [], 0
        group.append(image)
        held_bytes += len(image.data)
    if group:
        yield group

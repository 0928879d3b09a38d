"""Format `parquet`: one file with a row a sample, the bytes in column `image`, ready to be ingested again.

The parts of a split have files of their own: `train.parquet`. Row groups are small, so that training can read random
rows; their pages carry checksums and are packed with zstd.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.export.storage import CheckedImage, PlacedSample, Placement, StorageOptions
from curation.export.tables import facts_of
from curation.sources.location import row_uri
from curation.values import CleanedSample

FACT_FIELDS = (
    pa.field("category", pa.string(), nullable=False),
    pa.field("image_id", pa.string(), nullable=False),
    pa.field("source_url", pa.string()),
    pa.field("query", pa.string()),
    pa.field("rank", pa.int64()),
    pa.field("title", pa.string()),
    pa.field("source_split", pa.string()),
    pa.field("license", pa.string()),
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("role", pa.string(), nullable=False),
    pa.field("category_id", pa.int64(), nullable=False),
    pa.field("web_category", pa.string(), nullable=False),
    pa.field("weight", pa.float64(), nullable=False),
    pa.field("noise_probability", pa.float64()),
    pa.field("set_aside", pa.string()),
    pa.field("suggested_category", pa.string()),
    pa.field("suggested_probability", pa.float64()),
    pa.field("flags", pa.string(), nullable=False),
    pa.field("copies_group", pa.string()),
    pa.field("split", pa.string()),
    pa.field("sha256", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
)
_SCHEMA = pa.schema([pa.field("image", pa.binary(), nullable=False), *FACT_FIELDS])
_REPETITIVE = [  # worth a dictionary
    *("category", "query", "source_split", "license", "role", "web_category"),
    *("set_aside", "suggested_category", "flags", "split"),
]


@dataclass(frozen=True, slots=True)
class Layout:
    """What the Parquet files of a format hold, and where they are cut.

    `row_of` makes a row of `schema` from an image and its facts. `file_name` names the file of a part by its number
    within the part, from 0; a new one begins where one has `file_bytes` of images.
    """

    schema: pa.Schema
    row_of: Callable[[CheckedImage, dict[str, Any]], dict[str, Any]]
    file_name: Callable[[str | None, int], str]
    file_bytes: float = float("inf")


def write_images(folder: Path, images: Iterable[CheckedImage], options: StorageOptions) -> Generator[PlacedSample]:
    """Write `images.parquet`, or one file a part of the split."""
    layout = Layout(
        _SCHEMA,
        row_of=lambda image, facts: {"image": image.data, **facts},
        file_name=lambda part, _number: f"{part or 'images'}.parquet",
    )
    return write_rows(folder, images, options, layout)


def write_rows(
    folder: Path, images: Iterable[CheckedImage], options: StorageOptions, layout: Layout
) -> Generator[PlacedSample]:
    """Write the images as rows; at most one row group of images is held in memory for each part of the split.

    Ingesting wants image ids that are unique within a category. Where two sources, or a relabelled image, bring the
    same one twice, the later gets its sample id appended.
    """
    used: set[tuple[str, str]] = set()
    parts: dict[str | None, _Part] = {}
    try:
        for image in images:
            part = parts.setdefault(image.sample.split, _Part(folder, image.sample.split, options, layout))
            if part.is_full(len(image.data)):
                yield from part.write_group()
            part.add(image, layout.row_of(image, _facts_of(image.sample, used)))
        for part in parts.values():
            yield from part.write_group()
    finally:
        for part in parts.values():
            part.close()


def image_uri(folder: Path, _sample: CleanedSample, placement: Placement) -> str:
    """Where the bytes of one row are."""
    return row_uri(folder / placement.file, placement.position)


def _facts_of(sample: CleanedSample, used: set[tuple[str, str]]) -> dict[str, Any]:
    facts = facts_of(sample)
    if (facts["category"], facts["image_id"]) in used:
        facts["image_id"] += f"#{sample.sample_id}"
    used.add((facts["category"], facts["image_id"]))
    return facts


@dataclass
class _Part:
    """The files of one part of the split, written one after the other, and the row group that is being gathered."""

    folder: Path
    name: str | None
    options: StorageOptions
    layout: Layout
    rows: list[dict[str, Any]] = field(default_factory=list)
    images: list[CheckedImage] = field(default_factory=list)
    group_bytes: int = 0
    file_bytes: int = 0
    file_rows: int = 0
    files: int = 0
    writer: pq.ParquetWriter | None = None

    def is_full(self, more_bytes: int) -> bool:
        """Whether the row group has no room for one more image of this size."""
        over = self.group_bytes + more_bytes > self.options.row_group_bytes
        return bool(self.rows) and (len(self.rows) >= self.options.row_group_rows or over)

    def add(self, image: CheckedImage, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.images.append(image)
        self.group_bytes += len(image.data)

    def write_group(self) -> Iterable[PlacedSample]:
        """Write what was gathered, into a new file where the one at hand is full; where each sample went."""
        if self.writer is not None and self.file_bytes >= self.layout.file_bytes:
            self.close()
        if self.writer is None:
            self.writer = self._new_file()
        name = self.layout.file_name(self.name, self.files - 1)
        table = pa.Table.from_pylist(self.rows, schema=self.layout.schema)
        self.writer.write_table(table, row_group_size=len(self.rows))
        placed = [
            PlacedSample(image.sample, Placement(name, row, len(image.data)))
            for row, image in enumerate(self.images, start=self.file_rows)
        ]
        self.file_rows += len(self.rows)
        self.file_bytes += self.group_bytes
        self.rows, self.images, self.group_bytes = [], [], 0
        return placed

    def _new_file(self) -> pq.ParquetWriter:
        path = self.folder / self.layout.file_name(self.name, self.files)
        self.files += 1
        self.file_rows = self.file_bytes = 0
        names = self.layout.schema.names
        return pq.ParquetWriter(
            path,
            self.layout.schema,
            compression="zstd",
            use_dictionary=_REPETITIVE,
            write_statistics=[name for name in names if name != "image"],  # whole images would be repeated in them
            write_page_checksum=True,
        )

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

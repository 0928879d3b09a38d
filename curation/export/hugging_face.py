"""Format `hf`: Parquet files that `datasets.load_dataset(folder)` loads with images, label names and all facts.

The files carry the features in their metadata and the card (`README.md`) names them, so nothing has to be told when
loading, locally or from the Hub. Writing needs nothing but pyarrow; an Arrow directory for `load_from_disk` would need
the library, of one version on both sides, and cannot be uploaded as it is.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.export.names import file_name, image_suffix, plain_text
from curation.export.parquet import FACT_FIELDS, Layout, write_rows
from curation.export.storage import CheckedImage, PlacedSample, StorageOptions

DEFAULT_PART = "train"  # what the Hub calls the only part of a set

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_images(folder: Path, images: Iterable[CheckedImage], options: StorageOptions) -> Generator[PlacedSample]:
    """Write `train-00000.parquet`, ..., for every part of the split; `label` counts the categories of the set by id."""
    labels = {plain_text(name): number for number, name in enumerate(options.labels)}
    layout = Layout(
        _schema(list(labels)),
        row_of=lambda image, facts: {"image": _image(image), "label": labels[facts["category"]], **facts},
        file_name=lambda part, number: f"{part or DEFAULT_PART}-{number:05d}.parquet",
        file_bytes=options.shard_bytes,
    )
    return write_rows(folder, images, options, layout)


def files_of(part: str | None) -> str:
    """The pattern that the files of a part match."""
    return f"{part or DEFAULT_PART}-*.parquet"


def _image(image: CheckedImage) -> dict[str, Any]:
    return {"bytes": image.data, "path": file_name(image.sample, image_suffix(image.data))}


def _schema(labels: list[str]) -> pa.Schema:
    """The columns, with what `datasets` makes of them (`Features.to_dict` as it stands in the metadata it writes)."""
    features: dict[str, Any] = {"image": {"_type": "Image"}, "label": {"names": labels, "_type": "ClassLabel"}}
    features |= {
        fact.name: {"dtype": str(fact.type).replace("double", "float64"), "_type": "Value"} for fact in FACT_FIELDS
    }
    return pa.schema(
        [pa.field("image", _IMAGE), pa.field("label", pa.int64()), *(fact.with_nullable(True) for fact in FACT_FIELDS)],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )

"""The score table: every novel sample, one row, as CSV or Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from curation.errors import ExportError
from curation.files import replace_bytes
from curation.values import Evidence, Flag, NoiseEstimate, Sample

_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("web_category", pa.string()),
        ("weight", pa.float32()),
        ("noise_probability", pa.float32()),
        ("suggested_category", pa.string()),
        ("flags", pa.string()),
    ]
)


def score_table(
    samples: Sequence[Sample],
    evidence: Mapping[str, Evidence],
    estimates: Mapping[str, NoiseEstimate],
    flags: Mapping[str, Sequence[Flag]],
) -> pa.Table:
    """One row a novel sample, by sample id; empty where something is unknown (an unreadable image has no weight).

    `suggested_category` is empty for an outlier, too: it shows none of the categories.
    """
    rows = []
    for sample in samples:
        scored = evidence.get(sample.sample_id)
        estimate = estimates.get(sample.sample_id)
        rows.append(
            {
                "sample_id": sample.sample_id,
                "image_id": sample.image_id,
                "uri": sample.uri,
                "web_category": sample.category,
                "weight": scored.weight if scored else None,
                "noise_probability": estimate.noise_probability if estimate else None,
                "suggested_category": estimate.suggested_category if estimate else None,
                "flags": "|".join(flag.name.value for flag in flags.get(sample.sample_id, ())),
            }
        )
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def write_scores(table: pa.Table, path: Path) -> None:
    """Write the table; the suffix (.csv or .parquet) chooses the form."""
    sink = pa.BufferOutputStream()
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, sink)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, sink)
    else:
        raise ExportError(f"scores go to .csv or .parquet, not to {path.name!r}.", hint="Change the suffix of --out.")
    try:
        replace_bytes(path, sink.getvalue().to_pybytes())
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {error.strerror}.", hint="Name a file in a folder you own."
        ) from error

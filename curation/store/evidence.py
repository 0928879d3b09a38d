"""Evidence in the catalogue: the numbers known of each novel sample before anyone has looked at it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.evidence_columns import EvidenceColumns
from curation.store.connection import Connection
from curation.store.rows import fetch_rows, insert_table, is_one_of
from curation.values import CategorySimilarity, Evidence, FloatArray

_COLUMNS = {
    "sample_id": pa.string(),
    "weight": pa.float32(),
    "weight_error": pa.float32(),
    "own_similarity": pa.float32(),
    "own_cosine": pa.float32(),
    "nearest": pa.list_(pa.struct([("category", pa.string()), ("similarity", pa.float32())])),
}


def replace_evidence(connection: Connection, evidence: EvidenceColumns) -> None:
    """Put the evidence of all novel samples in the place of what was there."""
    connection.execute("DELETE FROM evidence")
    there = evidence.nearest >= 0
    near = pa.StructArray.from_arrays(
        [
            pa.array(evidence.categories, type=pa.string()).take(pa.array(evidence.nearest[there])),
            pa.array(evidence.similarity[there], type=pa.float32()),
        ],
        fields=list(_COLUMNS["nearest"].value_type),
    )
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    columns = [
        pa.array(evidence.sample_ids, type=pa.string()),
        *(
            pa.array(column, type=pa.float32(), from_pandas=True)  # NaN becomes NULL
            for column in (evidence.weight, evidence.weight_error, evidence.own_similarity, evidence.own_cosine)
        ),
        pa.ListArray.from_arrays(pa.array(ends, type=pa.int32()), near),
    ]
    insert_table(connection, "evidence", pa.Table.from_arrays(columns, names=list(_COLUMNS)))


def read_evidence_columns(connection: Connection) -> EvidenceColumns:
    """The evidence of every scored sample, by sample id."""
    query = f"SELECT {', '.join(_COLUMNS)} FROM evidence ORDER BY sample_id"  # noqa: S608 - constants
    found: pa.Table = connection.sql(query).to_arrow_table()

    def column(name: str) -> FloatArray:
        numbers: FloatArray = found[name].to_numpy().astype(np.float32)  # NULL becomes NaN
        return numbers

    return EvidenceColumns(
        found["sample_id"].to_pylist(),
        column("weight"),
        column("weight_error"),
        column("own_similarity"),
        column("own_cosine"),
        *_nearest_columns(found["nearest"]),
    )


def _nearest_columns(lists: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64], FloatArray]:
    """Names of categories, positions among them (N, K) and similarities (N, K): see `EvidenceColumns`."""
    lengths = pc.list_value_length(lists).to_numpy().astype(np.int64)
    near = pc.list_flatten(lists).combine_chunks()
    names = pc.struct_field(near, "category").dictionary_encode()
    shape = (len(lengths), int(lengths.max(initial=0)))
    nearest, similarity = np.full(shape, -1, dtype=np.int64), np.full(shape, np.nan, dtype=np.float32)
    there = np.arange(shape[1]) < lengths[:, None]
    nearest[there] = names.indices.to_numpy()
    similarity[there] = pc.struct_field(near, "similarity").to_numpy()
    return names.dictionary.to_pylist(), nearest, similarity


def read_evidence(
    connection: Connection, sample_ids: Sequence[str] | None = None, *, with_nearest: bool = True
) -> dict[str, Evidence]:
    """Sample id -> evidence of every scored sample, or of these.

    Most of the time goes into the nearest categories; who needs none does without.
    """
    some = "" if sample_ids is None else f" WHERE {is_one_of('sample_id', sample_ids)}"
    columns = [name if with_nearest or name != "nearest" else "[]" for name in _COLUMNS]
    query = f"SELECT {', '.join(columns)} FROM evidence{some} ORDER BY sample_id"  # noqa: S608 - constants
    return {row[0]: _evidence(*row) for row in fetch_rows(connection, query, sample_ids or ())}


def _evidence(
    sample_id: str,
    weight: float,
    weight_error: float | None,
    own_similarity: float | None,
    own_cosine: float | None,
    nearest: list[dict[str, str | float]],
) -> Evidence:
    near = tuple(CategorySimilarity(str(item["category"]), float(item["similarity"])) for item in nearest)
    return Evidence(sample_id, weight, weight_error, own_similarity, own_cosine, near)

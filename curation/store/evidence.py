"""Evidence in the catalogue: the numbers known of each novel sample before anyone has looked at it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from curation.store.connection import Connection
from curation.store.rows import fetch_rows, insert_rows, is_one_of
from curation.values import CategorySimilarity, Evidence

_COLUMNS = {
    "sample_id": pa.string(),
    "weight": pa.float32(),
    "weight_error": pa.float32(),
    "own_similarity": pa.float32(),
    "own_cosine": pa.float32(),
    "nearest": pa.list_(pa.struct([("category", pa.string()), ("similarity", pa.float32())])),
}


def replace_evidence(connection: Connection, evidence: Sequence[Evidence]) -> None:
    """Put the evidence of all novel samples in the place of what was there."""
    connection.execute("DELETE FROM evidence")
    rows = [
        (
            item.sample_id,
            item.weight,
            item.weight_error,
            item.own_similarity,
            item.own_cosine,
            [{"category": near.category, "similarity": near.similarity} for near in item.nearest],
        )
        for item in evidence
    ]
    insert_rows(connection, "evidence", _COLUMNS, rows)


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

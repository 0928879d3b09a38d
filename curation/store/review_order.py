"""The order in which novel samples are reviewed, from a snapshot, as columns: fit for a million samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.store.connection import Connection
from curation.store.rows import fetch_rows
from curation.values import FlagName, Role


@dataclass(frozen=True, slots=True)
class OrderColumns:
    """The N novel samples that can be looked at and have been scored, by category, most suspicious first within one.

    `noise_probability` and `weight` are float32 (N,), NaN where unknown; `carries` says of each flag who has it, (N,).
    """

    sample_ids: list[str]
    categories: list[str]
    codes: NDArray[np.int32]
    noise_probability: NDArray[np.float32]
    weight: NDArray[np.float32]
    carries: dict[FlagName, NDArray[np.bool_]]


def read_order(connection: Connection, flags: tuple[FlagName, ...]) -> OrderColumns:
    """Read the order, and who carries which of `flags`.

    Suspicion is the noise probability; where there is none, how far the weight is below 1, the mean of a category.
    """
    carried = ", ".join(f"bool_or(name = '{flag.value}') AS {flag.value}" for flag in flags)
    chosen = ", ".join(f"coalesce(f.{flag.value}, FALSE) AS {flag.value}" for flag in flags)
    query = f"""
        SELECT s.sample_id, s.category, n.noise_probability, e.weight, {chosen}
        FROM samples s
        LEFT JOIN images i USING (sha256)
        LEFT JOIN noise_estimates n USING (sample_id)
        LEFT JOIN evidence e USING (sample_id)
        LEFT JOIN (SELECT sample_id, {carried} FROM flags GROUP BY sample_id) f USING (sample_id)
        WHERE s.role = 'novel' AND s.sha256 IS NOT NULL AND i.reason IS NULL
            AND coalesce(n.noise_probability, e.weight) IS NOT NULL
        ORDER BY s.category, coalesce(n.noise_probability, greatest(0, least(1, 1 - e.weight))) DESC, e.weight,
            s.sample_id
    """  # noqa: S608 - flag names are ours
    table: pa.Table = connection.sql(query).to_arrow_table()
    names = table["category"].combine_chunks().dictionary_encode()
    return OrderColumns(
        sample_ids=table["sample_id"].to_pylist(),
        categories=names.dictionary.to_pylist(),
        codes=names.indices.to_numpy().astype(np.int32),
        noise_probability=_floats(table["noise_probability"]),
        weight=_floats(table["weight"]),
        carries={flag: table[flag.value].to_numpy().astype(np.bool_) for flag in flags},
    )


def draw_samples(
    connection: Connection, role: Role, number: int, seed: str, *, other_than: str = ""
) -> list[tuple[str, str]]:
    """(sample_id, category) of `number` readable samples of one role, drawn by `seed`, of no category `other_than`."""
    query = """
        SELECT s.sample_id, s.category FROM samples s
        WHERE s.role = ? AND s.category <> ? AND s.sha256 IS NOT NULL
            AND s.sha256 NOT IN (SELECT sha256 FROM images WHERE reason IS NOT NULL)
        ORDER BY hash(s.sample_id || ?), s.sample_id LIMIT ?
    """
    return [(row[0], row[1]) for row in fetch_rows(connection, query, (role.value, other_than, seed, number))]


def _floats(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Float32 with NaN for NULL."""
    return np.asarray(column.cast(pa.float32()).to_numpy(), dtype=np.float32)

"""What a night asks of the catalogue: counts by category, and which novel samples were not there the night before.

Sample ids travel as numbers of 64 bits (their 16 hex digits), so that a million of them is 8 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.store.connection import Connection
from curation.store.rows import fetch_rows

IdNumbers = NDArray[np.uint64]

_NUMBER = "('0x' || s.sample_id)::UBIGINT"
_NOVEL = "samples s LEFT JOIN images i USING (sha256) LEFT JOIN noise_estimates e USING (sample_id)"


@dataclass(frozen=True, slots=True)
class CategoryCounts:
    """Novel samples of one category; `flagged` are those with the flag outlier or label flip."""

    category: str
    images: int
    unreadable: int
    flagged: int


@dataclass(frozen=True, slots=True)
class NewSample:
    """A novel sample that was not there before; `sha256` is `None` where it has no usable pixels."""

    category: str
    sha256: str | None
    source_url: str | None
    query: str | None
    noise_probability: float | None


def novel_id_numbers(connection: Connection) -> IdNumbers:
    """The ids of all novel samples, ascending, shape (N,)."""
    query = f"SELECT {_NUMBER} AS number FROM samples s WHERE s.role = 'novel' ORDER BY number"  # noqa: S608 - constants
    numbers: IdNumbers = np.asarray(connection.execute(query).fetchnumpy()["number"], dtype=np.uint64)
    return numbers


def new_samples(connection: Connection, new: IdNumbers) -> list[NewSample]:
    """The novel samples with these ids, by id."""
    query = f"""
        SELECT s.category, CASE WHEN coalesce(s.reason, i.reason) IS NULL THEN s.sha256 END, s.source_url, s.query,
            e.noise_probability
        FROM {_NOVEL} WHERE s.role = 'novel' AND {_NUMBER} IN (SELECT number FROM asked) ORDER BY s.sample_id
    """  # noqa: S608 - constants
    connection.register("asked", pa.table({"number": pa.array(new, type=pa.uint64())}))
    rows = fetch_rows(connection, query)
    connection.unregister("asked")
    return [NewSample(*row) for row in rows]


def earlier_images(connection: Connection, new: IdNumbers, most: Mapping[str, int], salt: str) -> list[tuple[str, str]]:
    """(category, sha256) of usable novel samples but for those with the ids `new`, drawn at random by `salt`: of each
    category in `most` at most so many."""
    query = f"""
        SELECT s.category, s.sha256 FROM samples s JOIN wanted w USING (category) LEFT JOIN images i USING (sha256)
        WHERE s.role = 'novel' AND s.sha256 IS NOT NULL AND i.reason IS NULL
            AND {_NUMBER} NOT IN (SELECT number FROM asked)
        QUALIFY row_number() OVER (PARTITION BY s.category ORDER BY md5(s.sample_id || ?)) <= w.most
        ORDER BY s.sample_id
    """  # noqa: S608 - constants
    connection.register("asked", pa.table({"number": pa.array(new, type=pa.uint64())}))
    names, numbers = pa.array(most.keys(), type=pa.string()), pa.array(most.values(), type=pa.int64())
    connection.register("wanted", pa.table({"category": names, "most": numbers}))
    rows = fetch_rows(connection, query, (salt,))
    connection.unregister("asked")
    connection.unregister("wanted")
    return [(row[0], row[1]) for row in rows]


def category_counts(connection: Connection) -> list[CategoryCounts]:
    """Every novel category, by name."""
    query = """
        WITH suspects AS (SELECT DISTINCT sample_id FROM flags WHERE name IN ('outlier', 'label_flip'))
        SELECT s.category, count(*), count(*) FILTER (coalesce(s.reason, i.reason) IS NOT NULL), count(f.sample_id)
        FROM samples s LEFT JOIN images i USING (sha256) LEFT JOIN suspects f USING (sample_id)
        WHERE s.role = 'novel' GROUP BY s.category ORDER BY s.category
    """
    return [CategoryCounts(*row) for row in fetch_rows(connection, query)]


def decisions_by_category(connection: Connection, sample_ids: Iterable[str]) -> dict[str, int]:
    """How many of these samples each novel category has."""
    connection.register("decided", pa.table({"sample_id": pa.array(list(sample_ids), type=pa.string())}))
    query = """
        SELECT s.category, count(*) FROM samples s JOIN decided USING (sample_id)
        WHERE s.role = 'novel' GROUP BY s.category
    """
    counts: dict[str, int] = dict(fetch_rows(connection, query))
    connection.unregister("decided")
    return counts

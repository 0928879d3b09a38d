"""What the noise model said, in the catalogue: an estimate for each novel sample and a noise rate for each category."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

import pyarrow as pa

from curation.store.connection import Connection
from curation.store.rows import fetch_rows, insert_rows, is_one_of
from curation.values import CategoryNoise, NoiseEstimate

_ESTIMATES = {
    "sample_id": pa.string(),
    "noise_probability": pa.float32(),
    "transferred_probability": pa.float32(),
    "suggested_category": pa.string(),
    "suggested_probability": pa.float32(),
    "explanation": pa.string(),
}
_CATEGORIES = {
    "category": pa.string(),
    "samples": pa.int64(),
    "noise_rate": pa.float64(),
    "low": pa.float64(),
    "high": pa.float64(),
}


def replace_noise(
    connection: Connection, estimates: Iterable[NoiseEstimate], categories: Iterable[CategoryNoise]
) -> None:
    """Put these estimates and noise rates in the place of what was there."""
    connection.execute("DELETE FROM noise_estimates")
    connection.execute("DELETE FROM category_noise")
    insert_rows(connection, "noise_estimates", _ESTIMATES, list(map(attrgetter(*_ESTIMATES), estimates)))
    insert_rows(connection, "category_noise", _CATEGORIES, list(map(attrgetter(*_CATEGORIES), categories)))


def read_noise_estimates(connection: Connection, sample_ids: Sequence[str] | None = None) -> dict[str, NoiseEstimate]:
    """Sample id -> what the noise model says of it; of all samples or of these."""
    some = "" if sample_ids is None else f" WHERE {is_one_of('sample_id', sample_ids)}"
    query = f"SELECT {', '.join(_ESTIMATES)} FROM noise_estimates{some} ORDER BY sample_id"  # noqa: S608 - constants
    return {row[0]: NoiseEstimate(*row) for row in fetch_rows(connection, query, sample_ids or ())}


def read_category_noise(connection: Connection) -> list[CategoryNoise]:
    """The predicted noise rate of every novel category, by name."""
    query = f"SELECT {', '.join(_CATEGORIES)} FROM category_noise ORDER BY category"  # noqa: S608 - constants
    return [CategoryNoise(*row) for row in fetch_rows(connection, query)]

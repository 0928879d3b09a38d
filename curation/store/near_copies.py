"""Which pictures are near copies of each other, in the catalogue: pairs of image contents."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from curation.store.connection import Connection
from curation.store.rows import fetch_rows, insert_rows

_COLUMNS = {"sha256": pa.string(), "copy": pa.string()}


def replace_near_copies(connection: Connection, pairs: Iterable[tuple[str, str]]) -> None:
    """Put these pairs of SHA-256 hex digests in the place of all that were found before."""
    connection.execute("DELETE FROM near_copies")
    insert_rows(connection, "near_copies", _COLUMNS, list(pairs))


def read_near_copies(connection: Connection) -> list[tuple[str, str]]:
    """Every pair once, by digest."""
    return list(fetch_rows(connection, "SELECT sha256, copy FROM near_copies ORDER BY ALL"))

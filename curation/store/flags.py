"""Flags in the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from curation.store.connection import Connection
from curation.store.rows import fetch_rows, insert_rows, is_one_of
from curation.values import Flag, FlagName

_COLUMNS = {
    "sample_id": pa.string(),
    "name": pa.string(),
    "reason": pa.string(),
    "copies": pa.list_(pa.string()),
}


def replace_flags(connection: Connection, flags: Sequence[Flag]) -> None:
    """Put these flags in the place of all that were raised before."""
    connection.execute("DELETE FROM flags")
    rows = [(flag.sample_id, flag.name.value, flag.reason, list(flag.copies)) for flag in flags]
    insert_rows(connection, "flags", _COLUMNS, rows)


def read_flags(connection: Connection, sample_ids: Sequence[str] | None = None) -> dict[str, list[Flag]]:
    """Sample id -> its flags, by flag name; of all samples or of these."""
    some = "" if sample_ids is None else f" WHERE {is_one_of('sample_id', sample_ids)}"
    query = f"SELECT sample_id, name, reason, copies FROM flags{some} ORDER BY ALL"  # noqa: S608 - constants
    flags: dict[str, list[Flag]] = {}
    for sample_id, name, reason, copies in fetch_rows(connection, query, sample_ids or ()):
        flags.setdefault(sample_id, []).append(Flag(sample_id, FlagName(name), reason, tuple(copies or ())))
    return flags


def count_flags(connection: Connection) -> dict[str, int]:
    """Flag name -> samples that carry it."""
    return dict(fetch_rows(connection, "SELECT name, count(*) FROM flags GROUP BY name ORDER BY name"))

"""Exports that were made, in the catalogue."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from curation.store.connection import Connection


def put_cleaned_set(
    connection: Connection, content_hash: str, export_format: str, path: Path, *, kept: int, set_aside: int
) -> None:
    """Record one finished export."""
    now = datetime.now(UTC).replace(tzinfo=None)
    connection.execute(
        "INSERT INTO cleaned_sets VALUES (?, ?, ?, ?, ?, ?)",
        [content_hash, now, export_format, str(path), kept, set_aside],
    )

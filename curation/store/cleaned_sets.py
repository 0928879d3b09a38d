"""Exports that were made, in the journal: an export never waits for a run that holds the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from curation.store.journal import JournalConnection


@dataclass(frozen=True, slots=True)
class CleanedSetRecord:
    """One finished export: what was in it, when it was made (UTC, without an offset), how and where."""

    content_hash: str
    exported_at: datetime
    format: str
    path: str
    kept: int
    set_aside: int


def put_cleaned_set(
    connection: JournalConnection, content_hash: str, export_format: str, path: Path, *, kept: int, set_aside: int
) -> None:
    """Record one finished export."""
    now = datetime.now(UTC).replace(tzinfo=None)
    put_record(connection, CleanedSetRecord(content_hash, now, export_format, str(path), kept, set_aside))


def put_record(connection: JournalConnection, record: CleanedSetRecord) -> None:
    """Add a record as it is."""
    connection.execute(
        "INSERT INTO exports (content_hash, exported_at, format, path, kept, set_aside) VALUES (?, ?, ?, ?, ?, ?)",
        (
            record.content_hash,
            record.exported_at.isoformat(),
            record.format,
            record.path,
            record.kept,
            record.set_aside,
        ),
    )


def read_cleaned_sets(connection: JournalConnection) -> list[CleanedSetRecord]:
    """Every export that was made, oldest first."""
    query = "SELECT content_hash, exported_at, format, path, kept, set_aside FROM exports ORDER BY exported_at"
    return [CleanedSetRecord(row[0], datetime.fromisoformat(row[1]), *row[2:]) for row in connection.execute(query)]

"""Whether the journal is whole: SQLite's own check of every page, and that all tables and safeguards are there."""

from __future__ import annotations

import re

from curation.store.journal import JournalConnection, journal_version
from curation.store.journal_schema import MIGRATIONS

_MADE = re.compile(r"CREATE (?:UNIQUE )?(?:TABLE|INDEX|TRIGGER) (?:IF NOT EXISTS )?(\w+)")
_MOST_TOLD = 3  # of many defects the first say enough


def journal_defects(connection: JournalConnection) -> list[str]:
    """What is wrong with it, a few words each; nothing where all is well. Raises `StoreError` beyond reading."""
    rows = connection.execute("PRAGMA integrity_check").fetchall()
    found = [str(row[0]) for row in rows if row[0] != "ok"][:_MOST_TOLD]
    known = journal_version(connection)
    if known > len(MIGRATIONS):
        return [*found, f"it has schema {known}, this version knows {len(MIGRATIONS)}"]
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    missing = sorted(_names(known) - there)
    return [*found, *(f"{name} is missing" for name in missing[:_MOST_TOLD])]


def _names(version: int) -> set[str]:
    """Tables, indexes and triggers that a journal of this schema has."""
    statements = (statement for migration in MIGRATIONS[:version] for statement in migration)
    return {match[1] for statement in statements if (match := _MADE.match(statement.strip()))}

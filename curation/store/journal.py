"""SQLite's door: what must survive everything else. Append-only, never rewritten, open to several processes at once.

Three tables: what people decided, which samples were drawn for them to audit, and which number a category has had since
its first ingest. WAL with full synchronisation: a record that was acknowledged is on the disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from curation.audit_plan import Audit, AuditPlan, AuditStratum
from curation.errors import StoreError
from curation.values import Decision, DecisionAction

_BUSY_TIMEOUT_MS = 30_000  # one append takes milliseconds; a writer that waits longer met a hanging process

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    decision_id INTEGER PRIMARY KEY AUTOINCREMENT,
    sample_id TEXT NOT NULL, action TEXT NOT NULL, category TEXT, annotator TEXT NOT NULL,
    decided_at TEXT NOT NULL, context TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS decisions_by_sample ON decisions (sample_id, decision_id);
CREATE TABLE IF NOT EXISTS category_ids (category_id INTEGER PRIMARY KEY, category TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS audits (
    audit_id INTEGER PRIMARY KEY AUTOINCREMENT,
    planned_at TEXT NOT NULL, seed INTEGER NOT NULL, content_hash TEXT NOT NULL, promise REAL,
    confirmed INTEGER NOT NULL, strata TEXT NOT NULL
) STRICT;
"""
_VERSION = 2  # 1 had no audits; every statement makes only what is missing, so one script brings any version here
_GUARDS = "".join(
    f"""
    CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table}
    BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;
    """
    for table in ("decisions", "category_ids", "audits")
    for verb in ("UPDATE", "DELETE")
)


@contextmanager
def journal(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on the journal, committed at the end of the block."""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_MS / 1000)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if connection.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
                make = f"BEGIN IMMEDIATE; {_SCHEMA}{_GUARDS} PRAGMA user_version = {_VERSION}; COMMIT;"
                connection.executescript(make)
            with connection:
                yield connection
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path} cannot be used: {error}.",
            hint="It holds what people decided: restore it from a backup rather than deleting it.",
        ) from error


def append_decision(connection: sqlite3.Connection, decision: Decision) -> int:
    """Write one decision; returns its number."""
    cursor = connection.execute(
        "INSERT INTO decisions (sample_id, action, category, annotator, decided_at, context) VALUES (?, ?, ?, ?, ?, ?)",
        (
            decision.sample_id,
            decision.action.value,
            decision.category,
            decision.annotator,
            datetime.now(UTC).isoformat(),
            json.dumps(decision.context),
        ),
    )
    return int(cursor.lastrowid or 0)


def latest_decisions(connection: sqlite3.Connection) -> dict[str, Decision]:
    """Sample id -> the newest decision on it; a sample whose newest record is `undo` has none."""
    query = """
        SELECT sample_id, action, category, annotator, context FROM decisions
        WHERE decision_id IN (SELECT max(decision_id) FROM decisions GROUP BY sample_id) ORDER BY sample_id
    """
    decisions = (
        Decision(sample_id, DecisionAction(action), annotator, category, json.loads(context))
        for sample_id, action, category, annotator, context in connection.execute(query)
    )
    return {decision.sample_id: decision for decision in decisions if decision.action is not DecisionAction.UNDO}


def category_ids(connection: sqlite3.Connection) -> dict[str, int]:
    """Category -> its number."""
    return dict(connection.execute("SELECT category, category_id FROM category_ids ORDER BY category_id"))


def number_categories(connection: sqlite3.Connection, categories: Iterable[str]) -> None:
    """Give every category that has no number the next free one, in alphabetical order."""
    # One statement a category: another process may number the same ones at the same time, and the first wins.
    for category in sorted(categories):
        connection.execute(
            "INSERT OR IGNORE INTO category_ids SELECT coalesce(max(category_id) + 1, 0), ? FROM category_ids",
            (category,),
        )


def append_audit(connection: sqlite3.Connection, plan: AuditPlan) -> Audit:
    """Write down what was drawn for an audit; returns it with its number and time."""
    now = datetime.now(UTC)
    cursor = connection.execute(
        "INSERT INTO audits (planned_at, seed, content_hash, promise, confirmed, strata) VALUES (?, ?, ?, ?, ?, ?)",
        (
            now.isoformat(),
            plan.seed,
            plan.content_hash,
            plan.promise,
            plan.confirmed,
            json.dumps([asdict(stratum) for stratum in plan.strata]),
        ),
    )
    return Audit(int(cursor.lastrowid or 0), now, plan)


def read_audits(connection: sqlite3.Connection) -> list[Audit]:
    """Every audit that was drawn, oldest first."""
    query = "SELECT audit_id, planned_at, seed, content_hash, promise, confirmed, strata FROM audits ORDER BY audit_id"
    return [
        Audit(number, datetime.fromisoformat(at), AuditPlan(seed, content_hash, promise, confirmed, _strata(strata)))
        for number, at, seed, content_hash, promise, confirmed, strata in connection.execute(query)
    ]


def _strata(text: str) -> tuple[AuditStratum, ...]:
    return tuple(AuditStratum(**values | {"drawn": tuple(values["drawn"])}) for values in json.loads(text))

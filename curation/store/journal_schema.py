"""The tables of the journal, as an ordered list of migrations that is only ever appended to."""

from __future__ import annotations


def _append_only(*tables: str) -> tuple[str, ...]:
    return tuple(
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in tables
        for verb in ("UPDATE", "DELETE")
    )


_FIRST = (
    """CREATE TABLE IF NOT EXISTS decisions (
        decision_id INTEGER PRIMARY KEY AUTOINCREMENT,
        sample_id TEXT NOT NULL, action TEXT NOT NULL, category TEXT, annotator TEXT NOT NULL,
        decided_at TEXT NOT NULL, context TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS decisions_by_sample ON decisions (sample_id, decision_id)",
    "CREATE TABLE IF NOT EXISTS category_ids (category_id INTEGER PRIMARY KEY, category TEXT NOT NULL UNIQUE) STRICT",
    *_append_only("decisions", "category_ids"),
)

_AUDITS = (
    """CREATE TABLE IF NOT EXISTS audits (
        audit_id INTEGER PRIMARY KEY AUTOINCREMENT,
        planned_at TEXT NOT NULL, seed INTEGER NOT NULL, content_hash TEXT NOT NULL, promise REAL,
        confirmed INTEGER NOT NULL, strata TEXT NOT NULL
    ) STRICT""",
    *_append_only("audits"),
)

# `step` orders the decisions and the answers to gold checks in one sequence; of rows from before it is their number.
# `undoes` is the row that an `undo` takes back. An `undo` from before took back all that was older on its sample: it is
# written out here, row by row. `request` names what a browser sent, which may arrive twice. `leases` and
# `open_pages` alone may be rewritten: they say who looks at what just now.
_SEVERAL_ANNOTATORS = (
    "ALTER TABLE decisions ADD COLUMN step INTEGER",
    "ALTER TABLE decisions ADD COLUMN undoes INTEGER",
    "ALTER TABLE decisions ADD COLUMN second_look INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE decisions ADD COLUMN request TEXT",
    """INSERT INTO decisions (sample_id, action, annotator, decided_at, context, undoes)
        SELECT old.sample_id, 'undo', later.annotator, later.decided_at, later.context, old.decision_id
        FROM decisions old JOIN decisions later ON later.decision_id = (
            SELECT min(decision_id) FROM decisions
            WHERE sample_id = old.sample_id AND action = 'undo' AND decision_id > old.decision_id
        ) WHERE old.action <> 'undo'""",
    """CREATE TABLE gold_checks (
        gold_id TEXT PRIMARY KEY, page_id TEXT NOT NULL, annotator TEXT NOT NULL, sample_id TEXT NOT NULL,
        donor_id TEXT NOT NULL, category TEXT NOT NULL, is_right INTEGER NOT NULL, shown_at TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX gold_checks_by_page ON gold_checks (page_id)",
    """CREATE TABLE gold_decisions (
        decision_id INTEGER PRIMARY KEY AUTOINCREMENT,
        sample_id TEXT NOT NULL, action TEXT NOT NULL, category TEXT, annotator TEXT NOT NULL,
        decided_at TEXT NOT NULL, context TEXT NOT NULL,
        step INTEGER, undoes INTEGER, second_look INTEGER NOT NULL DEFAULT 0, request TEXT
    ) STRICT""",
    "CREATE INDEX gold_decisions_by_sample ON gold_decisions (sample_id, decision_id)",
    *(
        statement
        for table in ("decisions", "gold_decisions")
        for statement in (
            f"CREATE INDEX {table}_by_annotator ON {table} (annotator, decision_id)",
            f"CREATE INDEX {table}_by_step ON {table} (step)",
            f"CREATE INDEX {table}_by_request ON {table} (request) WHERE request IS NOT NULL",
            f"CREATE INDEX {table}_taken_back ON {table} (undoes) WHERE undoes IS NOT NULL",
        )
    ),
    *_append_only("gold_checks", "gold_decisions"),
    """CREATE TABLE leases (
        sample_id TEXT PRIMARY KEY, page_id TEXT NOT NULL, annotator TEXT NOT NULL, ends_at REAL NOT NULL
    ) STRICT""",
    "CREATE INDEX leases_by_page ON leases (page_id)",
    """CREATE TABLE open_pages (
        page_id TEXT PRIMARY KEY, annotator TEXT NOT NULL, mode TEXT NOT NULL, category TEXT NOT NULL,
        page TEXT NOT NULL
    ) STRICT""",
)

_EXPORTS = (
    """CREATE TABLE exports (
        content_hash TEXT NOT NULL, exported_at TEXT NOT NULL, format TEXT NOT NULL, path TEXT NOT NULL,
        kept INTEGER NOT NULL, set_aside INTEGER NOT NULL
    ) STRICT""",
    *_append_only("exports"),
)

# The first two were once one script that made what was missing, so they may meet tables that are there.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _AUDITS, _SEVERAL_ANNOTATORS, _EXPORTS)

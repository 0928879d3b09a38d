"""What was drawn for audits, in the journal."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from curation.audit_plan import Audit, AuditPlan, AuditStratum
from curation.store.journal import JournalConnection


def append_audit(connection: JournalConnection, plan: AuditPlan) -> Audit:
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


def read_audits(connection: JournalConnection) -> list[Audit]:
    """Every audit that was drawn, oldest first."""
    return [_audit(*row) for row in connection.execute(f"{_SELECT} ORDER BY audit_id")]


def newest_audit(connection: JournalConnection) -> Audit | None:
    """The one drawn last; `None` where there is none."""
    row = connection.execute(f"{_SELECT} ORDER BY audit_id DESC LIMIT 1").fetchone()
    return None if row is None else _audit(*row)


_SELECT = "SELECT audit_id, planned_at, seed, content_hash, promise, confirmed, strata FROM audits"


def _audit(
    number: int, at: str, seed: int, content_hash: str, promise: float | None, confirmed: int, strata: str
) -> Audit:
    drawn = tuple(AuditStratum(**values | {"drawn": tuple(values["drawn"])}) for values in json.loads(strata))
    return Audit(number, datetime.fromisoformat(at), AuditPlan(seed, content_hash, promise, confirmed, drawn))

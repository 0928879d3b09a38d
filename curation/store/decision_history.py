"""What has been decided, when and by whom: read for screens and for the pace of work, never changed here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from curation.store.journal import JournalConnection
from curation.values import Decision, DecisionAction


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """What to look for; `None` takes everything. `category` is the one that a page asked about.

    `from_time` and `to_time` (UTC) hold `decided_at`, the latter excluded. Undo records are never listed themselves.
    """

    annotator: str | None = None
    action: DecisionAction | None = None
    category: str | None = None
    mode: str | None = None
    sample_id: str | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None
    standing: bool | None = None


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision as it was written down: its number, when (UTC), and who took it back, `None` while it stands."""

    decision_id: int
    decided_at: datetime
    decision: Decision
    taken_back_by: str | None


@dataclass(frozen=True, slots=True)
class WorkMoment:
    """Somebody wrote decisions: who, when (UTC), and how many samples they had not decided on before."""

    annotator: str
    at: datetime
    new_samples: int


_WHERE = """
    d.action <> 'undo'
    AND d.annotator = coalesce(:annotator, d.annotator)
    AND d.action = coalesce(:action, d.action)
    AND d.sample_id = coalesce(:sample_id, d.sample_id)
    AND (:category IS NULL OR json_extract(d.context, '$.category') = :category)
    AND (:mode IS NULL OR json_extract(d.context, '$.mode') = :mode)
    AND (:from_time IS NULL OR d.decided_at >= :from_time)
    AND (:to_time IS NULL OR d.decided_at < :to_time)
    AND (:standing IS NULL OR (u.decision_id IS NULL) = :standing)
"""
_FROM = "decisions d LEFT JOIN decisions u ON u.undoes = d.decision_id"


def list_decisions(
    connection: JournalConnection, wanted: DecisionFilter, *, before: int | None, limit: int
) -> list[DecisionRecord]:
    """The newest `limit` decisions (of a number below `before`), newest first."""
    query = f"""
        SELECT d.decision_id, d.decided_at, d.sample_id, d.action, d.annotator, d.category, d.context, d.second_look,
            min(u.annotator)
        FROM {_FROM} WHERE {_WHERE} AND (:before IS NULL OR d.decision_id < :before)
        GROUP BY d.decision_id ORDER BY d.decision_id DESC LIMIT :limit
    """  # noqa: S608 - constants
    rows = connection.execute(query, {**_parameters(wanted), "before": before, "limit": limit})
    return [
        DecisionRecord(
            number,
            datetime.fromisoformat(at),
            Decision(sample_id, DecisionAction(action), annotator, category, json.loads(context), bool(second_look)),
            taken_back_by,
        )
        for number, at, sample_id, action, annotator, category, context, second_look, taken_back_by in rows
    ]


def count_decisions(connection: JournalConnection, wanted: DecisionFilter) -> int:
    """How many there are."""
    query = f"SELECT count(DISTINCT d.decision_id) FROM {_FROM} WHERE {_WHERE}"  # noqa: S608 - constants
    return int(connection.execute(query, _parameters(wanted)).fetchone()[0])


def read_annotators(connection: JournalConnection) -> list[str]:
    """Everyone who has decided anything, by name."""
    return [row[0] for row in connection.execute("SELECT DISTINCT annotator FROM decisions ORDER BY annotator")]


def work_moments(connection: JournalConnection) -> list[WorkMoment]:
    """When everyone decided, by annotator and time."""
    query = """
        SELECT annotator, decided_at, sum(action <> 'undo' AND place = 1) FROM (
            SELECT annotator, decided_at, action,
                row_number() OVER (PARTITION BY annotator, sample_id, action = 'undo' ORDER BY decision_id) AS place
            FROM decisions
        ) GROUP BY annotator, decided_at ORDER BY annotator, decided_at
    """
    return [WorkMoment(name, datetime.fromisoformat(at), new) for name, at, new in connection.execute(query)]


def _parameters(wanted: DecisionFilter) -> dict[str, str | int | None]:
    return {
        "annotator": wanted.annotator,
        "action": None if wanted.action is None else wanted.action.value,
        "category": wanted.category,
        "mode": wanted.mode,
        "sample_id": wanted.sample_id,
        "from_time": None if wanted.from_time is None else wanted.from_time.isoformat(),
        "to_time": None if wanted.to_time is None else wanted.to_time.isoformat(),
        "standing": None if wanted.standing is None else int(wanted.standing),
    }

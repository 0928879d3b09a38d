"""What people decided, in the journal: appended, taken back by new records, and read as what counts.

Two tables have the same columns: `decisions`, and `gold_decisions`, which holds the answers to gold checks, with the id
of the check in the place of a sample's, so that the two are never mixed up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

from curation.standing import decision_that_counts
from curation.store.journal import JournalConnection, begin_writing
from curation.values import Decision, DecisionAction

Table = Literal["decisions", "gold_decisions"]
NumberedDecision = tuple[int, Decision]

STANDS = "d.action <> 'undo' AND NOT EXISTS (SELECT 1 FROM {table} u WHERE u.undoes = d.decision_id)"
_COLUMNS = "d.sample_id, d.action, d.annotator, d.category, d.second_look"


def append_decision(connection: JournalConnection, decision: Decision) -> int:
    """Write one decision; returns its number. An `undo` takes back what its annotator last said of the sample."""
    begin_writing(connection)
    undoes = None
    if decision.action is DecisionAction.UNDO:
        undoes = _newest_standing(connection, decision.sample_id, decision.annotator)
    return _append(connection, "decisions", decision, datetime.now(UTC), undoes, None)


def append_decisions(
    connection: JournalConnection,
    decisions: Iterable[Decision],
    now: datetime,
    *,
    table: Table = "decisions",
    request: str | None = None,
) -> int:
    """Write what an annotator decided at once, in this order; returns how many decisions that were."""
    return sum(1 for decision in decisions if _append(connection, table, decision, now, None, request))


def append_undo(
    connection: JournalConnection,
    annotator: str,
    taken_back: Iterable[NumberedDecision],
    now: datetime,
    *,
    context: dict[str, Any],
    table: Table = "decisions",
    request: str | None = None,
) -> None:
    """Take back these decisions, given with their numbers."""
    for number, decision in taken_back:
        undo = Decision(decision.sample_id, DecisionAction.UNDO, annotator, context=context)
        _append(connection, table, undo, now, number, request)


def is_known_request(connection: JournalConnection, annotator: str, request: str) -> bool:
    """Whether this annotator's request has been written already."""
    query = """
        SELECT EXISTS (SELECT 1 FROM decisions WHERE request = ? AND annotator = ?)
            OR EXISTS (SELECT 1 FROM gold_decisions WHERE request = ? AND annotator = ?)
    """
    return bool(connection.execute(query, (request, annotator) * 2).fetchone()[0])


def latest_decisions(connection: JournalConnection) -> dict[str, Decision]:
    """Sample id -> the decision that counts (`curation.standing`): what exports, audits and the noise model read."""
    counting = {}
    for sample_id, standing in standing_decisions(connection).items():
        decision = decision_that_counts(standing)
        if decision is not None:
            counting[sample_id] = decision
    return counting


def standing_decisions(
    connection: JournalConnection,
    sample_ids: Iterable[str] | None = None,
    *,
    table: Table = "decisions",
    with_context: bool = True,
) -> dict[str, list[Decision]]:
    """Sample id -> the decisions on it that stand, oldest first, of all samples or of these; by sample id."""
    some = "" if sample_ids is None else " AND d.sample_id IN (SELECT value FROM json_each(?))"
    parameters = () if sample_ids is None else (json.dumps(list(sample_ids)),)
    context = "d.context" if with_context else "'{}'"
    query = f"""
        SELECT {_COLUMNS}, {context} FROM {table} d WHERE {STANDS.format(table=table)}{some}
        ORDER BY d.sample_id, d.decision_id
    """  # noqa: S608 - constants
    decisions = (_decision(*row) for row in connection.execute(query, parameters))
    return {sample_id: list(of_one) for sample_id, of_one in groupby(decisions, key=lambda one: one.sample_id)}


def seen_by_several(connection: JournalConnection) -> list[str]:
    """The samples on which more than one annotator has ever decided."""
    rows = connection.execute(
        "SELECT sample_id FROM decisions GROUP BY sample_id HAVING min(annotator) <> max(annotator)"
    )
    return [row[0] for row in rows]


def changed_since(connection: JournalConnection, decision_id: int) -> set[str]:
    """The samples that anything was written about after this number."""
    rows = connection.execute("SELECT DISTINCT sample_id FROM decisions WHERE decision_id > ?", (decision_id,))
    return {row[0] for row in rows}


def records_since(connection: JournalConnection, moment: datetime) -> int:
    """How many decisions, undone ones and their undoing included, were written after this moment."""
    row = connection.execute("SELECT count(*) FROM decisions WHERE decided_at > ?", (moment.isoformat(),)).fetchone()
    return int(row[0])


def newest_record(connection: JournalConnection) -> tuple[int, str]:
    """The number of the last record and when it was written; 0 and "" where there is none."""
    row = connection.execute(
        "SELECT decision_id, decided_at FROM decisions ORDER BY decision_id DESC LIMIT 1"
    ).fetchone()
    return (0, "") if row is None else (int(row[0]), str(row[1]))


def is_record(connection: JournalConnection, decision_id: int, written_at: str) -> bool:
    """Whether there is a record of this number that was written then."""
    query = "SELECT EXISTS (SELECT 1 FROM decisions WHERE decision_id = ? AND decided_at = ?)"
    return bool(connection.execute(query, (decision_id, written_at)).fetchone()[0])


def last_steps(
    connection: JournalConnection, annotator: str, steps: int
) -> tuple[list[NumberedDecision], list[NumberedDecision]]:
    """The newest `steps` decisions of this annotator that stand, newest first: on samples, and on gold checks."""
    found: list[tuple[int, Table, NumberedDecision]] = []
    tables: tuple[Table, ...] = ("decisions", "gold_decisions")
    for table in tables:
        query = f"""
            SELECT coalesce(d.step, d.decision_id), d.decision_id, {_COLUMNS}, d.context FROM {table} d
            WHERE d.annotator = ? AND {STANDS.format(table=table)} ORDER BY d.decision_id DESC LIMIT ?
        """  # noqa: S608 - constants
        rows = connection.execute(query, (annotator, steps))
        found += [(row[0], table, (row[1], _decision(*row[2:]))) for row in rows]
    newest = sorted(found, key=lambda item: -item[0])[:steps]
    return (
        [numbered for _, table, numbered in newest if table == "decisions"],
        [numbered for _, table, numbered in newest if table == "gold_decisions"],
    )


def steps_of_request(
    connection: JournalConnection, annotator: str, request: str
) -> tuple[list[NumberedDecision], list[NumberedDecision]]:
    """The decisions that this annotator's request wrote and that stand, newest first, like `last_steps`."""

    def written_to(table: Table) -> list[NumberedDecision]:
        query = f"""
            SELECT d.decision_id, {_COLUMNS}, d.context FROM {table} d
            WHERE d.request = ? AND d.annotator = ? AND {STANDS.format(table=table)} ORDER BY d.decision_id DESC
        """  # noqa: S608 - constants
        return [(row[0], _decision(*row[1:])) for row in connection.execute(query, (request, annotator))]

    return written_to("decisions"), written_to("gold_decisions")


def standing_by_number(connection: JournalConnection, numbers: Sequence[int]) -> list[NumberedDecision]:
    """Those of the decisions with these numbers that stand, newest first."""
    query = f"""
        SELECT d.decision_id, {_COLUMNS}, d.context FROM decisions d
        WHERE d.decision_id IN (SELECT value FROM json_each(?)) AND {STANDS.format(table="decisions")}
        ORDER BY d.decision_id DESC
    """  # noqa: S608 - constants
    return [(row[0], _decision(*row[1:])) for row in connection.execute(query, (json.dumps(list(numbers)),))]


def _newest_standing(connection: JournalConnection, sample_id: str, annotator: str) -> int | None:
    query = f"""
        SELECT max(d.decision_id) FROM decisions d
        WHERE d.sample_id = ? AND d.annotator = ? AND {STANDS.format(table="decisions")}
    """  # noqa: S608 - constants
    found: int | None = connection.execute(query, (sample_id, annotator)).fetchone()[0]
    return found


_NEXT_STEP = """(SELECT 1 + max(
    coalesce((SELECT max(decision_id) FROM decisions), 0), coalesce((SELECT max(step) FROM decisions), 0),
    coalesce((SELECT max(step) FROM gold_decisions), 0)
))"""


def _append(
    connection: JournalConnection,
    table: Table,
    decision: Decision,
    now: datetime,
    undoes: int | None,
    request: str | None,
) -> int:
    cursor = connection.execute(
        f"""
        INSERT INTO {table}
            (sample_id, action, category, annotator, decided_at, context, undoes, second_look, request, step)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {_NEXT_STEP})
        """,  # noqa: S608 - constants
        (
            decision.sample_id,
            decision.action.value,
            decision.category,
            decision.annotator,
            now.isoformat(),
            json.dumps(decision.context),
            undoes,
            int(decision.second_look),
            request,
        ),
    )
    return int(cursor.lastrowid or 0)


def _decision(
    sample_id: str, action: str, annotator: str, category: str | None, second_look: int, context: str
) -> Decision:
    return Decision(
        sample_id,
        DecisionAction(action),
        annotator,
        category,
        {} if context == "{}" else json.loads(context),
        bool(second_look),
    )

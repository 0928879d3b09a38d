from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.audit_plan import AuditPlan, AuditStratum
from curation.errors import StoreError
from curation.store.audits import append_audit, read_audits
from curation.store.category_ids import category_ids, number_categories
from curation.store.decisions import append_decision, latest_decisions
from curation.store.journal import bring_up_to_date, journal
from curation.store.journal_schema import MIGRATIONS
from curation.values import Decision, DecisionAction
from curation.workspace import Workspace


def decide(action: DecisionAction, sample_id: str = "s1", annotator: str = "first", **facts: object) -> Decision:
    return Decision(sample_id, action, annotator, **facts)  # type: ignore[arg-type]


def test_decisions__the_newest_counts_and_undo_takes_it_back_alone(workspace: Workspace) -> None:
    drop = decide(DecisionAction.DROP, context={"run": "r1", "key": "E"})
    relabel = decide(DecisionAction.RELABEL, sample_id="s2", category="Wren")
    with journal(workspace.journal) as connection:
        append_decision(connection, decide(DecisionAction.KEEP))
        append_decision(connection, drop)
        append_decision(connection, relabel)
        assert latest_decisions(connection) == {"s1": drop, "s2": relabel}
        append_decision(connection, decide(DecisionAction.UNDO, annotator="second"))  # has said nothing yet
        assert latest_decisions(connection) == {"s1": drop, "s2": relabel}
        append_decision(connection, decide(DecisionAction.UNDO))
        assert latest_decisions(connection) == {"s1": decide(DecisionAction.KEEP), "s2": relabel}
        append_decision(connection, decide(DecisionAction.UNDO))
        assert latest_decisions(connection) == {"s2": relabel}


PLAN = AuditPlan(
    seed=7,
    content_hash="c0ffee",
    promise=0.02,
    confirmed=3,
    strata=(AuditStratum(40, 0.0, 0.1, 0.05, ("s4", "s1")), AuditStratum(30, None, None, None, ("s2",))),
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decisions SET action = 'keep'",
        "DELETE FROM decisions",
        "UPDATE audits SET strata = '[]'",
        "DELETE FROM audits",
    ],
)
def test_journal__cannot_be_rewritten(workspace: Workspace, statement: str) -> None:
    with journal(workspace.journal) as connection:
        append_decision(connection, decide(DecisionAction.DROP))
        append_audit(connection, PLAN)
    with pytest.raises(StoreError, match="append-only"), journal(workspace.journal) as connection:
        connection.execute(statement)
    with journal(workspace.journal) as connection:
        assert len(latest_decisions(connection)) == 1


def test_audits__are_kept_as_they_were_drawn(workspace: Workspace) -> None:
    with journal(workspace.journal) as connection:
        first = append_audit(connection, PLAN)
        second = append_audit(connection, replace(PLAN, promise=None))
    with journal(workspace.journal) as connection:
        assert read_audits(connection) == [first, second]
    assert (first.audit_id, second.audit_id) == (1, 2) and first.planned_at < second.planned_at
    assert first.plan == PLAN and PLAN.drawn == ("s1", "s2", "s4") and PLAN.population == 70


def test_journal__one_without_audits_is_brought_up_to_date(workspace: Workspace) -> None:
    with closing(sqlite3.connect(workspace.journal)) as connection:
        for statement in (*MIGRATIONS[0], "PRAGMA user_version = 1"):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO decisions (sample_id, action, annotator, decided_at, context)"
            " VALUES ('s1', 'drop', 'first', '2026-01-01T00:00:00+00:00', '{}')"
        )
        connection.commit()
    with journal(workspace.journal) as connection:
        assert read_audits(connection) == []
        assert latest_decisions(connection) == {"s1": decide(DecisionAction.DROP)}
        append_audit(connection, PLAN)


def test_audit__cannot_draw_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="1 to 1 samples"):
        AuditStratum(1, 0.0, 1.0, 0.5, ("s1", "s2"))


def test_decisions__survive_a_killed_writer(workspace: Workspace) -> None:
    write = """
        import os, signal, sys
        from pathlib import Path
        from curation.store.decisions import append_decision
        from curation.store.journal import journal
        from curation.values import Decision, DecisionAction
        for number in range(5):
            with journal(Path(sys.argv[1])) as connection:
                append_decision(connection, Decision(f"s{number}", DecisionAction.DROP, "first"))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(write), str(workspace.journal)], check=False)
    assert done.returncode == -9
    with journal(workspace.journal) as connection:
        assert len(latest_decisions(connection)) == 5
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_journal__a_foreign_file_is_not_touched(workspace: Workspace) -> None:
    workspace.journal.write_bytes(b"notes of mine, not a database" * 100)
    with pytest.raises(StoreError, match="restore it from a backup"), journal(workspace.journal):
        pass
    assert workspace.journal.read_bytes().startswith(b"notes of mine")


def test_decision__needs_a_name_and_a_category_only_to_relabel() -> None:
    with pytest.raises(ValueError, match="annotator"):
        decide(DecisionAction.KEEP, annotator=" ")
    with pytest.raises(ValueError, match="category"):
        decide(DecisionAction.RELABEL)
    with pytest.raises(ValueError, match="category"):
        decide(DecisionAction.KEEP, category="Wren")


@settings(max_examples=25)
@given(st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=5))
def test_category_ids__never_change_once_given(ingests: list[set[str]]) -> None:
    with sqlite3.connect(":memory:") as connection:
        bring_up_to_date(connection)
        before: dict[str, int] = {}
        for names in ingests:
            number_categories(connection, names)
            after = category_ids(connection)
            assert after.items() >= before.items()
            assert sorted(after.values()) == list(range(len(after)))
            before = after
    connection.close()

"""What is written of a page, what counts of it, how it is taken back, and gold checks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.config import Config, ReviewConfig
from curation.errors import ReviewError, StoreError
from curation.review.deciding import confirm_page, decide, undo
from curation.review.gold_accuracy import gold_accuracy, wilson_interval
from curation.review.history import annotators, decisions_page, revert
from curation.review.pages import next_page, release_page
from curation.review.values import ReviewMode, ReviewPage, Verdict
from curation.standing import decision_that_counts
from curation.store.decision_history import DecisionFilter
from curation.store.decisions import append_decision, latest_decisions
from curation.store.gold_checks import read_gold_check
from curation.store.journal import journal
from curation.store.journal_schema import MIGRATIONS
from curation.values import Decision, DecisionAction
from curation.workspace import Workspace
from tests.review_factory import PLAIN, confirm, ids, publish, say

KEEP, DROP, RELABEL, UNSURE, UNDO = DecisionAction


def counting(workspace: Workspace) -> dict[str, str]:
    with journal(workspace.journal) as connection:
        return {name: str(one.category or one.action) for name, one in latest_decisions(connection).items()}


@pytest.fixture
def page(workspace: Workspace) -> ReviewPage:
    """Four wrens in front of ada: drop, relabel to robin, keep, keep."""
    publish(workspace, {"wren": [0.9, 0.8, 0.3, 0.1], "robin": [0.0]}, suggested={"wren-00001": "robin"})
    made = next_page(workspace, PLAIN, "ada", category="wren")
    assert made is not None
    return made


def said(who: str, action: DecisionAction, category: str | None = None, *, second_look: bool = False) -> Decision:
    return Decision("s", action, who, category, {"by": who}, second_look)


def test_counts__one_vote_or_equal_votes(workspace: Workspace) -> None:
    assert decision_that_counts([]) is None
    assert decision_that_counts([said("ada", KEEP), said("ada", DROP)]) == said("ada", DROP)
    robin = [said(who, RELABEL, "robin") for who in ("ada", "ben", "cleo")]
    assert decision_that_counts(robin) == robin[-1]


def test_counts__a_conflict_is_unsure_until_a_second_look() -> None:
    for votes in permutations([said("ada", KEEP), said("ben", RELABEL, "robin"), said("cleo", RELABEL, "tern")], 2):
        found = decision_that_counts(votes)
        assert found is not None and found.action is UNSURE
        assert found.context["conflict"] == {vote.annotator: vote.action.value for vote in votes}
        look = said("ada", DROP, second_look=True)
        for standing in ([*votes, look], [look, *votes]):  # whoever votes later does not undo what was settled
            assert decision_that_counts(standing) == look


def test_confirm__writes_the_presets_and_what_was_seen(workspace: Workspace, page: ReviewPage) -> None:
    assert decide(workspace, page, "ada", [Verdict("wren-00000", KEEP, None, "Q")]) == 1
    assert confirm_page(workspace, page, "ada", [Verdict("wren-00003", UNSURE, None, "N")]) == 3
    assert counting(workspace) == {
        "wren-00000": "keep",
        "wren-00001": "robin",
        "wren-00002": "keep",
        "wren-00003": "unsure",
    }
    with journal(workspace.journal) as connection:
        context = latest_decisions(connection)["wren-00000"].context
    assert context == {
        "run": page.run_id,
        "page": page.page_id,
        "mode": "category",
        "category": "wren",
        "key": "Q",
        "preset": "drop",
        "noise_probability": pytest.approx(0.9),
    }


def test_confirm__a_preset_never_replaces_a_click(workspace: Workspace, page: ReviewPage) -> None:
    say(workspace, page, "ada", KEEP, "wren-00000")
    stale = [Verdict(tile.sample_id, tile.preset, tile.preset_category, "") for tile in page.tiles]
    assert confirm_page(workspace, page, "ada", stale) == 3
    assert confirm_page(workspace, page, "ada") == 0
    assert counting(workspace)["wren-00000"] == "keep"


def test_decide__a_request_that_comes_twice_is_written_once(workspace: Workspace, page: ReviewPage) -> None:
    verdicts = [Verdict("wren-00000", KEEP, None, "Q")]
    assert decide(workspace, page, "ada", verdicts, request="b-1") == 1
    assert decide(workspace, page, "ada", verdicts, request="b-1") == 0
    assert decide(workspace, page, "ben", verdicts, request="b-1") == 1  # another browser's
    assert len(undo(workspace, "ada", request="b-2")) == 1
    assert undo(workspace, "ada", request="b-2") == []


def test_decide__relabelled_to_its_own_category_is_kept(workspace: Workspace, page: ReviewPage) -> None:
    decide(workspace, page, "ada", [Verdict("wren-00000", RELABEL, "wren", "1")])
    assert counting(workspace) == {"wren-00000": "keep"}


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (Verdict("robin-00000", KEEP, None, ""), "not on this page"),
        (Verdict("wren-00000", RELABEL, None, ""), "no verdict"),
        (Verdict("wren-00000", KEEP, "robin", ""), "no verdict"),
        (Verdict("wren-00000", UNDO, None, ""), "no verdict"),
        (Verdict("wren-00000", RELABEL, "robbin", "1"), "Did you mean 'robin'"),
    ],
)
def test_decide__nothing_is_written_where_one_verdict_cannot_be(
    workspace: Workspace, page: ReviewPage, verdict: Verdict, message: str
) -> None:
    for write in (decide, confirm_page):
        with pytest.raises(ReviewError, match=message):
            write(workspace, page, "ada", [Verdict("wren-00001", KEEP, None, "Q"), verdict])
    assert counting(workspace) == {}


def test_undo__any_number_of_steps_and_nobody_elses(workspace: Workspace, page: ReviewPage) -> None:
    say(workspace, page, "ada", KEEP, "wren-00000", "wren-00001")
    say(workspace, page, "ben", KEEP, "wren-00000", "wren-00001")
    say(workspace, page, "ada", DROP, "wren-00001")
    assert counting(workspace) == {"wren-00000": "keep", "wren-00001": "unsure"}
    assert [(one.sample_id, one.action) for one in undo(workspace, "ada")] == [("wren-00001", DROP)]
    assert counting(workspace) == {"wren-00000": "keep", "wren-00001": "keep"}  # what ada said before stands again
    assert [one.sample_id for one in undo(workspace, "ada", 5)] == ["wren-00001", "wren-00000"]
    assert undo(workspace, "ada") == []
    assert {one.annotator for one in undo(workspace, "ben", 1)} == {"ben"}
    assert counting(workspace) == {"wren-00000": "keep"}
    with pytest.raises(ReviewError, match="not 0"):
        undo(workspace, "ada", 0)


def test_undo__brings_a_confirmed_page_back(workspace: Workspace, page: ReviewPage) -> None:
    assert confirm(workspace, page, "ada") == 4
    assert next_page(workspace, PLAIN, "ada", category="wren") is None
    assert len(undo(workspace, "ada", 4)) == 4
    say(workspace, page, "ada", DROP, "wren-00003")
    assert next_page(workspace, PLAIN, "ben", category="wren") is None  # it is hers again
    again = next_page(workspace, PLAIN, "ada")
    assert again is not None and again.page_id == page.page_id and again.tiles[3].preset is DROP


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acts=st.lists(
        st.tuples(
            st.sampled_from(["ada", "ben"]),
            st.sampled_from([KEEP, DROP, UNSURE, UNDO]),
            st.sampled_from(["s1", "s2", "s3"]),
            st.integers(1, 3),
        ),
        max_size=20,
    )
)
def test_undo__is_a_stack_for_each_annotator(
    workspace: Workspace, acts: list[tuple[str, DecisionAction, str, int]]
) -> None:
    for path in workspace.root.glob("decisions.sqlite*"):
        path.unlink()
    stacks: dict[str, list[Decision]] = {"ada": [], "ben": []}
    for who, action, name, steps in acts:
        if action is UNDO:
            expected = [stacks[who].pop() for _ in range(min(steps, len(stacks[who])))]
            assert undo(workspace, who, steps) == expected
        else:
            stacks[who].append(Decision(name, action, who))
            with journal(workspace.journal) as connection:
                append_decision(connection, stacks[who][-1])
    votes = {(one.sample_id, who): one.action for who, stack in stacks.items() for one in stack}
    for name in ("s1", "s2", "s3"):
        actions = {action for (sample, _), action in votes.items() if sample == name}
        expected_action = None if not actions else next(iter(actions)) if len(actions) == 1 else UNSURE
        assert counting(workspace).get(name) == expected_action


def test_decisions__survive_a_killed_server(workspace: Workspace, page: ReviewPage) -> None:
    write = """
        import os, signal, sys
        from pathlib import Path
        from curation.review.deciding import decide
        from curation.review.pages import next_page
        from curation.review.values import Verdict
        from curation.values import DecisionAction
        from curation.workspace import Workspace
        from tests.review_factory import PLAIN
        workspace = Workspace(Path(sys.argv[1]))
        page = next_page(workspace, PLAIN, "ada")
        decide(workspace, page, "ada", [Verdict(page.tiles[0].sample_id, DecisionAction.UNSURE, None, "N")])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(write), str(workspace.root)]
    assert subprocess.run(command, check=False).returncode == -9
    again = next_page(workspace, PLAIN, "ada")
    assert again is not None and again.page_id == page.page_id and again.tiles[0].preset is UNSURE
    assert [one.action for one in undo(workspace, "ada")] == [UNSURE]


def test_journal__undos_of_the_version_before_keep_their_meaning(workspace: Workspace) -> None:
    with closing(sqlite3.connect(workspace.journal)) as connection:
        for statement in (*MIGRATIONS[0], *MIGRATIONS[1], "PRAGMA user_version = 2"):
            connection.execute(statement)
        for name, action in (("s1", KEEP), ("s1", DROP), ("s1", UNDO), ("s2", DROP), ("s2", UNDO), ("s2", KEEP)):
            connection.execute(
                "INSERT INTO decisions (sample_id, action, annotator, decided_at, context)"
                " VALUES (?, ?, 'ada', '2026-01-01T00:00:00+00:00', '{}')",
                (name, action.value),
            )
        connection.commit()
    assert counting(workspace) == {"s2": "keep"}
    assert [one.sample_id for one in undo(workspace, "ada", 9)] == ["s2"]


def test_journal__of_a_newer_version_is_refused(workspace: Workspace) -> None:
    with closing(sqlite3.connect(workspace.journal)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"schema 99.*newer version"):
        counting(workspace)


GOLDEN = Config(review=ReviewConfig(overlap=0, gold=0.5))


def golden_page(workspace: Workspace, who: str, chances: list[float], base: int = 40) -> ReviewPage:
    publish(workspace, {"wren": chances, "robin": [0.0]}, base=base)
    page = next_page(workspace, GOLDEN, who, size=40)
    assert page is not None
    return page


def checks_on(workspace: Workspace, page: ReviewPage) -> dict[str, bool]:
    with journal(workspace.journal) as connection:
        checks = {name: read_gold_check(connection, name) for name in ids(page)}
    return {name: check.is_right for name, check in checks.items() if check is not None}


def test_gold__looks_like_all_others_and_never_counts(workspace: Workspace) -> None:
    page = golden_page(workspace, "ada", [0.9 - place / 100 for place in range(60)] + [0.0] * 20)
    checks = checks_on(workspace, page)
    assert 5 <= len(checks) <= 20 and set(checks.values()) == {True, False} and len(page.tiles) == 40
    told = [tile.noise_probability for tile in page.tiles]
    assert told == sorted(told, reverse=True) and {tile.web_category for tile in page.tiles} == {"wren"}
    assert {tile.image_id for tile in page.tiles} == {f"wren/{number}.jpg" for number in range(40)}
    confirm(workspace, page, "ada")
    assert set(counting(workspace)) == set(ids(page)) - checks.keys()
    later = next_page(workspace, PLAIN, "ada")
    assert later is not None and len(set(ids(later)[: len(checks)]) & {f"wren-{n:05d}" for n in range(40)}) == len(
        checks
    )


def test_gold__accuracy_of_each_annotator(workspace: Workspace) -> None:
    page = golden_page(workspace, "ada", [0.9] * 60 + [0.0] * 20)
    checks = checks_on(workspace, page)
    assert gold_accuracy(workspace) == []
    right = [name for name, is_right in checks.items() if is_right]
    wrong = [name for name, is_right in checks.items() if not is_right]
    say(workspace, page, "ada", KEEP, *checks)
    say(workspace, page, "ada", RELABEL, wrong[0])
    say(workspace, page, "ada", UNSURE, right[0])
    (found,) = gold_accuracy(workspace)
    assert (found.annotator, found.answered, found.right, found.unsure) == ("ada", len(checks) - 1, len(right), 1)
    assert found.accuracy == found.right / found.answered and found.low < found.accuracy < found.high
    assert [one.sample_id for one in undo(workspace, "ada", 2)] == [right[0], wrong[0]]
    (found,) = gold_accuracy(workspace)
    assert (found.answered, found.right, found.unsure) == (len(checks), len(right), 0)


def test_gold__is_left_out_where_there_is_nothing_to_make_it_of(workspace: Workspace) -> None:
    page = golden_page(workspace, "ada", [0.9] * 30, base=0)
    assert checks_on(workspace, page) == {} and 15 <= len(page.tiles) <= 30


def test_gold__comes_again_with_its_page_and_its_answer(workspace: Workspace) -> None:
    page = golden_page(workspace, "ada", [0.9] * 60 + [0.0] * 20)
    say(workspace, page, "ada", UNSURE, *checks_on(workspace, page))
    again = next_page(workspace, GOLDEN, "ada")
    assert again is not None and ids(again) == ids(page)
    assert {tile.sample_id for tile in again.tiles if tile.preset is UNSURE} == checks_on(workspace, page).keys()


def test_gold__none_in_second_looks(workspace: Workspace) -> None:
    page = golden_page(workspace, "ada", [0.9] * 40)
    say(workspace, page, "ada", UNSURE)
    confirm(workspace, page, "ada")
    look = next_page(workspace, GOLDEN, "ben", mode=ReviewMode.SECOND_LOOK)
    assert look is not None and len(look.tiles) > 15 and checks_on(workspace, look) == {}


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(0, 0, 0.0, 1.0), (8, 10, 0.541, 0.931), (0, 10, 0.0, 0.213), (10, 10, 0.787, 1.0)],
)
def test_wilson__by_hand(right: int, total: int, low: float, high: float) -> None:
    # 8 of 10, z = 1.645: (0.8 + 0.1353 -+ 1.645 sqrt(0.016 + 0.006764)) / 1.2706
    assert wilson_interval(right, total) == pytest.approx((low, high), abs=6e-4)


def test_history__filters_pages_and_reverts(workspace: Workspace, page: ReviewPage) -> None:
    say(workspace, page, "ada", KEEP, "wren-00000", "wren-00001")
    confirm(workspace, page, "ben")
    undo(workspace, "ben")
    everything = decisions_page(workspace, size=4)
    assert [row.record.decision.annotator for row in everything.rows] == ["ben"] * 4
    assert everything.total == 6 and everything.rows[0].record.taken_back_by == "ben"
    assert everything.rows[0].sample is not None and everything.rows[0].sample.image_id == "wren/3.jpg"
    rest = decisions_page(workspace, size=4, before=everything.next_before)
    assert [row.record.decision.annotator for row in rest.rows] == ["ada"] * 2 and rest.next_before is None

    def found(**wanted: object) -> int:
        return decisions_page(workspace, DecisionFilter(**wanted)).total  # type: ignore[arg-type]

    assert found(annotator="ben") == 4 and found(annotator="ben", standing=True) == 3 and found(standing=False) == 1
    assert found(action=RELABEL) == 1 and found(category="wren", mode="category") == 6 and found(category="robin") == 0
    first = rest.rows[-1].record
    assert found(from_time=everything.rows[0].record.decided_at) == 4 and found(to_time=first.decided_at) == 0
    assert found(sample_id="wren-00000") == 2 and annotators(workspace) == ["ada", "ben"]
    with pytest.raises(ReviewError, match="ben may not revert what ada decided"):
        revert(workspace, PLAIN, "ben", [first.decision_id])
    led = Config(review=ReviewConfig(leads=("Lea",)))
    assert counting(workspace)["wren-00000"] == "unsure"
    assert revert(workspace, led, "lea", [first.decision_id]) == [first.decision]
    assert revert(workspace, led, "lea", [first.decision_id]) == []
    assert counting(workspace)["wren-00000"] == "drop"
    assert undo(workspace, "lea") == [] and [one.sample_id for one in undo(workspace, "ada", 3)] == ["wren-00001"]
    with pytest.raises(ReviewError, match="1 to 1000"):
        decisions_page(workspace, size=0)


def test_release__keeps_what_was_decided(workspace: Workspace, page: ReviewPage) -> None:
    say(workspace, page, "ada", KEEP, "wren-00000")
    release_page(workspace, page, "ada")
    assert ids(next_page(workspace, PLAIN, "ben", category="wren")) == ["wren-00001", "wren-00002", "wren-00003"]

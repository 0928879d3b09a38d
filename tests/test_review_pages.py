"""Which page comes next: order, presets, modes, leases."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.audit import plan_audit
from curation.config import CleanedSetConfig, Config, ReviewConfig
from curation.errors import ReviewError, StoreError
from curation.review.deciding import confirm_page
from curation.review.order import fair_draw
from curation.review.page_again import page_again
from curation.review.pages import newest_run, next_page, release_all_pages, release_page
from curation.review.presets import likely_categories, preset_verdict
from curation.review.queue import waiting_for_others
from curation.review.values import ReviewMode, ReviewPage, Verdict, page_of_text, page_text
from curation.stages.audit import samples_to_audit
from curation.store.audits import append_audit
from curation.store.journal import journal
from curation.store.leases import leased_samples
from curation.store.snapshot import publish_snapshot
from curation.values import DecisionAction, FlagName
from curation.workspace import Workspace
from tests.review_factory import PLAIN, RUN, confirm, estimate_of, evidence_of, ids, publish, say

KEEP, DROP, RELABEL, UNSURE = (
    DecisionAction.KEEP,
    DecisionAction.DROP,
    DecisionAction.RELABEL,
    DecisionAction.UNSURE,
)


def test_next_page__most_errors_first_and_most_suspicious_first(workspace: Workspace) -> None:
    publish(workspace, {"robin": [0.1, 0.9, 0.2], "wren": [0.9, 0.6, 0.0, 0.7]})
    page = next_page(workspace, PLAIN, "ada", size=3)
    assert page is not None
    assert (page.category, page.run_id, page.mode) == ("wren", RUN, ReviewMode.CATEGORY)
    assert ids(page) == ["wren-00000", "wren-00003", "wren-00001"]
    confirm(workspace, page, "ada")
    assert ids(next_page(workspace, PLAIN, "ada", size=3)) == ["robin-00001", "robin-00002", "robin-00000"]


def test_next_page__ends_before_the_surely_right_ones(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9] * 15 + [0.05] * 25, "robin": [0.8] * 2 + [0.01] * 20, "tern": [0.02] * 30})
    sizes = []
    while (page := next_page(workspace, PLAIN, "ada")) is not None:
        sizes.append((page.category, len(page.tiles)))
        confirm(workspace, page, "ada")
    # 12 at least; the surely right ones come last, on pages as long as may be
    assert sizes == [("wren", 15), ("robin", 12), ("wren", 25), ("tern", 30), ("robin", 10)]


def test_next_page__leaves_out_what_it_cannot_settle(workspace: Workspace) -> None:
    copies = [("wren-00000", FlagName.NEAR_DUPLICATE), ("wren-00001", FlagName.LEAK), ("wren-00002", FlagName.OUTLIER)]
    publish(workspace, {"wren": [0.9, 0.8, 0.7, 0.6, 0.5]}, flags=copies, unreadable=["wren-00004"])
    assert ids(next_page(workspace, PLAIN, "ada")) == ["wren-00002", "wren-00003"]
    all_stay = replace_config(PLAIN, cleaned_set=CleanedSetConfig(set_aside=()))
    assert ids(next_page(workspace, all_stay, "ben")) == ["wren-00000", "wren-00001"]  # they are exported, so reviewed


def replace_config(config: Config, **sections: object) -> Config:
    return config.model_copy(update=sections)


def test_next_page__by_weight_where_there_is_no_noise_probability(workspace: Workspace) -> None:
    publish(workspace, {"wren": [None, 0.3, None]})
    page = next_page(workspace, PLAIN, "ada")
    assert page is not None and ids(page) == ["wren-00001", "wren-00000", "wren-00002"]
    assert page.tiles[1].noise_probability is None and page.tiles[1].preset is KEEP


def test_next_page__says_what_is_missing(workspace: Workspace) -> None:
    assert newest_run(workspace) is None
    with pytest.raises(StoreError, match="nothing published"):
        next_page(workspace, PLAIN, "ada")
    publish(workspace, {})
    with pytest.raises(ReviewError, match="no novel image has been scored"):
        next_page(workspace, PLAIN, "ada")
    publish(workspace, {"wren": [0.5]})
    assert newest_run(workspace) == RUN
    with pytest.raises(ReviewError, match="a name is needed"):
        next_page(workspace, PLAIN, "  ")
    with pytest.raises(ReviewError, match="1 to 500"):
        next_page(workspace, PLAIN, "ada", size=501)
    with pytest.raises(ReviewError, match="'eagle'"):
        next_page(workspace, PLAIN, "ada", category="eagle")


def test_next_page__a_newer_snapshot_is_read(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.5, 0.4]})
    page = next_page(workspace, PLAIN, "ada", size=1)
    assert page is not None and page.run_id == RUN
    publish(workspace, {"wren": [0.5, 0.6]}, run_id="20260106T070000-bbbbbb")
    assert newest_run(workspace) == "20260106T070000-bbbbbb"
    assert ids(next_page(workspace, PLAIN, "ben")) == ["wren-00001"]


def test_presets__by_hand() -> None:
    review = ReviewConfig(preset_noise=0.5, preset_relabel=0.6)
    assert preset_verdict(None, "wren", review) == (KEEP, None)
    assert preset_verdict(estimate_of("s", 0.49, "robin"), "wren", review) == (KEEP, None)
    assert preset_verdict(estimate_of("s", 0.5, "robin", 0.6), "wren", review) == (RELABEL, "robin")
    assert preset_verdict(estimate_of("s", 0.9, "robin", 0.59), "wren", review) == (DROP, None)
    assert preset_verdict(estimate_of("s", 0.9, None), "wren", review) == (DROP, None)
    assert preset_verdict(estimate_of("s", 0.6, "wren"), "wren", review) == (DROP, None)


def test_likely__the_suggestion_first_never_its_own_and_nine_at_most() -> None:
    near = evidence_of("s", 1.0, ["wren", "tern", "robin"])
    assert likely_categories(estimate_of("s", 0.9, "robin"), near, "wren") == ("robin", "tern")
    assert likely_categories(None, None, "wren") == ()
    many = evidence_of("s", 1.0, [f"c{number}" for number in range(12)])
    assert likely_categories(estimate_of("s", 0.9, "wren"), many, "wren") == tuple(f"c{n}" for n in range(9))


def test_references__trusted_kept_first_and_not_on_the_page(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9, 0.05, 0.03, 0.01, 0.2, 0.02]}, flags=[("wren-00003", FlagName.NEAR_DUPLICATE)])
    page = next_page(workspace, PLAIN, "ada", size=1)
    assert page is not None and page.references == ("wren-00005", "wren-00002", "wren-00001", "wren-00004")
    confirm(workspace, page, "ada")
    page = next_page(workspace, PLAIN, "ada", size=1)  # wren-00004
    say(workspace, page, "ada", KEEP)
    confirm(workspace, page, "ada")
    short = replace_config(PLAIN, review=ReviewConfig(overlap=0, gold=0, reference_strip=2))
    page = next_page(workspace, short, "ada", size=1)
    assert page is not None and page.references == ("wren-00004", "wren-00005")


def test_references__of_a_small_category_are_those_on_its_page(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9, 0.05, 0.03]})
    page = next_page(workspace, PLAIN, "ada")
    assert page is not None and len(page.tiles) == 3 and page.references == ("wren-00002", "wren-00001")


def test_leases__are_given_back_and_end(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9, 0.8]})
    hasty = replace_config(PLAIN, review=ReviewConfig(overlap=0, gold=0, lease_minutes=1e-5))  # 0.6 ms
    first = next_page(workspace, hasty, "ada", size=1)
    while first is not None and datetime.now(UTC) < first.leased_until:
        pass
    second = next_page(workspace, PLAIN, "ben", size=1)
    assert second is not None and ids(second) == ids(first) == ["wren-00000"]
    assert next_page(workspace, PLAIN, "ada", size=1, held=["none"]) is not None
    assert next_page(workspace, PLAIN, "cleo") is None
    release_page(workspace, second, "ada")  # not hers
    assert next_page(workspace, PLAIN, "cleo") is None
    release_page(workspace, second, "ben")
    assert ids(next_page(workspace, PLAIN, "cleo")) == ["wren-00000"]
    assert release_all_pages(workspace, "ada") == 1
    assert ids(next_page(workspace, PLAIN, "ben")) == ["wren-00001"]


def test_leases__a_late_decision_is_taken_and_conflicts(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9]})
    hasty = replace_config(PLAIN, review=ReviewConfig(overlap=0, gold=0, lease_minutes=1e-5))
    late = next_page(workspace, hasty, "ada")
    while late is not None and datetime.now(UTC) < late.leased_until:
        pass
    prompt = next_page(workspace, PLAIN, "ben")
    assert confirm(workspace, prompt, "ben") == 1
    assert say(workspace, late, "ada", KEEP) == 1
    settle = next_page(workspace, PLAIN, "cleo", mode=ReviewMode.SECOND_LOOK)
    assert ids(settle) == ["wren-00000"]


def test_page__comes_again_after_a_closed_browser(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9, 0.8, 0.2], "robin": [0.1]})
    page = next_page(workspace, PLAIN, "ada", size=3)
    assert page is not None
    say(workspace, page, "ada", KEEP, "wren-00001")
    again = next_page(workspace, PLAIN, "ada", size=60)
    assert again is not None and again.page_id == page.page_id and again.leased_until > page.leased_until
    assert [(tile.sample_id, tile.preset) for tile in again.tiles] == [
        ("wren-00000", DROP),
        ("wren-00001", KEEP),
        ("wren-00002", KEEP),
    ]
    assert ids(next_page(workspace, PLAIN, "ada", held=[page.page_id])) == ["robin-00000"]
    assert confirm_page(workspace, again, "ada", [Verdict(name, DROP, None, "") for name in ids(again)]) == 2
    assert ids(next_page(workspace, PLAIN, "ada")) == ["robin-00000"]


def test_page__reads_back_as_it_was_written(workspace: Workspace) -> None:
    publish(
        workspace, {"wren": [0.9, 0.8]}, suggested={"wren-00000": "robin"}, flags=[("wren-00001", FlagName.OUTLIER)]
    )
    page = next_page(workspace, PLAIN, "ada")
    assert page is not None and page_of_text(page_text(page)) == page


def test_overlap__two_see_it_blind_and_no_third(workspace: Workspace) -> None:
    both = replace_config(PLAIN, review=ReviewConfig(overlap=1, gold=0))
    publish(workspace, {"wren": [0.9, 0.1]})
    say(workspace, (page := next_page(workspace, both, "ada")), "ada", KEEP)
    confirm(workspace, page, "ada")
    assert next_page(workspace, both, "ada") is None
    page = next_page(workspace, both, "ben", size=1)
    assert page is not None and ids(page) == ["wren-00000"] and page.tiles[0].preset is DROP
    assert page.references == ()  # ada's keep of the other one would tell what she said
    confirm(workspace, page, "ben")
    assert ids(next_page(workspace, both, "cleo")) == ["wren-00001"]


def test_overlap__every_process_agrees_on_its_share() -> None:
    draws = [fair_draw("overlap", f"sample {number}") for number in range(4000)]
    assert 0.08 < sum(draw < 0.1 for draw in draws) / len(draws) < 0.12
    assert fair_draw("overlap", "sample 1") != fair_draw("audit", "sample 1")


def test_second_look__of_conflicts_and_doubts_by_a_third_or_a_lead(workspace: Workspace) -> None:
    both = replace_config(PLAIN, review=ReviewConfig(overlap=1, gold=0, leads=("ben",)))
    publish(workspace, {"wren": [0.9, 0.8, 0.7, 0.6]})
    for who, last in (("ada", DROP), ("ben", KEEP)):
        page = next_page(workspace, both, who)
        say(workspace, page, who, DROP, "wren-00000")
        say(workspace, page, who, last, "wren-00001")
        say(workspace, page, who, UNSURE, "wren-00002")
        release_page(workspace, page, who)  # type: ignore[arg-type]
    assert next_page(workspace, both, "ada", mode=ReviewMode.SECOND_LOOK) is None
    assert waiting_for_others(workspace, both, "ada", ReviewMode.SECOND_LOOK) == 2
    assert waiting_for_others(workspace, both, "ben", ReviewMode.SECOND_LOOK) == 0
    led = next_page(workspace, both, "ben", mode=ReviewMode.SECOND_LOOK)
    assert ids(led) == ["wren-00001", "wren-00002"]
    release_page(workspace, led, "ben")  # type: ignore[arg-type]
    third = next_page(workspace, both, "cleo", mode=ReviewMode.SECOND_LOOK)
    say(workspace, third, "cleo", UNSURE)
    confirm(workspace, third, "cleo")
    assert next_page(workspace, both, "dora", mode=ReviewMode.SECOND_LOOK) is None  # settled: nobody can tell


def test_second_look__is_not_believed_of_what_needs_none(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9, 0.8]})
    page = next_page(workspace, PLAIN, "ada")
    assert page is not None
    say(workspace, page, "ada", KEEP, "wren-00000")
    say(workspace, page, "ada", UNSURE, "wren-00001")

    def again(who: str) -> ReviewPage | None:
        mode = ReviewMode.SECOND_LOOK
        return page_again(workspace, PLAIN, who, "p", mode=mode, run_id=RUN, sample_ids=["wren-00000", "wren-00001"])

    assert ids(again("ben")) == ["wren-00001"]
    assert again("ada") is None


def test_audit__blind_in_random_order_and_not_reviewed_elsewhere(workspace: Workspace) -> None:
    novel = publish(workspace, {"wren": [place / 40 for place in range(40)], "robin": [0.9] * 3})
    drawn = {one.sample_id: 0.1 for one in novel if one.category == "wren"}
    with journal(workspace.journal) as connection:
        audit = append_audit(connection, plan_audit(drawn, 12, seed=3, content_hash="c0ffee"))
    page = next_page(workspace, PLAIN, "ada", mode=ReviewMode.AUDIT)
    assert page is not None and sorted(ids(page)) == sorted(samples_to_audit(workspace)) == sorted(audit.plan.drawn)
    assert ids(page) != sorted(ids(page)) and ids(page) != sorted(ids(page), reverse=True)
    for tile in page.tiles:
        assert (tile.noise_probability, tile.explanation, tile.preset, tile.flags) == (None, "", KEEP, ())
        assert tile.likely == ("robin", "tern")
    assert not set(page.references) & set(audit.plan.drawn)
    rest = next_page(workspace, PLAIN, "ben", category="wren")
    assert len(ids(rest)) == 26 and not set(ids(rest)) & set(audit.plan.drawn)
    assert confirm(workspace, page, "ada") == 12
    assert next_page(workspace, PLAIN, "ada", mode=ReviewMode.AUDIT) is None


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["ada", "ben", "cleo"]), st.integers(1, 5), st.sampled_from(["take", "ok", "back"])),
        max_size=14,
    )
)
def test_leases__no_sample_is_on_two_pages(workspace: Workspace, steps: list[tuple[str, int, str]]) -> None:
    if not workspace.catalog.exists():
        publish(workspace, {"wren": [0.9, 0.8, 0.3, 0.3, 0.2], "robin": [0.5] * 6}, base=0)
    for path in workspace.root.glob("decisions.sqlite*"):
        path.unlink()
    held: dict[str, ReviewPage] = {}
    owner: dict[str, str] = {}
    decided: set[str] = set()
    for who, size, what in steps:
        mine = [page_id for page_id in held if owner[page_id] == who]
        if what == "take":
            page = next_page(workspace, PLAIN, who, size=size, held=mine)
            if page is not None:
                held[page.page_id], owner[page.page_id] = page, who
        for page_id in mine if what != "take" else []:
            page = held.pop(page_id)
            if what == "ok":
                decided.update(ids(page))
                confirm(workspace, page, who)
            else:
                release_page(workspace, page, who)
        on_pages = [name for page in held.values() for name in ids(page)]
        assert len(on_pages) == len(set(on_pages)) and not decided & set(on_pages)
        with journal(workspace.journal) as connection:
            assert leased_samples(connection, datetime.now(UTC)) == set(on_pages)


WORKER = """
    import sys
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    from curation.review.deciding import confirm_page
    from curation.review.pages import next_page
    from curation.workspace import Workspace
    from tests.review_factory import PLAIN

    workspace, process = Workspace(Path(sys.argv[1])), sys.argv[2]

    def work(number):
        seen = []
        while (page := next_page(workspace, PLAIN, f"{process}{number}", size=7)) is not None:
            seen += [tile.sample_id for tile in page.tiles]
            confirm_page(workspace, page, f"{process}{number}")
        return seen

    with ThreadPoolExecutor(3) as threads:
        for seen in threads.map(work, range(3)):
            print("\\n".join(seen))
"""


def test_leases__two_processes_of_three_threads_share_the_queue(workspace: Workspace) -> None:
    novel = publish(workspace, {"wren": [0.9] * 150, "robin": [0.2] * 150})
    command = [sys.executable, "-c", textwrap.dedent(WORKER), str(workspace.root)]
    with ThreadPoolExecutor(2) as threads:
        done = list(
            threads.map(
                lambda name: subprocess.run([*command, name], capture_output=True, text=True, check=True), ("p", "q")
            )
        )
    seen = [line for one in done for line in one.stdout.split()]
    assert sorted(seen) == sorted(one.sample_id for one in novel)


def test_queue__a_journal_that_was_put_back_is_read_anew(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9, 0.8]})
    saved = workspace.journal.read_bytes()
    page = next_page(workspace, PLAIN, "ada")
    confirm(workspace, page, "ada")
    assert next_page(workspace, PLAIN, "ada") is None
    for suffix in ("", "-wal", "-shm"):
        workspace.journal.with_name(workspace.journal.name + suffix).unlink(missing_ok=True)
    workspace.journal.write_bytes(saved)
    say(workspace, page, "ada", KEEP, "wren-00000")
    say(workspace, page, "ada", DROP, "wren-00000")
    release_page(workspace, page, "ada")  # type: ignore[arg-type]
    assert ids(next_page(workspace, PLAIN, "ada")) == ["wren-00001"]


def test_queue__a_rebuilt_workspace_is_not_mistaken_for_the_old_one(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9]})
    assert len(ids(next_page(workspace, PLAIN, "ada"))) == 1
    for path in (workspace.catalog, *workspace.snapshots.iterdir()):
        path.unlink()
    publish(workspace, {"wren": [0.9, 0.8, 0.7]})
    assert ids(next_page(workspace, PLAIN, "ben")) == ["wren-00001", "wren-00002"]
    publish_snapshot(workspace)
    assert next_page(workspace, PLAIN, "cleo") is None
    later = datetime.now(UTC) + timedelta(minutes=16)
    with journal(workspace.journal) as connection:
        assert leased_samples(connection, later) == set()

"""What a report says, worked out on values small enough to check by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.audit_plan import Audit, AuditPlan, AuditStratum
from curation.report.bad_files import bad_files
from curation.report.budget import budget_facts
from curation.report.changes import changes_since, record_of
from curation.report.copies import copy_facts
from curation.report.decided import decision_facts
from curation.report.facts import pictures_in, report_facts
from curation.report.headline import gaps, headline
from curation.report.inputs import ReportInputs
from curation.report.pictures import category_sheets
from curation.report.rates import query_rates, site_rates
from curation.report.record import RECORD_NAME, read_record, record_before, write_record
from curation.sites import host_of
from curation.values import Decision, DecisionAction, Evidence, FlagName, Role
from tests.report_factory import NOW, TRANSFER, estimate, flag, made_inputs, novel, sample_id, stage

KEEP, DROP, RELABEL, UNSURE = (
    DecisionAction.KEEP,
    DecisionAction.DROP,
    DecisionAction.RELABEL,
    DecisionAction.UNSURE,
)


def decided(*actions: tuple[int, DecisionAction], by: str = "anna") -> dict[str, Decision]:
    return {
        sample_id(number): Decision(sample_id(number), action, by, "robin" if action is RELABEL else None)
        for number, action in actions
    }


def test_headline__counts_and_names_what_made_the_figures() -> None:
    samples = [novel(1), novel(2, "robin")]
    flags = {sample_id(1): [flag(samples[0], FlagName.OUTLIER)], sample_id(2): [flag(samples[1], FlagName.LEAK)]}
    inputs = made_inputs(samples, [0.9, 0.1], flags=flags, decisions=decided((1, DROP), (2, UNSURE)))
    head = headline(replace(inputs, samples=[*samples, novel(3, "owl", role=Role.BASE)]))
    assert head.samples == {"novel": 2, "base": 1} and head.categories == {"novel": 2, "base": 1}
    assert (head.encoder, head.network, head.noise_model, head.tool) == (
        "builtin#1",
        "n1",
        "m1",
        "webnoise-curation 0.1.0",
    )
    assert head.noise_rate is not None and head.noise_rate.noise_rate == 0.5
    assert head.transfer is not None and head.transfer.trusted and head.transfer.confidence == 0.8
    assert (head.suspected, head.reviewed) == (1, 1)  # a leak is not a wrong image, unsure is no judgement


def test_gaps__say_what_is_missing_and_what_to_do() -> None:
    nothing = " ".join(gaps(ReportInputs(workspace="w", made_at=NOW)))
    assert "--role base" in nothing and "--role novel" in nothing
    samples = [novel(1), novel(2), novel(3, "owl", role=Role.BASE)]
    unjudged = made_inputs([], [], samples=samples)
    assert list(gaps(unjudged)) == ["No noise probability has been estimated yet: `curate run WS` does it."]
    (off,) = gaps(replace(unjudged, noise_enabled=False))
    assert "noise.enabled = false" in off
    late = made_inputs(samples[:1], [0.5], samples=samples, decisions=decided((1, KEEP)), damaged=("runs/x",))
    assert [sentence.split(",")[0][:30] for sentence in gaps(late)] == [
        "1 novel images came after the ",
        "1 decisions came after the las",
        "The record of an earlier repor",
    ]
    assert not list(gaps(replace(late, unreadable={sample_id(2): "empty"}, decisions={}, damaged=())))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.Flickr.com:443/a?b=c", "flickr.com"),
        ("http://user@cdn.example.org./x", "cdn.example.org"),
        ("javascript:alert(1)", ""),
        ("http://[", ""),
        ("just words", ""),
        (None, ""),
    ],
)
def test_host_of__what_the_web_gives(url: str | None, host: str) -> None:
    assert host_of(url) == host


def test_site_rates__large_sites_have_a_row_and_decisions_count_as_made() -> None:
    samples = [novel(n, source_url=f"https://a.org/{n}") for n in range(6)]
    samples += [novel(10 + n, source_url=f"https://b.org/{n}") for n in range(5)]
    samples += [novel(20 + n, source_url=f"https://small{n}.org/") for n in range(3)] + [novel(30)]
    chances = [0.9] * 6 + [0.0] * 5 + [0.5] * 4
    table = site_rates(made_inputs(samples, chances, decisions=decided((0, KEEP), (1, DROP), (2, RELABEL))))
    assert table is not None and table.groups == 5
    assert [(row.name, row.samples) for row in table.rows] == [("a.org", 6), ("b.org", 5)]
    assert table.rows[0].noise_rate == pytest.approx((0 + 1 + 1 + 3 * 0.9) / 6)
    assert table.rest is not None and (table.rest.samples, table.rest.noise_rate) == (3, pytest.approx(0.5))
    assert all(row.low <= row.noise_rate <= row.high for row in (*table.rows, table.rest))
    # b.org: no chance to draw, so the spread of categories alone, 0.04 / 0.8, times 1.645
    assert table.rows[1].high == pytest.approx(1.645 * 0.05)


def test_query_rates__only_where_a_source_says() -> None:
    assert query_rates(made_inputs([novel(1)], [0.5])) is None
    table = query_rates(made_inputs([novel(1, query=" wren "), novel(2, query="wren")], [0.5, 0.7]))
    assert table is not None and [(row.name, row.samples) for row in table.rows] == [("wren", 2)]


def test_budget__readings_by_hand() -> None:
    samples = [novel(n) for n in range(40)]
    chances = [0.9] * 10 + [0.1] * 29 + [1.0]
    budget = budget_facts(made_inputs(samples, chances, decisions=decided((39, DROP))))
    assert budget is not None and (budget.undecided, budget.errors) == (39, pytest.approx(11.9))
    assert [reading.reviews for reading in budget.readings] == [10, 20]
    assert budget.readings[0].share_found == pytest.approx(9 / 11.9)
    assert budget.readings[0].noise_left == pytest.approx(2.9 / 30)
    assert [reading.reviews for reading in budget.milestones] == [7, 16, 28, 34]
    assert (budget.curve[0].reviews, budget.curve[-1].reviews) == (0, 39)


@given(st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=400))
def test_budget__milestones_are_the_fewest_reviews_and_the_curve_rises(chances: list[float]) -> None:
    budget = budget_facts(made_inputs([novel(n) for n in range(len(chances))], chances))
    assert budget is not None
    worst_first = sorted(chances, reverse=True)
    for wanted, reading in zip((0.5, 0.8, 0.9, 0.95), budget.milestones, strict=True):
        assert reading.share_found >= wanted - 1e-9
        if reading.reviews:
            assert sum(worst_first[: reading.reviews - 1]) < wanted * sum(chances) + 1e-9
    found = [point.share_found for point in budget.curve]
    assert found == sorted(found) and budget.curve[-1].share_found == pytest.approx(1) and len(found) <= 160


def test_sheets__most_suspicious_and_most_trusted_undecided() -> None:
    samples = [novel(n) for n in range(20)] + [novel(50, "robin")]
    chances = [n / 20 for n in range(20)] + [0.99]
    sheets = category_sheets(made_inputs(samples, chances, decisions=decided((19, KEEP), (18, UNSURE))))
    assert [sheet.category for sheet in sheets.shown] == ["robin", "wren"] and sheets.left_out == 0
    wren = sheets.shown[1]
    assert [picture.sample_id for picture in wren.suspicious] == [sample_id(n) for n in (18, 17, 16, 15, 14, 13)]
    assert [picture.sample_id for picture in wren.trusted] == [sample_id(n) for n in range(6)]
    assert (wren.images, wren.decided) == (20, 1)
    assert (len(sheets.shown[0].suspicious), len(sheets.shown[0].trusted)) == (1, 0)


@given(st.integers(1, 700), st.integers(1, 5))
def test_sheets__are_capped_and_show_no_sample_twice(categories: int, each: int) -> None:
    samples = [novel(10 * n + k, f"category {n}") for n in range(categories) for k in range(each)]
    sheets = category_sheets(made_inputs(samples, [0.5] * len(samples)))
    shown = [picture.sample_id for sheet in sheets.shown for picture in (*sheet.suspicious, *sheet.trusted)]
    assert len(shown) == len(set(shown)) <= 480
    assert len(sheets.shown) + sheets.left_out == categories
    if categories <= 80:
        assert sheets.left_out == 0 and len(shown) == len(samples)


def test_sheets__by_weight_without_a_noise_model() -> None:
    weights = {sample_id(n): Evidence(sample_id(n), 0.1 * n, None, None, None, ()) for n in range(4)}
    sheets = category_sheets(made_inputs([], [], samples=[novel(n) for n in range(4)], evidence=weights))
    assert sheets.ranked_by == "weight"
    assert [picture.sample_id for picture in sheets.shown[0].suspicious] == [sample_id(0), sample_id(1)]
    assert [picture.sample_id for picture in sheets.shown[0].trusted] == [sample_id(3), sample_id(2)]


def test_copies__stand_beside_what_they_are_copies_of() -> None:
    stays, one, two, test, conflict = novel(1), novel(2), novel(3), novel(4, role=Role.TEST), novel(5, "robin")
    flags = {
        one.sample_id: [flag(one, FlagName.NEAR_DUPLICATE, stays), flag(one, FlagName.LABEL_CONFLICT, conflict)],
        two.sample_id: [flag(two, FlagName.NEAR_DUPLICATE, stays), flag(two, FlagName.LEAK, test)],
        conflict.sample_id: [flag(conflict, FlagName.LABEL_CONFLICT, one)],
    }
    inputs = made_inputs([stays, one, two, conflict], [0.1] * 4, flags=flags)
    leaks, conflicts, duplicates = copy_facts(replace(inputs, samples=[stays, one, two, test, conflict]))
    ids = [[picture.sample_id for picture in kind.shown[0].pictures] for kind in (leaks, conflicts, duplicates)]
    assert ids == [
        [test.sample_id, two.sample_id],
        [conflict.sample_id, one.sample_id],  # robin before wren; each names the other, so they are one group
        [stays.sample_id, one.sample_id, two.sample_id],
    ]
    assert [(kind.samples, kind.groups) for kind in (leaks, conflicts, duplicates)] == [(1, 1), (2, 1), (2, 1)]
    assert duplicates.shown[0].pictures[0].note == "stays" and leaks.shown[0].pictures[0].note == "in the test set"


def test_copies__of_flags_whose_copy_is_not_recorded_or_gone() -> None:
    alone = novel(1)
    flags = {alone.sample_id: [flag(alone, FlagName.NEAR_DUPLICATE), flag(alone, FlagName.LEAK, novel(9))]}
    leaks, _, duplicates = copy_facts(made_inputs([alone], [0.1], flags=flags))
    assert [group.members for kind in (leaks, duplicates) for group in kind.shown] == [1, 1]


def test_copies__many_are_capped_and_counted() -> None:
    samples = [novel(n) for n in range(40)]
    pairs = zip(samples[1:21:2], samples[0:20:2], strict=True)
    flags = {copy.sample_id: [flag(copy, FlagName.NEAR_DUPLICATE, stays)] for copy, stays in pairs}
    flags |= {copy.sample_id: [flag(copy, FlagName.LEAK, samples[39])] for copy in samples[20:39]}
    leaks, _, duplicates = copy_facts(made_inputs(samples, [0.1] * 40, flags=flags))
    assert (duplicates.groups, len(duplicates.shown)) == (10, 10)
    assert (leaks.samples, leaks.groups, leaks.shown[0].members, len(leaks.shown[0].pictures)) == (19, 1, 20, 6)


def test_bad_files__with_reasons_of_every_role() -> None:
    samples = [novel(1), novel(2, role=Role.BASE), novel(3)]
    unreadable = {sample_id(1): "the file is empty", sample_id(2): "the file is empty"}
    flags = {sample_id(3): [flag(samples[2], FlagName.LOW_QUALITY)]}
    found = bad_files(made_inputs([], [], samples=samples, unreadable=unreadable, flags=flags))
    assert (found.unreadable, found.reasons) == (2, (("the file is empty", 2),))
    assert [file.role for file in found.shown] == ["base", "novel"]
    assert [picture.note for picture in found.low_quality_shown] == ["It is low_quality."]


def test_decisions__what_they_changed_for_the_others() -> None:
    samples = [novel(n) for n in range(5)]
    estimates = {
        item.sample_id: estimate(item, now, before)
        for item, now, before in zip(samples, (0.9, 0.2, 0.6, 0.3, 0.5), (0.9, 0.2, 0.4, 0.31, 0.7), strict=True)
    }
    decisions = decided((0, KEEP), (1, KEEP)) | decided((3, UNSURE), by="bo")
    facts = decision_facts(made_inputs(samples, [0.5] * 5, estimates=estimates, decisions=decisions))
    assert (facts.total, facts.by_action, facts.by_annotator) == (3, {"keep": 2, "unsure": 1}, {"anna": 2, "bo": 1})
    assert (facts.judged, facts.agreed, facts.undecided) == (2, 1, 3)
    assert (facts.moved, facts.changed_sides) == (2, 1)
    assert {move.picture.sample_id for move in facts.moves} == {sample_id(2), sample_id(4)}
    assert facts.rate_before == pytest.approx((0.9 + 0.2 + 0.4 + 0.31 + 0.7) / 5)
    assert facts.rate_now == pytest.approx((0 + 0 + 0.6 + 0.3 + 0.5) / 5)


def test_decisions__the_newest_audit() -> None:
    plans = [AuditPlan(0, "h", 0.02, 0, (AuditStratum(4, None, None, None, (sample_id(n),)),)) for n in (0, 1)]
    audits = [Audit(number + 1, NOW, plan) for number, plan in enumerate(plans)]
    facts = decision_facts(
        made_inputs([novel(n) for n in range(4)], [0.5] * 4, audits=audits, decisions=decided((1, DROP)))
    )
    assert facts.audit is not None and (facts.audit.audit_id, facts.audit.result.wrong) == (2, 1)


def test_changes__by_hand() -> None:
    samples = [novel(n) for n in range(4)]
    suspects = {item.sample_id: [flag(item, FlagName.OUTLIER)] for item in samples[:2]}
    before = record_of(made_inputs(samples[:3], [0.9, 0.8, 0.1], flags=suspects), "20260101T000000-a")
    now = {item.sample_id: [flag(item, FlagName.LABEL_FLIP)] for item in (samples[1], samples[3])}
    changes = changes_since(made_inputs(samples[1:], [0.8, 0.1, 0.9], flags=now), before)
    assert (changes.new_samples, changes.gone_samples, changes.nothing) == (1, 1, False)
    assert (changes.rate_before, changes.rate_now) == (pytest.approx(0.6), pytest.approx(0.6))
    flips, outliers = changes.flags
    assert (flips.flag, flips.before, flips.now, flips.newly, flips.of_new_samples) == ("label_flip", 0, 2, 2, 1)
    assert (outliers.before, outliers.now, outliers.no_longer, outliers.removed) == (2, 0, 2, 1)
    assert [picture.sample_id for picture in changes.newly_suspected] == [sample_id(3)]  # 1 was a suspect before
    assert changes.no_longer_suspected == ()


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.sampled_from(FlagName)), max_size=30))
def test_changes__since_the_same_state_are_none(drawn: list[tuple[float, FlagName]]) -> None:
    samples = [novel(n, f"c{n % 3}") for n in range(len(drawn))]
    flags = {item.sample_id: [flag(item, name)] for item, (_, name) in zip(samples, drawn, strict=True)}
    inputs = made_inputs(samples, [chance for chance, _ in drawn], flags=flags)
    changes = changes_since(inputs, record_of(inputs, "r"))
    assert changes.nothing and not changes.newly_suspected and not changes.no_longer_suspected


def test_record__comes_back_as_it_was(tmp_path: Path) -> None:
    samples = [novel(n, "çavuş <b>") for n in range(3)]
    flags = {sample_id(1): [flag(samples[1], FlagName.OUTLIER)]}
    record = record_of(made_inputs(samples, [0.1, 0.9, 0.3], flags=flags), "20260101T000000-a")
    write_record(tmp_path / RECORD_NAME, record)
    assert read_record(tmp_path / RECORD_NAME) == record


def test_record__the_newest_intact_one_of_an_earlier_run(tmp_path: Path) -> None:
    record = record_of(made_inputs([novel(1)], [0.5]), "")
    for run in ("2026-a", "2026-b", "2026-d"):
        (tmp_path / run).mkdir()
        write_record(tmp_path / run / RECORD_NAME, replace(record, run_id=run))
    (tmp_path / "2026-c").mkdir()
    for text in ("{", "[]", '{"version": 1}', '{"version": 9}', '{"version": 1, "run_id": "x", "made_at": 3}'):
        (tmp_path / "2026-c" / RECORD_NAME).write_text(text)
        before, damaged = record_before(tmp_path, "2026-d")
        assert before is not None and before.run_id == "2026-b"
        assert damaged == (str(tmp_path / "2026-c" / RECORD_NAME),)
    assert record_before(tmp_path, "2026-a") == (None, ())
    assert record_before(tmp_path / "nothing", "2026-a") == (None, ())


def test_facts__every_picture_of_the_page_is_drawn() -> None:
    samples = [novel(n) for n in range(6)]
    flags = {
        sample_id(0): [flag(samples[0], FlagName.NEAR_DUPLICATE, samples[1]), flag(samples[0], FlagName.LOW_QUALITY)],
        sample_id(5): [flag(samples[5], FlagName.OUTLIER)],
    }
    before = record_of(made_inputs(samples, [0.5] * 6), "earlier")
    facts = report_facts(made_inputs(samples, [0.5] * 6, flags=flags, before=before))
    shown = [picture.sample_id for picture in pictures_in(facts)]
    assert sorted(shown) == sorted([sample_id(n) for n in range(6)] + [sample_id(n) for n in (1, 0, 0, 5)])


def test_facts__a_summary_without_a_noise_rate_has_none() -> None:
    off = made_inputs([], [], stages={"noise": stage("noise", judged=0)}, noise_enabled=False)
    facts = report_facts(off)
    assert facts.headline.noise_rate is None and facts.headline.transfer is None and facts.budget is None
    assert TRANSFER["confidence"] == 0.8 and facts.decisions.rate_now is None

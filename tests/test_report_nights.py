"""The report's course of nights: what it shows, alarms on top, charts that stay within their frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from curation.config import Config
from curation.history.keeping import History, write_night
from curation.history.night import NewImages, NightFacts, PromiseNight
from curation.report.facts import report_facts
from curation.report.night_charts import bars, noise_course, promise_row, small_course
from curation.report.page import render_page
from curation.stages.report import report
from curation.workspace import Workspace
from tests.history_worlds import WORLDS, level_of, night_of, nights_of, shift_of
from tests.report_factory import made_inputs, novel
from tests.test_report_page import EVIL, page_of

NIGHTS = tuple(nights_of(WORLDS["plain"], 8, np.random.default_rng(0)))


def inputs_of(*nights: NightFacts, damaged: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
    return made_inputs([novel(1)], [0.5], history=History(nights, damaged))


def test_nights__none_yet() -> None:
    assert report_facts(inputs_of()).nights is None
    assert "There is no history yet" in page_of(inputs_of()).text


def test_nights__decisions_since_the_night_before_and_noisiest_categories_first() -> None:
    nights = [replace(night, decisions=place**2) for place, night in enumerate(NIGHTS)]
    facts = report_facts(inputs_of(*nights)).nights
    assert facts is not None and facts.alarms == () and facts.left_out == 0
    assert facts.decisions == (None, 1, 3, 5, 7, 9, 11, 13)
    rates = [course.rates[-1] for course in facts.categories]
    assert [level.rate for level in rates if level] == sorted(
        (c.noise.rate for c in nights[-1].categories), reverse=True
    )  # type: ignore[union-attr]
    assert "is like the nights before it" in page_of(inputs_of(*nights)).text
    assert "Alarms begin with the fourth night" in page_of(inputs_of(*nights[:2])).text


def test_nights__alarms_are_on_top_and_the_category_that_departed_comes_first() -> None:
    *others, quietest = sorted(NIGHTS[-1].categories, key=lambda item: -(item.noise.rate if item.noise else 0))
    moved = replace(quietest, category="<b>moved</b>", noise=level_of(0.001))
    before = [
        replace(night, categories=tuple(_named(night, quietest.category, "<b>moved</b>"))) for night in NIGHTS[:-1]
    ]
    before = [_levels(night, "<b>moved</b>", 0.5) for night in before]
    inputs = inputs_of(*before, replace(NIGHTS[-1], categories=(*others, moved)))
    facts = report_facts(inputs).nights
    assert facts is not None and [alarm.category for alarm in facts.alarms] == ["<b>moved</b>"]
    assert facts.categories[0].category == "<b>moved</b>"
    page = page_of(inputs)
    assert page.text.index("departs from its history") < page.text.index("Novel images")
    assert "The noise rate of <b>moved</b>: 0.1%" in page.text and "#alarms" in page.values("href")


def _named(night: NightFacts, old: str, new: str):  # type: ignore[no-untyped-def]
    return (replace(item, category=new) if item.category == old else item for item in night.categories)


def _levels(night: NightFacts, category: str, rate: float) -> NightFacts:
    levels = (replace(c, noise=level_of(rate)) if c.category == category else c for c in night.categories)
    return replace(night, categories=tuple(levels))


def test_nights__promise_note_and_damaged_files_are_told() -> None:
    promised = replace(NIGHTS[0], promise=PromiseNight(0.02, True, 900, level_of(0.01)))
    broken = replace(NIGHTS[1], promise=PromiseNight(0.02, False, reason=f"Not so: {EVIL}"), note="Its list is lost.")
    page = page_of(inputs_of(promised, broken, damaged=("history/x.json",)))
    assert "at most 2.0% wrong" in page.text and EVIL in page.text and page.seen["img"] == 0
    assert "Its list is lost." in page.text and "history/x.json" in page.text


def test_nights__a_night_that_knows_nothing_is_drawn() -> None:
    empty = night_of(0)
    page = page_of(inputs_of(empty, night_of(1, new=NewImages(0, 0, 0)), night_of(2, noise=level_of(0.2))))
    assert page.text.count("–") >= 6


@pytest.mark.parametrize("number", [1, 2, 60])
def test_charts__stay_within_their_frame(number: int) -> None:
    nights = nights_of(replace(WORLDS["idle nights"], categories=3), number, np.random.default_rng(1))
    nights[0] = replace(nights[0], noise=level_of(1.0), promise=PromiseNight(0.02, True))
    nights[-1] = replace(nights[-1], shift=shift_of(1e6, 0.001), promise=PromiseNight(0.02, False))
    shifts = [None if night.shift is None else night.shift.mmd.excess for night in nights]
    rates = [None if place % 7 == 3 else level_of(place % 2) for place in range(number)]
    for chart in (noise_course(nights), bars("x", nights, shifts), promise_row(nights), small_course(rates)):
        root = ElementTree.fromstring(chart)  # noqa: S314
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for dot in root.iter("circle"):
            assert 0 <= float(dot.attrib["cx"]) <= width and 0 <= float(dot.attrib["cy"]) <= height
        for bar in root.iter("rect"):
            assert float(bar.attrib["x"]) >= 0 and float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width
            assert float(bar.attrib["y"]) >= 0 and float(bar.attrib["y"]) + float(bar.attrib["height"]) <= height


def test_report__reads_the_history_of_its_workspace(workspace: Workspace, tmp_path: Path) -> None:
    for night in NIGHTS:
        write_night(workspace, night, np.zeros(0, np.uint64))
    written = report(workspace, Config(), tmp_path / "report.html")
    assert written.facts.nights is not None and len(written.facts.nights.nights) == 8
    assert "Night by night" in written.path.read_text(encoding="utf-8")
    assert render_page(written.facts, {})

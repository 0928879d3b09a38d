"""What a report says of the nights so far: the course of their figures, the categories that need a look, alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from curation.history.alarm import Alarm, alarms
from curation.history.night import NightFacts, NoiseLevel
from curation.report.inputs import ReportInputs

_MOST_NIGHTS = 60  # drawn; as many as an alarm compares with
_MOST_CATEGORIES = 12


@dataclass(frozen=True, slots=True)
class CategoryCourse:
    """The noise rate of a category night by night, `None` where it was not known."""

    category: str
    images: int
    rates: tuple[NoiseLevel | None, ...]


@dataclass(frozen=True, slots=True)
class NightsFacts:
    """The last nights, oldest first, without their categories, and what is out of the ordinary in the newest one.

    `decisions` are those made since the night before (`None` for the first). `categories` are those that departed, then
    the noisiest; `left_out` counts the others. `damaged` names files of the history that could not be read.
    """

    nights: tuple[NightFacts, ...]
    decisions: tuple[int | None, ...]
    alarms: tuple[Alarm, ...]
    categories: tuple[CategoryCourse, ...]
    left_out: int
    damaged: tuple[str, ...]


def nights_facts(inputs: ReportInputs) -> NightsFacts | None:
    """`None` where there was no night yet."""
    history = inputs.history
    if not history.nights:
        return None
    *before, newest = history.nights
    raised = alarms(before, newest)
    shown = history.nights[-_MOST_NIGHTS:]
    courses = _courses(shown, [alarm.category for alarm in raised if alarm.category is not None])
    return NightsFacts(
        nights=tuple(replace(night, categories=()) for night in shown),
        decisions=(None, *(now.decisions - past.decisions for past, now in pairwise(shown))),
        alarms=raised,
        categories=courses[:_MOST_CATEGORIES],
        left_out=max(len(courses) - _MOST_CATEGORIES, 0),
        damaged=history.damaged,
    )


def _courses(nights: Sequence[NightFacts], departed: Sequence[str]) -> tuple[CategoryCourse, ...]:
    rates = [{item.category: item.noise for item in night.categories} for night in nights]
    known = [item for item in nights[-1].categories if item.noise is not None]
    known.sort(key=lambda item: (item.category not in departed, -(item.noise.rate if item.noise else 0), item.category))
    return tuple(
        CategoryCourse(item.category, item.images, tuple(night.get(item.category) for night in rates)) for item in known
    )

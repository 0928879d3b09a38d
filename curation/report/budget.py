"""What reviews would buy: the share of wrong images that each number of them finds, and a few readings in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.report.inputs import ReportInputs
from curation.review_budget import review_budget_curve

_SHARES = (0.5, 0.8, 0.9, 0.95)
_ROUND = tuple(digit * 10**power for power in range(1, 8) for digit in (1, 2, 5))  # 10, 20, 50, 100, ...
_READINGS = 5
_POINTS = 160  # of the curve as it is drawn: finer than the screen


@dataclass(frozen=True, slots=True)
class BudgetReading:
    """`reviews` of the most suspicious samples find `share_found` of the expected wrong ones; `noise_left` remains."""

    reviews: int
    share_found: float
    noise_left: float


@dataclass(frozen=True, slots=True)
class BudgetFacts:
    """Of `undecided` novel samples `errors` are expected to be wrong.

    `readings` are at round numbers of reviews, `milestones` where a round share of the errors is found, `curve` has
    both ends and enough points between to draw it.
    """

    undecided: int
    errors: float
    readings: tuple[BudgetReading, ...]
    milestones: tuple[BudgetReading, ...]
    curve: tuple[BudgetReading, ...]


def budget_facts(inputs: ReportInputs) -> BudgetFacts | None:
    """`None` where nothing undecided has a noise probability."""
    known = [inputs.estimates[sample.sample_id].noise_probability for sample in inputs.undecided()]
    if not known:
        return None
    reviews, share, noise = review_budget_curve(known)

    def reading(number: int) -> BudgetReading:
        return BudgetReading(int(reviews[number]), float(share[number]), float(noise[number]))

    last = len(known)
    reached = [int(np.searchsorted(share, wanted - 1e-12)) for wanted in _SHARES]
    drawn = np.unique(np.linspace(0, last, min(last + 1, _POINTS)).round().astype(int))
    return BudgetFacts(
        undecided=last,
        errors=float(np.sum(known)),
        readings=tuple(reading(number) for number in [n for n in _ROUND if n < last][-_READINGS:]),
        milestones=tuple(reading(number) for number in reached),
        curve=tuple(reading(int(number)) for number in drawn),
    )

"""How often each annotator is right where the answer is known."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from scipy.stats import norm

from curation.remaining_noise import UPPER
from curation.store.gold_checks import count_gold
from curation.store.journal import journal
from curation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class GoldAccuracy:
    """`right` of the gold checks that an annotator `answered`, with a 90 % interval; `unsure` ones are left out.

    `accuracy` is `None` before the first answer. A relabel of a wrong image counts as right, whatever the category.
    """

    annotator: str
    answered: int
    right: int
    unsure: int
    accuracy: float | None
    low: float
    high: float


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """90 % interval of a share (Wilson 1927, Probable inference); [0, 1] of nothing."""
    if trials == 0:
        return 0.0, 1.0
    z = float(norm.ppf(UPPER))
    share, spread = successes / trials, z * z / trials
    middle = share + spread / 2
    half = z * sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max((middle - half) / (1 + spread), 0.0), min((middle + half) / (1 + spread), 1.0)


def gold_accuracy(workspace: Workspace) -> list[GoldAccuracy]:
    """The accuracy of everyone who has met a gold check, by name."""
    with journal(workspace.journal) as connection:
        counted = count_gold(connection)
    return [
        GoldAccuracy(
            count.annotator,
            count.answered,
            count.right,
            count.unsure,
            count.right / count.answered if count.answered else None,
            *wilson_interval(count.right, count.answered),
        )
        for count in counted
    ]

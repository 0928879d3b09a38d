"""Gold checks: samples whose answer is known, hidden on a page to see how far its annotator can be trusted.

A check that is right is a highly trusted novel sample under its own category; one that is wrong is a sample of a base
category under the category of the page. On the page it takes the place of a sample that waits, its donor, with all that
is said of that one: name, noise probability, explanation, preset. Only the picture is the check's. So no place, no word
and no missing word tells it apart, and its preset is as often misleading as the noise model itself would have it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.review.order import BoolArray
from curation.review.queue import ACTIONS, NONE, ReviewQueue, Rows
from curation.store.connection import Connection
from curation.store.gold_checks import GoldCheck
from curation.store.review_order import draw_samples
from curation.values import DecisionAction, Role

_SURELY_RIGHT = 0.02  # noise probability up to which a novel sample is taken to be right: one check in fifty is not
_MOST_TRUSTED = 0.1  # share of a category that is taken to be right where there are no noise probabilities


def choose_donors(window: Rows, share: float, generator: np.random.Generator) -> Rows:
    """The samples of `window`, the next page, whose places are taken by checks: each with probability `share`.

    At most half of them, so that there is a page.
    """
    number = min(int(generator.binomial(len(window), share)), len(window) // 2)
    return np.sort(generator.choice(window, number, replace=False))


@dataclass(frozen=True, slots=True)
class GoldSource:
    """What is needed to make the checks of one page: who and where, and the trusted samples of its category."""

    page_id: str
    annotator: str
    category: str
    trusted: tuple[str, ...]


def trusted_samples(queue: ReviewQueue, category: str, window: Rows, number: int, seed: int) -> tuple[str, ...]:
    """Up to `number` samples of a category that are surely right and not in `window`."""
    order = queue.order
    rows = np.arange(len(order.sample_ids))[order.of_category(order.categories.index(category))]
    fit: BoolArray = order.suspicion[rows] <= _SURELY_RIGHT
    if not order.estimated[rows].any():
        fit = order.weight[rows] >= np.quantile(order.weight[rows], 1 - _MOST_TRUSTED)
    fit &= np.isin(queue.counts[rows], (NONE, ACTIONS.index(DecisionAction.KEEP))) & ~np.isin(rows, window)
    chosen = np.random.default_rng(seed).permutation(rows[fit])[:number]
    return tuple(order.sample_ids[row] for row in chosen)


def make_checks(connection: Connection, source: GoldSource, donor_ids: Sequence[str]) -> list[GoldCheck]:
    """A check for each donor, right or wrong by chance; fewer where there are not enough samples to make them of."""
    right = list(source.trusted)
    drawn = draw_samples(connection, Role.BASE, len(donor_ids), source.page_id, other_than=source.category)
    wrong = [sample_id for sample_id, _ in drawn]
    checks = []
    for donor_id in donor_ids:
        is_right = bool(right) and (not wrong or secrets.randbelow(2) == 0)
        pool = right if is_right else wrong
        if not pool:
            break
        checks.append(
            GoldCheck(
                secrets.token_hex(8), source.page_id, source.annotator, pool.pop(), donor_id, source.category, is_right
            )
        )
    return checks

"""Where images came from, as counts of the most frequent names, and how far one such mix lies from others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class Mix:
    """Images of each of the 20 most frequent names, most frequent first, of all other names together (`rest`), and of
    those that do not say (`unknown`)."""

    counts: dict[str, int]
    rest: int
    unknown: int

    @property
    def named(self) -> int:
        """Images that say where they came from."""
        return sum(self.counts.values()) + self.rest


@dataclass(frozen=True, slots=True)
class MixDepartures:
    """How far each of several mixes lies from all the others together.

    `departures`, shape (n,), are Bhattacharyya distances over what chance alone would make of them, so about 1 where
    images are drawn from one mix. `chance` is the p-value of a chi-squared test of the last mix against the others.
    `names` are those that changed most in the last one, with their shares [0, 1] before and in it.
    """

    departures: NDArray[np.float64]
    chance: float
    names: tuple[tuple[str, float, float], ...]


def mix_of(names: Iterable[str]) -> Mix:
    """Count names; an empty one is unknown."""
    counts = Counter(names)
    unknown = counts.pop("", 0)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Mix(dict(ranked[:MOST_NAMES]), sum(number for _, number in ranked[MOST_NAMES:]), unknown)


def mix_departures(mixes: Sequence[Mix]) -> MixDepartures:
    """Compare each of at least two mixes, none of them empty, with the others.

    The distance is -ln sum sqrt(p q) (Bhattacharyya 1943); between two samples of n and m from one distribution over K
    names its expectation is about (K - 1) (1/n + 1/m) / 8. Only the 20 names that are most frequent over all mixes are
    told apart, all others are one.
    """
    total: Counter[str] = Counter()
    for mix in mixes:
        total.update(mix.counts)
    names = [name for name, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMES]]
    table = np.array([[*(mix.counts.get(name, 0) for name in names), 0] for mix in mixes], dtype=np.float64)
    table[:, -1] = [mix.named for mix in mixes] - table.sum(axis=1)
    table = table[:, table.sum(axis=0) > 0]
    sizes = table.sum(axis=1)
    others = table.sum(axis=0) - table
    shares, shares_of_others = table / sizes[:, None], others / others.sum(axis=1)[:, None]
    overlap = np.sqrt(shares * shares_of_others).sum(axis=1)
    distances = -np.log(np.maximum(overlap, 1 / (2 * sizes)))  # of mixes that have nothing in common it is infinite
    expected = max(table.shape[1] - 1, 1) * (1 / sizes + 1 / others.sum(axis=1)) / 8
    return MixDepartures(
        departures=distances / expected,
        chance=_chance_of_last(table),
        names=_moved([*names, "others"], shares[-1], shares_of_others[-1]),
    )


def _chance_of_last(table: NDArray[np.float64]) -> float:
    last, before = table[-1], table[:-1].sum(axis=0)
    there = (last + before) > 0
    if there.sum() < 2:
        return 1.0
    return float(chi2_contingency(np.stack([last[there], before[there]]), correction=False).pvalue)


def _moved(
    names: Sequence[str], now: NDArray[np.float64], before: NDArray[np.float64]
) -> tuple[tuple[str, float, float], ...]:
    """The three names whose share changed most."""
    order = np.argsort(-np.abs(now - before), kind="stable")[:3]
    return tuple((names[place], float(before[place]), float(now[place])) for place in order)

"""How far two sets of embeddings lie apart, and how often two halves of one set would lie as far apart by chance.

Two distances between distributions, each estimated without bias, so about 0 (also a little below) where there is no
difference:

- the squared maximum mean discrepancy (MMD) with a Gaussian kernel exp(-d^2 / (2 b^2)), b the median distance between
  two embeddings: Gretton, Borgwardt, Rasch, Schölkopf and Smola, "A kernel two-sample test", JMLR 13 (2012), eq. 3;
- the energy distance 2 E|X-Y| - E|X-X'| - E|Y-Y'|: Székely and Rizzo, "Energy statistics: a class of statistics based
  on distances", Journal of Statistical Planning and Inference 143 (2013), equation 4.1.

Chance is told by permutation: images change sides at random, and it is counted how often the distance is as large. The
p-value (1 + as large) / (1 + permutations) is exact whatever the embeddings look like (Phipson and Smyth, "Permutation
p-values should never be zero", 2010). Images change sides only with images of their own category, so that a night which
brings other categories than usual is not a shift by that alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from curation.values import FloatArray

PERMUTATIONS = 999  # the smallest p-value is 0.001: below what an alarm asks of one figure (`curation.history.alarm`)
MOST_RATIO = 8  # earlier images for one new image; more would tell a ninth more at most
MOST_OF_A_SIDE = 2_000  # 4,000 x 4,000 distances are 64 MB, and all permutations of them a second on one core

Kind = Literal["gaussian kernel", "negative distance"]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Distance:
    """An unbiased distance between two sets of embeddings.

    `p_value`, (0, 1]: how often a random division lies as far apart. `excess`: by how many standard deviations the
    distance exceeds the mean of random divisions; unlike the distance itself, it can be compared between nights.
    """

    value: float
    p_value: float
    excess: float


@dataclass(frozen=True, slots=True)
class Shift:
    """How far `new` images lie from `before` earlier ones (numbers of those compared)."""

    new: int
    before: int
    mmd: Distance
    energy: Distance


def embedding_shift(
    new: FloatArray,
    before: FloatArray,
    new_categories: IntArray,
    before_categories: IntArray,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Shift | None:
    """Compare new embeddings with earlier ones, category by category; `None` where fewer than two of each match.

    `new` (N, D) and `before` (M, D) are float32, the categories numbers, shapes (N,) and (M,). Only images of
    categories that both sides have are compared, as many as `matched_rows` says. The same seed gives the same figures.
    """
    random = np.random.default_rng(seed)
    rows_new, rows_before = matched_rows(new_categories, before_categories, random)
    if len(rows_new) < 2 or len(rows_before) < 2:
        return None
    together = np.concatenate([new[rows_new], before[rows_before]])
    strata = np.concatenate([new_categories[rows_new], before_categories[rows_before]])
    distances = pairwise_distances(together).astype(np.float32)
    np.fill_diagonal(distances, 0.0)  # rounding leaves about 1e-3 there
    sides = divisions(len(rows_new), strata, permutations, random)
    return Shift(
        new=len(rows_new),
        before=len(rows_before),
        mmd=_judged(unbiased_distances(gaussian_kernel(distances), sides)),
        energy=_judged(unbiased_distances(-distances, sides)),
    )


def mmd_squared(first: FloatArray, second: FloatArray) -> float:
    """Unbiased squared MMD of two sets of embeddings (N, D) and (M, D); N, M >= 2."""
    return _between(first, second, "gaussian kernel")


def energy_distance(first: FloatArray, second: FloatArray) -> float:
    """Unbiased energy distance of two sets of embeddings (N, D) and (M, D); N, M >= 2."""
    return _between(first, second, "negative distance")


def _between(first: FloatArray, second: FloatArray, kind: Kind) -> float:
    distances = pairwise_distances(np.concatenate([first, second])).astype(np.float32)
    kernel = gaussian_kernel(distances) if kind == "gaussian kernel" else -distances
    sides = np.repeat([True, False], [len(first), len(second)])[:, None]
    return float(unbiased_distances(kernel, sides)[0])


def gaussian_kernel(distances: FloatArray) -> FloatArray:
    """exp(-d^2 / (2 b^2)) of distances (N, N), b their median off the diagonal (1 where all points coincide)."""
    bandwidth = float(np.median(distances[np.triu_indices(len(distances), 1)])) or 1.0
    kernel: FloatArray = np.exp(-0.5 * np.square(distances / np.float32(bandwidth)))
    return kernel


def unbiased_distances(kernel: FloatArray, sides: NDArray[np.bool_]) -> NDArray[np.float64]:
    """mean k(X, X') + mean k(Y, Y') - 2 mean k(X, Y) over pairs of different points, shape (P,).

    `kernel` is symmetric, float32, shape (N, N); each column of `sides` (N, P) says which points are X. With minus the
    distance as kernel it is the energy distance.
    """
    first = sides.sum(axis=0, dtype=np.float64)
    second = len(sides) - first
    inside = sides.astype(np.float32)
    to_first = (kernel @ inside).astype(np.float64)  # (N, P): the sum of each point's kernel with all X
    within_first = (to_first * sides).sum(axis=0)
    across = to_first.sum(axis=0) - within_first
    within_second = float(kernel.sum(dtype=np.float64)) - within_first - 2 * across
    own = np.diagonal(kernel).astype(np.float64)  # of a point with itself; it is no pair
    own_first = own @ sides
    found: NDArray[np.float64] = (
        (within_first - own_first) / (first * (first - 1))
        + (within_second - (own.sum() - own_first)) / (second * (second - 1))
        - 2 * across / (first * second)
    )
    return found


def divisions(first: int, strata: IntArray, permutations: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """The division as it is, the first `first` of N points on one side, then random ones: shape (N, 1 + permutations).

    Every random division takes as many of each stratum to the one side as the first does.
    """
    sides = np.zeros((len(strata), 1 + permutations), dtype=np.bool_)
    sides[:first, 0] = True
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        taken = int(sides[rows, 0].sum())
        order = random.random((len(rows), permutations)).argsort(axis=0)
        sides[rows, 1:] = order < taken
    return sides


def matched_rows(
    new_categories: IntArray, before_categories: IntArray, random: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Rows of a random sample of both sides in which every category has the same share on both.

    For each new image of a category there are r earlier ones of it, with the r from 1 to `MOST_RATIO` that compares
    most: the one with the largest N M / (N + M). At most `MOST_OF_A_SIDE` rows a side.
    """
    names = np.intersect1d(new_categories, before_categories)
    here = np.array([(new_categories == name).sum() for name in names], dtype=np.int64)
    there = np.array([(before_categories == name).sum() for name in names], dtype=np.int64)
    best: tuple[float, int, IntArray] = (0.0, 1, np.zeros(len(names), dtype=np.int64))
    for ratio in range(1, MOST_RATIO + 1):
        taken = np.minimum(here, there // ratio)
        room = MOST_OF_A_SIDE // ratio
        if taken.sum() > room:
            taken = random.multivariate_hypergeometric(taken, room)
        information = float(taken.sum()) * ratio / (1 + ratio)
        if information > best[0]:
            best = (information, ratio, taken)
    _, ratio, taken = best
    return (
        _drawn(new_categories, names, taken, random),
        _drawn(before_categories, names, ratio * taken, random),
    )


def _drawn(categories: IntArray, names: IntArray, numbers: IntArray, random: np.random.Generator) -> IntArray:
    rows = [
        random.choice(np.flatnonzero(categories == name), size=number, replace=False)
        for name, number in zip(names, numbers, strict=True)
    ]
    return np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)


def _judged(distances: NDArray[np.float64]) -> Distance:
    """The first against the others, which are those of random divisions."""
    found, others = float(distances[0]), distances[1:]
    as_large = int((others >= found - 1e-12).sum())
    spread = float(others.std())
    return Distance(
        value=found,
        p_value=(1 + as_large) / (1 + len(others)),
        excess=(found - float(others.mean())) / spread if spread > 0 else 0.0,
    )

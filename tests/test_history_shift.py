"""Distances between sets of embeddings, against plain loops and numbers by hand; what permutations make of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.history.shift import (
    MOST_OF_A_SIDE,
    divisions,
    embedding_shift,
    energy_distance,
    matched_rows,
    mmd_squared,
)


def points(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def slow_distance(first: np.ndarray, second: np.ndarray, kernel) -> float:  # type: ignore[no-untyped-def]
    """mean k(X, X') + mean k(Y, Y') - 2 mean k(X, Y) over pairs of different points."""

    def mean(left: np.ndarray, right: np.ndarray, *, same: bool) -> float:
        pairs = [kernel(a, b) for i, a in enumerate(left) for j, b in enumerate(right) if not (same and i == j)]
        return float(np.mean(pairs))

    return mean(first, first, same=True) + mean(second, second, same=True) - 2 * mean(first, second, same=False)


def test_energy_distance__by_hand() -> None:
    # 2 * mean(3, 4, 2, 3) - 1 - 1
    assert energy_distance(points((0,), (1,)), points((3,), (4,))) == pytest.approx(2 * 3 - 1 - 1)


def test_mmd__by_hand() -> None:
    # distances 1, 1 within and 3, 4, 2, 3 across: their median is 2.5
    near, far = np.exp(-1 / 12.5), np.mean(np.exp(-np.array([9, 16, 4, 9]) / 12.5))
    assert mmd_squared(points((0,), (1,)), points((3,), (4,))) == pytest.approx(2 * near - 2 * far, abs=1e-6)


@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 10_000))
@settings(max_examples=30)
def test_distances__equal_plain_loops(first: int, second: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = (random.normal(size=(size, 4)).astype(np.float32) for size in (first, second))
    together = np.concatenate([one, other])
    apart = [np.linalg.norm(a - b) for i, a in enumerate(together) for b in together[:i]]
    width = np.median(apart)
    assert mmd_squared(one, other) == pytest.approx(
        slow_distance(one, other, lambda a, b: np.exp(-np.sum((a - b) ** 2) / (2 * width**2))), abs=2e-5
    )
    assert energy_distance(one, other) == pytest.approx(
        slow_distance(one, other, lambda a, b: -np.linalg.norm(a - b)), abs=2e-4
    )


def test_distances__are_unbiased() -> None:
    random = np.random.default_rng(0)
    found = [
        [measure(*(random.normal(size=(10, 3)).astype(np.float32) for _ in range(2))) for _ in range(400)]
        for measure in (mmd_squared, energy_distance)
    ]
    for values in found:
        assert abs(np.mean(values)) < 3 * np.std(values) / 20


def test_shift__of_what_moved_and_of_what_did_not() -> None:
    random = np.random.default_rng(1)
    before = random.normal(size=(300, 8)).astype(np.float32)
    same, moved = random.normal(size=(2, 100, 8)).astype(np.float32)
    moved += 0.5
    here, there = np.arange(100) % 4, np.arange(300) % 4
    for new, departs in ((same, False), (moved, True)):
        shift = embedding_shift(new, before, here, there, permutations=199)
        assert shift is not None and (shift.new, shift.before) == (100, 300)
        for distance in (shift.mmd, shift.energy):
            assert (distance.p_value == 1 / 200) is departs and (distance.excess > 5) is departs
        assert shift == embedding_shift(new, before, here, there, permutations=199)


def test_shift__other_categories_than_usual_are_none_by_themselves() -> None:
    random = np.random.default_rng(2)
    centres = np.array([[0.0, 0.0], [9.0, 9.0]])
    here, there = np.repeat([0, 1], [90, 10]), np.repeat([0, 1], [200, 200])
    new, before = ((centres[rows] + random.normal(size=(len(rows), 2))).astype(np.float32) for rows in (here, there))
    shift = embedding_shift(new, before, here, there, permutations=199)
    assert shift is not None and min(shift.mmd.p_value, shift.energy.p_value) > 0.01
    blind = embedding_shift(new, before, np.zeros(100, int), np.zeros(400, int), permutations=199)
    assert blind is not None and blind.mmd.p_value == 1 / 200


def test_shift__p_values_are_even_where_nothing_moved() -> None:
    random = np.random.default_rng(3)
    values = []
    for _ in range(200):
        new, before = random.standard_t(2, size=(2, 20, 3)).astype(np.float32)
        shift = embedding_shift(new, before, np.zeros(20, int), np.zeros(20, int), permutations=49, seed=len(values))
        assert shift is not None
        values.append(shift.energy.p_value)
    assert 0.06 < np.mean(np.array(values) <= 0.1) < 0.15 and 0.42 < np.mean(values) < 0.6


@pytest.mark.parametrize(("new", "before"), [(0, 5), (5, 0), (1, 5)])
def test_shift__nothing_to_compare(new: int, before: int) -> None:
    one, other = np.zeros((new, 3), np.float32), np.zeros((before, 3), np.float32)
    assert embedding_shift(one, other, np.zeros(new, int), np.zeros(before, int)) is None


def test_shift__of_equal_images_is_none() -> None:
    same = np.ones((4, 3), np.float32)
    shift = embedding_shift(same, same, np.zeros(4, int), np.zeros(4, int), permutations=19)
    assert shift is not None
    assert (shift.mmd.value, shift.mmd.excess, shift.mmd.p_value) == (pytest.approx(0, abs=1e-6), 0, 1)


@given(st.lists(st.integers(0, 4), max_size=40), st.lists(st.integers(0, 4), max_size=80), st.integers(0, 99))
@settings(max_examples=60)
def test_matched_rows__every_category_has_the_same_share(here: list[int], there: list[int], seed: int) -> None:
    ours, theirs = np.array(here, dtype=np.int64), np.array(there, dtype=np.int64)
    new, before = matched_rows(ours, theirs, np.random.default_rng(seed))
    assert len(set(new)) == len(new) and len(set(before)) == len(before)
    assert bool(len(new)) == bool(set(here) & set(there))
    for name in set(here):
        assert (theirs[before] == name).sum() * len(new) == (ours[new] == name).sum() * len(before)


def test_matched_rows__small_categories_stay_when_there_are_too_many() -> None:
    many = np.arange(9_000) // 3
    new, before = matched_rows(many, np.repeat(np.arange(3_000), 4), np.random.default_rng(0))
    assert len(new) == len(before) == MOST_OF_A_SIDE
    assert len(set(many[new])) > 1_000


def test_divisions__stay_within_their_category() -> None:
    strata = np.array([0, 0, 1, 1, 0, 1, 1, 1])
    sides = divisions(3, strata, 50, np.random.default_rng(0))
    assert sides[:, 0].tolist() == [True] * 3 + [False] * 5
    assert (sides[strata == 0].sum(axis=0) == 2).all() and (sides[strata == 1].sum(axis=0) == 1).all()
    assert len({tuple(column) for column in sides.T}) > 10

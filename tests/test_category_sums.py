"""Sums and mean directions by category."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curation.category_sums import category_sums, unit_category_means


@given(seed=st.integers(0, 1000), rows=st.integers(0, 40), categories=st.integers(1, 6))
def test_category_sums__are_those_of_a_plain_loop(seed: int, rows: int, categories: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, 3)).astype(np.float32)
    codes = random.integers(0, categories, rows)
    expected = np.zeros((categories, 3))
    for value, code in zip(values, codes.tolist(), strict=True):
        expected[code] += value
    np.testing.assert_allclose(category_sums(values, codes, categories), expected, atol=1e-12)


def test_unit_category_means__are_directions_and_zero_for_an_empty_category() -> None:
    rows = np.array([[3, 0], [0, 4], [2, 0]], dtype=np.float32)
    means = unit_category_means(rows, np.array([0, 0, 2]), 3)
    np.testing.assert_allclose(means, [[0.6, 0.8], [0, 0], [1, 0]], atol=1e-7)
    assert means.dtype == np.float32

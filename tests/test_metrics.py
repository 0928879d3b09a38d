"""Metrics against plain loops, numbers checked by hand, and laws that hold for any predictions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.training import metrics
from tests import reference

Predictions = tuple[np.ndarray, np.ndarray]


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    """Probabilities (N, C), some rows with ties, and codes (N,)."""
    images, categories = draw(st.integers(1, 40)), draw(st.integers(2, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = random.integers(1, draw(st.sampled_from([3, 1_000])), (images, categories)).astype(float)
    return scores / scores.sum(axis=1, keepdims=True), random.integers(0, categories, images)


@settings(max_examples=60)
@given(predictions())
def test_metrics__agree_with_plain_loops(given: Predictions) -> None:
    probabilities, codes = given
    right, size = metrics.is_right(probabilities, codes), probabilities.shape[1]
    assert metrics.accuracy_interval(right).value == pytest.approx(reference.accuracy(probabilities, codes))
    balanced = metrics.balanced_interval(right, codes, size)
    assert balanced.value == pytest.approx(reference.balanced_accuracy(probabilities, codes))
    for k in (1, 2, 5):
        assert metrics.top_accuracy(probabilities, codes, k) == reference.top_accuracy(probabilities, codes, k)
    weights = np.linspace(0.1, 1, len(codes))
    expected = reference.negative_log_likelihood(probabilities, codes, weights)
    assert metrics.negative_log_likelihood(probabilities, codes, weights) == pytest.approx(expected)


@settings(max_examples=60)
@given(predictions())
def test_metrics__laws(given: Predictions) -> None:
    probabilities, codes = given
    right, counts = metrics.is_right(probabilities, codes), metrics.confusion(probabilities, codes)
    assert counts.sum() == len(codes) and np.trace(counts) == right.sum()
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(codes, minlength=len(counts)))
    tops = [metrics.top_accuracy(probabilities, codes, k) for k in range(1, probabilities.shape[1] + 1)]
    assert tops == sorted(tops) and tops[0] == right.mean() and tops[-1] == 1
    bins = metrics.confidence_bins(probabilities, codes)
    assert sum(item.images for item in bins) == len(codes)
    assert [item.confidence for item in bins] == sorted(item.confidence for item in bins)
    gap = abs(float(right.mean()) - float(probabilities.max(axis=1).mean()))
    assert gap - 1e-6 <= metrics.expected_calibration_error(probabilities, codes) <= 1
    order = np.random.default_rng(0).permutation(len(codes))
    assert metrics.negative_log_likelihood(probabilities[order], codes[order]) == pytest.approx(
        metrics.negative_log_likelihood(probabilities, codes)
    )


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_calibration_error__agrees_with_plain_loops(seed: int, images: int) -> None:
    # Random reals never lie on the edge of a bin, where float32 and float64 may differ.
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(5), images)
    codes = np.random.default_rng(seed + 1).integers(0, 5, images)
    expected = reference.expected_calibration_error(probabilities.tolist(), codes.tolist(), 15)
    assert metrics.expected_calibration_error(probabilities, codes) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=60)
@given(st.integers(1, 300), st.data())
def test_intervals__hold_their_value_and_lie_within_the_unit_interval(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    right = np.arange(total) < hits
    codes = np.arange(total) % 3
    for found in (
        metrics.wilson_interval(hits, total),
        metrics.accuracy_interval(right),
        metrics.balanced_interval(right, codes, 4),
        metrics.bootstrap_interval(right.astype(float), draws=50),
    ):
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert metrics.wilson_interval(hits, total).high - metrics.wilson_interval(hits, total).low > 0


def test_wilson_interval__known_values() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 gives 0.2553 to 0.3662, 0 of 20 gives 0 to 0.1611.
    found = metrics.wilson_interval(81, 263)
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert metrics.wilson_interval(0, 20).high == pytest.approx(0.1611, abs=5e-5)


def test_bootstrap_interval__is_as_wide_as_theory_says_and_depends_on_the_seed_alone() -> None:
    values = (np.arange(2_000) < 1_400).astype(float)
    found = metrics.bootstrap_interval(values)
    half = 1.96 * (0.7 * 0.3 / 2_000) ** 0.5
    assert found.low == pytest.approx(0.7 - half, abs=0.1 * half)
    assert found.high == pytest.approx(0.7 + half, abs=0.1 * half)
    assert metrics.bootstrap_interval(values, seed=3) == metrics.bootstrap_interval(values, seed=3) != found


def test_accuracy_interval__all_right_is_not_certain() -> None:
    found = metrics.accuracy_interval(np.ones(10, dtype=bool))
    assert found.value == found.high == 1 and found.low == pytest.approx(0.7225, abs=1e-3)


def test_confidence_bins__by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.92, 0.08], [0.6, 0.4], [0.3, 0.7]])
    bins = metrics.confidence_bins(probabilities, np.array([0, 1, 0, 1]), bins=4)
    assert [(round(item.confidence, 4), item.accuracy, item.images) for item in bins] == [(0.65, 1, 2), (0.91, 0.5, 2)]
    error = metrics.expected_calibration_error(probabilities, np.array([0, 1, 0, 1]), bins=4)
    assert error == pytest.approx((2 * 0.35 + 2 * 0.41) / 4)


def test_negative_log_likelihood__a_probability_of_zero_stays_finite() -> None:
    assert 20 < metrics.negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([1])) < 30


@pytest.mark.parametrize(
    ("probabilities", "codes"),
    [
        (np.full((2, 3), 1 / 3), np.array([0, 3])),
        (np.full((2, 3), 1 / 3), np.array([0, -1])),
        (np.full((2, 3), 1 / 3), np.array([0])),
        (np.full((0, 3), 1 / 3), np.array([], dtype=int)),
    ],
)
def test_metrics__what_does_not_fit_is_refused(probabilities: np.ndarray, codes: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected probabilities|codes lie in"):
        metrics.is_right(probabilities, codes)

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.remaining_noise import (
    EXACT,
    UPPER,
    Calibration,
    calibration_from_audit,
    calibration_from_error,
    forecast_noise,
    most_wrong,
    shift_to_mean,
    shifted,
    surer_calibration,
)

probability_lists = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40)


def poisson_binomial(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(number of wrong ones = 0, 1, ..., N), by adding one sample after the other."""
    chances = np.ones(1)
    for value in probabilities:
        chances = np.append(chances * (1 - value), 0.0) + np.append(0.0, chances * value)
    return chances


@given(probability_lists)
def test_most_wrong__bounds_the_exact_number(values: list[float]) -> None:
    known = np.array(values)
    chances = poisson_binomial(known)
    most = float(most_wrong(len(known), known.mean()))
    assert chances[: math.floor(most) + 1].sum() >= UPPER - 1e-9 or most >= len(known)


def test_forecast__numbers_by_hand() -> None:
    found = forecast_noise(np.full(100, 0.02), EXACT, confirmed=100)
    assert found.expected == pytest.approx(0.01)
    # Of Binomial(100, 0.02): P(0) = 0.133 > 5 %, P(<= 4) = 0.949, P(<= 5) = 0.985.
    assert (found.low, found.high) == (0.0, 5 / 200)
    assert forecast_noise([], EXACT, confirmed=5) == forecast_noise([], EXACT)
    assert forecast_noise([], EXACT, confirmed=5).high == 0.0


@given(probability_lists, st.integers(0, 50), st.floats(0.0, 0.3))
def test_forecast__the_interval_holds_the_expectation(values: list[float], confirmed: int, error: float) -> None:
    found = forecast_noise(values, calibration_from_error(values, error), confirmed=confirmed)
    assert 0 <= found.low <= found.expected + 1e-12
    assert found.expected <= found.high + 1e-12 and found.high <= 1 + 1e-12


@given(probability_lists, st.floats(0.001, 0.999))
def test_shift_to_mean__reaches_the_mean(values: list[float], mean: float) -> None:
    assert shifted(values, shift_to_mean(values, mean)).mean() == pytest.approx(mean, abs=1e-6)


def test_shift_to_mean__impossible_means_are_infinite() -> None:
    assert shift_to_mean([0.1, 0.5], 0.0) == -math.inf and shift_to_mean([0.1, 0.5], 1.2) == math.inf
    assert shifted([0.1, 0.5], -math.inf).tolist() == [0.0, 0.0]


def test_calibration__an_error_of_the_mean_weighs_in_proportion() -> None:
    trusted, doubtful = np.full(80, 0.01), np.full(20, 0.5)
    everything = np.concatenate([trusted, doubtful])
    calibration = calibration_from_error(everything, 0.05)
    assert shifted(everything, calibration.high).mean() == pytest.approx(everything.mean() + 0.05)
    assert 0.01 < shifted(trusted, calibration.high).mean() < 0.03  # far less than 0.01 + 0.05
    assert calibration_from_error([], 0.05) == EXACT


def test_calibration__an_audit_says_where_the_mean_is() -> None:
    known = np.full(200, 0.02)
    audit = calibration_from_audit(known, wrong=10, decided=200, noise_low=0.03, noise_high=0.08, source="audit")
    ends = [shifted(known, shift).mean() for shift in (audit.low, audit.middle, audit.high)]
    assert ends == pytest.approx([0.03, 10.5 / 201, 0.08])
    none_found = calibration_from_audit(known, wrong=0, decided=200, noise_low=0.0, noise_high=0.015, source="audit")
    assert none_found.low == -math.inf and none_found.middle < none_found.high < 0


@pytest.mark.parametrize(
    ("audit", "chosen"), [((-0.2, 0.2), "audit"), ((-2.0, 2.0), "model"), ((0.3, 2.0), "audit"), ((-0.1, 3.0), "audit")]
)
def test_calibration__a_small_audit_that_agrees_changes_nothing(audit: tuple[float, float], chosen: str) -> None:
    model = Calibration(-0.5, 0.0, 0.5, "model")
    assert surer_calibration(model, Calibration(audit[0], 0.1, audit[1], "audit")).source == chosen


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 2.0), st.integers(20, 400))
def test_forecast__covers_what_happens(seed: int, spread: float, samples: int) -> None:
    generator = np.random.default_rng(seed)
    known = generator.beta(spread * 0.1, spread, samples)
    found = forecast_noise(known, EXACT)
    noise = (generator.random((2000, samples)) < np.clip(known, 1e-4, 1 - 1e-4)).mean(axis=1)
    covered = np.mean((found.low - 1e-9 <= noise) & (noise <= found.high + 1e-9))
    assert covered >= 0.90 - 4 * math.sqrt(0.9 * 0.1 / 2000)

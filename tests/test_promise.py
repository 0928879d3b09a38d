from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.errors import ExportError
from curation.promise import FEWEST_KEPT, keep_promise, parse_promise
from curation.remaining_noise import EXACT, calibration_from_error, forecast_noise
from curation.review_budget import plan_reviews


def some_probabilities(seed: int, samples: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    return generator.beta(generator.uniform(0.05, 0.5), generator.uniform(0.5, 3), samples)


@pytest.mark.parametrize(
    ("text", "share"), [("noise<=0.02", 0.02), ("noise<=2%", 0.02), (" noise <= .5 ", 0.5), ("noise<=0.5 %", 0.005)]
)
def test_parse__shares_and_per_cent(text: str, share: float) -> None:
    assert parse_promise(text) == pytest.approx(share)


@pytest.mark.parametrize(
    "text", ["", "noise<0.02", "noise<=0", "noise<=1", "noise<=100%", "noise<=-1", "noise<=nan", "purity>=0.9", "0.02"]
)
def test_parse__anything_else_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match=r"a promise looks like noise<=0\.02") as caught:
        parse_promise(text)
    assert "--promise" in caught.value.hint


@given(st.integers(0, 2**32 - 1), st.integers(20, 120), st.integers(0, 40), st.floats(0.005, 0.3))
def test_keep_promise__is_the_largest_prefix_that_a_plain_loop_finds(
    seed: int, samples: int, confirmed: int, promise: float
) -> None:
    known = some_probabilities(seed, samples)
    calibration = calibration_from_error(known, 0.03)
    largest = 0 if confirmed >= FEWEST_KEPT else None
    for size in range(1, samples + 1):
        high = forecast_noise(np.sort(known)[:size], calibration, confirmed=confirmed).high
        if high <= promise + 1e-12 and confirmed + size >= FEWEST_KEPT:
            largest = size
    if largest is None:
        with pytest.raises(ExportError, match="cannot be promised"):
            keep_promise(known, promise, calibration, confirmed=confirmed)
        return
    kept, statement = keep_promise(known, promise, calibration, confirmed=confirmed)
    assert kept.sum() == largest and statement.kept == confirmed + largest
    assert statement.candidates == statement.kept + statement.set_aside == confirmed + samples
    assert known[kept].max(initial=0.0) <= known[~kept].min(initial=1.0)
    assert statement.noise.expected <= statement.noise.high <= promise + 1e-12


def test_keep_promise__figures_by_hand() -> None:
    known = np.array([0.5, 0.9] * 50 + [0.001] * 1000)
    kept, statement = keep_promise(known, 0.01, EXACT)
    # 1000 trusted ones: 1 wrong expected, with 95 % at most 3. Each of the doubtful adds half of one.
    assert kept[100:].all() and 0 < kept[:100].sum() < 15
    assert statement.threshold == 0.5
    aside = known[~kept]
    assert statement.precision == pytest.approx(aside.mean())
    assert statement.recall == pytest.approx(aside.sum() / known.sum())


def test_keep_promise__everything_where_nothing_is_in_doubt() -> None:
    kept, statement = keep_promise(np.zeros(7), 0.02, EXACT)
    assert kept.all() and (statement.threshold, statement.precision, statement.set_aside) == (None, None, 0)
    kept, statement = keep_promise([], 0.02, EXACT, confirmed=3)
    assert (statement.kept, statement.recall, statement.noise.high) == (3, None, 0.0)


def test_keep_promise__ties_are_settled_by_order() -> None:
    kept, statement = keep_promise(np.full(1000, 0.05), 0.02, EXACT, confirmed=1000)
    number = int(kept.sum())
    assert 0 < number < 1000 and kept[:number].all() and statement.threshold == 0.05


@given(st.integers(0, 2**32 - 1))
def test_keep_promise__stricter_promises_and_larger_errors_keep_less(seed: int) -> None:
    known = some_probabilities(seed, 400)
    loose, strict = calibration_from_error(known, 0.01), calibration_from_error(known, 0.1)
    kept = [
        keep_promise(known, promise, calibration, confirmed=FEWEST_KEPT)[1].kept
        for promise, calibration in ((0.1, loose), (0.05, loose), (0.05, strict))
    ]
    assert kept == sorted(kept, reverse=True)


def test_keep_promise__is_kept_in_nineteen_of_twenty_worlds() -> None:
    generator = np.random.default_rng(3)
    known = generator.beta(0.2, 0.8, 800)
    broken, worlds = 0, 2000
    kept, statement = keep_promise(known, 0.03, EXACT)
    for _ in range(worlds):
        wrong = generator.random(len(known)) < known
        broken += int(wrong[kept].mean() > 0.03)
    assert statement.kept > 200
    assert broken / worlds <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / worlds)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(25, 600), st.floats(0.0, 0.05))
def test_refused__what_is_offered_instead_can_be_had(seed: int, samples: int, error: float) -> None:
    known = 0.06 + 0.9 * some_probabilities(seed, samples)
    calibration = calibration_from_error(known, error)
    with pytest.raises(ExportError) as caught:
        keep_promise(known, 0.02, calibration)
    offer = re.search(r"noise<=(\S+), with (\S+) of", caught.value.message)
    reviews = re.search(r"--budget (\d+)", caught.value.hint)
    assert offer and reviews
    best = float(offer[1])
    kept, statement = keep_promise(known, best, calibration)
    assert statement.kept == int(offer[2].replace(",", ""))
    plan = plan_reviews(known[kept], int(reviews[1]), calibration)
    assert plan.noise_after.high <= 0.02 + 1e-9
    one_less = plan_reviews(known[kept], int(reviews[1]) - 1, calibration)
    assert one_less.noise_after.high > 0.02 - 0.5 / len(kept)  # expected numbers of right ones are rounded
    with pytest.raises(ExportError, match="cannot be promised"):
        keep_promise(known, 0.8 * best, calibration)


def test_refused__when_all_may_be_wrong() -> None:
    with pytest.raises(ExportError, match="nor any other noise") as caught:
        keep_promise(np.full(50, 0.99), 0.5, EXACT)
    assert "Review" in caught.value.hint

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.promise import keep_promise
from curation.remaining_noise import EXACT
from curation.review_budget import plan_reviews, review_budget_curve, samples_to_review

probability_lists = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=60)


@given(probability_lists)
def test_curve__is_what_a_plain_loop_finds(values: list[float]) -> None:
    reviews, share, noise = review_budget_curve(values)
    worst_first = sorted(values, reverse=True)
    for number in range(len(values) + 1):
        found, rest = sum(worst_first[:number]), worst_first[number:]
        assert reviews[number] == number
        assert share[number] == pytest.approx(found / sum(values))
        assert noise[number] == pytest.approx(sum(rest) / (len(values) - found), abs=1e-12)
    assert (np.diff(noise) <= 1e-12).all() and share[-1] == pytest.approx(1) and noise[-1] == pytest.approx(0, abs=1e-9)


def test_curve__without_errors_or_samples() -> None:
    assert [list(part) for part in review_budget_curve([])] == [[0], [1.0], [0.0]]
    assert [list(part) for part in review_budget_curve([0.0, 0.0])] == [[0, 1, 2], [1, 1, 1], [0, 0, 0]]
    assert list(review_budget_curve([1.0])[2]) == [1.0, 0.0]


@given(probability_lists, st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_samples_to_review__no_other_choice_finds_more(values: list[float], budget: int, seed: int) -> None:
    known = np.array(values)
    chosen = samples_to_review(known, budget)
    other = np.random.default_rng(seed).permutation(len(known))[:budget]
    assert len(set(chosen.tolist())) == min(budget, len(known))
    assert known[chosen].sum() >= known[other].sum() - 1e-12
    assert (np.diff(known[chosen]) <= 0).all()


def test_plan__figures_by_hand() -> None:
    plan = plan_reviews([0.01] * 100 + [0.5] * 10, 10, EXACT, confirmed=20)
    assert (plan.reviews, plan.errors, plan.errors_found) == (10, pytest.approx(6), pytest.approx(5))
    assert plan.noise_now.expected == pytest.approx(6 / 130)
    assert plan.noise_after.expected == pytest.approx(1 / 125)  # five of the ten are right and stay
    assert plan.noise_after.high < plan.noise_now.high and plan.kept_after is None


def test_plan__a_budget_beyond_all_leaves_no_noise() -> None:
    plan = plan_reviews([0.2, 0.4], 500, EXACT)
    assert plan.reviews == 2 and plan.noise_after.high == 0.0


def test_plan__after_the_reviews_the_same_promise_keeps_more() -> None:
    known = np.random.default_rng(0).beta(0.3, 1.5, 2000)
    kept, statement = keep_promise(known, 0.03, EXACT)
    plan = plan_reviews(known[kept], 100, EXACT, promise=0.03, set_aside=known[~kept])
    assert plan.kept_after is not None and plan.kept_after > statement.kept + 50

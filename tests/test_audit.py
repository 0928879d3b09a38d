from __future__ import annotations

import math
from collections import Counter
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import audit
from curation.audit import audit_result, open_audit_samples, plan_audit, wrong_bounds
from curation.audit_plan import AuditPlan
from curation.errors import AuditError
from curation.values import Decision, DecisionAction


def population(size: int, seed: int = 0) -> dict[str, float | None]:
    values = np.random.default_rng(seed).beta(0.3, 2, size)
    return {f"{number:05d}": float(value) for number, value in enumerate(values)}


def draw(probabilities: dict[str, float | None], number: int, seed: int = 0, confirmed: int = 0) -> AuditPlan:
    return plan_audit(probabilities, number, seed=seed, content_hash="c0ffee", confirmed=confirmed)


def decide(plan: AuditPlan, wrong: set[str]) -> dict[str, Decision]:
    return {
        name: Decision(name, DecisionAction.DROP if name in wrong else DecisionAction.KEEP, "first")
        for name in plan.drawn
    }


@given(st.integers(1, 400), st.integers(2, 250), st.integers(0, 2**32 - 1))
def test_plan__is_stratified_and_in_proportion(size: int, number: int, seed: int) -> None:
    probabilities = population(size)
    plan = draw(probabilities, number, seed)
    assert len(plan.drawn) == len(set(plan.drawn)) == min(number, size) and plan.population == size
    assert set(plan.drawn) <= probabilities.keys() and plan == draw(probabilities, number, seed)
    assert 1 <= len(plan.strata) <= 5 and (number < 50 or size < 50 or len(plan.strata) == 5)
    for stratum, following in zip(plan.strata, plan.strata[1:], strict=False):
        assert stratum.highest is not None and following.lowest is not None and stratum.highest <= following.lowest
    for stratum in plan.strata:
        assert len(stratum.drawn) >= min(2, size) and (len(plan.strata) == 1 or len(stratum.drawn) >= 10)
        assert abs(stratum.population - len(stratum.drawn) * size / len(plan.drawn)) <= 1
        assert all(stratum.lowest <= probabilities[name] <= stratum.highest for name in stratum.drawn)  # type: ignore[operator]


def test_plan__another_seed_draws_others() -> None:
    assert draw(population(300), 50, 1).drawn != draw(population(300), 50, 2).drawn


def test_plan__without_a_noise_model_draws_from_all_alike() -> None:
    plan = draw({**population(100), "new": None}, 60)
    assert [(stratum.population, stratum.lowest, stratum.predicted) for stratum in plan.strata] == [(101, None, None)]


@pytest.mark.parametrize(("size", "number"), [(0, 10), (10, 1)])
def test_plan__nothing_to_draw_is_refused(size: int, number: int) -> None:
    with pytest.raises(AuditError, match="2 samples or more"):
        draw(population(size), number)


def test_bounds__are_those_of_a_plain_count() -> None:
    def chance(wrong: int, found: int) -> float:
        return math.comb(wrong, found) * math.comb(60 - wrong, 20 - found) / math.comb(60, 20)

    for found in range(21):
        low = [wrong for wrong in range(61) if sum(chance(wrong, more) for more in range(found, 21)) > 0.05]
        high = [wrong for wrong in range(61) if sum(chance(wrong, less) for less in range(found + 1)) > 0.05]
        assert wrong_bounds(60, 20, found, found) == (low[0], high[-1])


def test_bounds__none_of_two_hundred_is_not_nothing() -> None:
    fewest, most = wrong_bounds(100_000, 200, 0, 0)
    assert fewest == 0 and 0.0145 < most / 100_000 < 0.0150  # the rule of three at 95 %: 3 / 200


def test_result__counts_by_hand() -> None:
    plan = draw({f"{number:03d}": number / 200 for number in range(100)}, 20, confirmed=100)
    first, second = (sorted(stratum.drawn) for stratum in plan.strata)
    decisions = {name: Decision(name, DecisionAction.KEEP, "first") for name in (*first, *second)}
    decisions[second[0]] = Decision(second[0], DecisionAction.DROP, "first")
    decisions[second[1]] = Decision(second[1], DecisionAction.RELABEL, "first", "Wren")
    result = audit_result(plan, decisions)
    assert (result.decided, result.wrong, result.open, result.unsure) == (20, 2, 0, 0)
    assert result.noise == pytest.approx(50 * 0.2 / 200)
    assert (result.noise_low, result.noise_high) == tuple(value / 200 for value in wrong_bounds(100, 20, 2, 2))
    assert result.left == pytest.approx((10 - 2) / 199)  # the dropped one is out, the relabelled one is right now
    assert [stratum.found for stratum in result.strata] == [0.0, 0.2]
    assert result.strata[0].predicted == pytest.approx(0.1225)


def test_result__missing_decisions_widen_the_bounds() -> None:
    plan = draw(population(1000), 100)
    decisions = decide(plan, wrong=set(plan.drawn[:3]))
    complete = audit_result(plan, decisions)
    decisions[plan.drawn[50]] = Decision(plan.drawn[50], DecisionAction.UNSURE, "first")
    del decisions[plan.drawn[60]]
    result = audit_result(plan, decisions)
    assert (result.decided, result.unsure, result.open) == (98, 1, 1)
    assert open_audit_samples(plan, decisions) == [plan.drawn[60]]
    assert result.noise_low == complete.noise_low and result.noise_high > complete.noise_high
    assert result.noise_high == wrong_bounds(1000, 100, 3, 5)[1] / 1000
    nothing = audit_result(plan, {})
    assert nothing.noise is None and (nothing.noise_low, nothing.noise_high) == (0.0, 1.0)


def test_result__looking_at_all_leaves_no_doubt() -> None:
    plan = draw(population(40), 40)
    result = audit_result(plan, decide(plan, wrong=set(plan.drawn[:4])))
    assert result.noise == result.noise_low == result.noise_high == pytest.approx(0.1)
    assert result.left == result.left_high == 0.0


@pytest.mark.parametrize(
    ("size", "number", "rate", "misled"), [(600, 60, 0.04, False), (600, 60, 0.3, True), (90, 60, 0.1, False)]
)
def test_result__unbiased_and_covering(size: int, number: int, rate: float, misled: bool) -> None:
    probabilities = population(size)
    ranked = sorted(probabilities, key=lambda name: (probabilities[name] or 0.0) * (-1 if misled else 1))
    chance = np.random.default_rng(9)
    ranks = chance.permutation(size) * 0.5 + np.arange(size)  # wrong ones mostly, not only, where the model says
    wrong = {ranked[position] for position in np.argsort(-ranks)[: round(rate * size)]}
    truth, draws = len(wrong) / size, 600
    with patch.object(audit, "wrong_bounds", cache(wrong_bounds)):
        results = []
        for seed in range(draws):
            plan = draw(probabilities, number, seed)
            results.append(audit_result(plan, decide(plan, wrong)))
    estimates = np.array([result.noise for result in results], dtype=np.float64)
    assert abs(estimates.mean() - truth) < 4 * estimates.std() / math.sqrt(draws)
    covered = np.mean([result.noise_low - 1e-9 <= truth <= result.noise_high + 1e-9 for result in results])
    assert covered >= 0.90 - 4 * math.sqrt(0.9 * 0.1 / draws)


def test_result__every_sample_is_drawn_equally_often() -> None:
    probabilities = population(100)
    drawn = Counter(name for seed in range(1000) for name in draw(probabilities, 50, seed).drawn)
    assert all(abs(drawn[name] - 500) < 5 * math.sqrt(1000 * 0.25) for name in probabilities)

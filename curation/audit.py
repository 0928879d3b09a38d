"""How wrong is a cleaned set really? A random sample of it, reviewed by a person, measures its noise without bias.

The sample is stratified by noise probability and drawn in proportion: every sample is equally likely, and doubtful and
trusted ones are drawn in their shares. Neyman's allocation would draw more doubtful ones; where few or no errors are
found, which is what an audit is to show, its bound is wider than this one's, and worse still where the model is off.

The estimate is the stratified mean (Cochran 1977, Sampling Techniques, section 5.3). The interval inverts the
hypergeometric distribution of the number of wrong ones found (Clopper and Pearson 1934, for a finite population): the
count of a proportional stratified sample is a sum of independent trials and no more dispersed (Hoeffding 1956), so the
interval covers at least 90 %, has a width when no error is found, and none when everything was looked at.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from curation.audit_plan import AuditPlan, AuditStratum
from curation.errors import AuditError
from curation.remaining_noise import UPPER
from curation.values import Decision, DecisionAction

METHOD = "stratified estimate (Cochran 1977); 90 % interval by inverting the hypergeometric distribution"
_MOST_STRATA = 5
_PER_STRATUM = 10  # drawn of each at least, so that its own rate of wrong ones says something

_WRONG = (DecisionAction.DROP, DecisionAction.RELABEL)


@dataclass(frozen=True, slots=True)
class StratumResult:
    """What was found in one stratum; `predicted` is the noise model's mean, `found` the share of wrong ones decided."""

    lowest: float | None
    highest: float | None
    population: int
    drawn: int
    decided: int
    wrong: int
    predicted: float | None
    found: float | None


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What an audit has found so far.

    `decided` of the `drawn` samples are right or wrong (dropped, relabelled), `unsure` ones were looked at in vain,
    `open` ones not yet. `noise` is the estimated share of wrong ones in the set as it was drawn from, from the decided
    alone (`None` while a stratum has none); in [`noise_low`, `noise_high`] missing ones count as right and as wrong.
    `left` is the noise that is left once the wrong ones that were found have been taken out or corrected, with the
    same bounds.
    """

    population: int
    confirmed: int
    drawn: int
    decided: int
    unsure: int
    open: int
    wrong: int
    noise: float | None
    noise_low: float
    noise_high: float
    left: float | None
    left_low: float
    left_high: float
    strata: tuple[StratumResult, ...]
    method: str


def plan_audit(
    probabilities: Mapping[str, float | None],
    number: int,
    *,
    seed: int,
    content_hash: str,
    confirmed: int = 0,
    promise: float | None = None,
) -> AuditPlan:
    """Draw `number` of the samples whose noise probabilities (by sample id) are given; all, where there are fewer.

    At most five strata of equal size, so that each gives ten samples or more; a single one for small numbers, and where
    a probability is not known. Raises `AuditError` when there is nothing to draw from, or fewer than two are asked for.
    """
    if number < 2 or not probabilities:
        raise AuditError(
            f"an audit draws 2 samples or more from what an export keeps undecided; {number} of "
            f"{len(probabilities)} were asked for.",
            hint="Ask for about 200: with none wrong among them less than 1.5 % of the set is wrong.",
        )
    drawn = min(number, len(probabilities))
    known = all(value is not None for value in probabilities.values())
    strata = max(min(_MOST_STRATA, drawn // _PER_STRATUM), 1) if known else 1
    ranked = sorted(probabilities, key=lambda sample_id: (probabilities[sample_id] or 0.0, sample_id))
    generator = np.random.default_rng(seed)
    # Cut where the share of the samples is that of the draws, so that each stratum is drawn in proportion.
    draw_ends = [round(drawn * step / strata) for step in range(strata + 1)]
    ends = [round(end / drawn * len(ranked)) for end in draw_ends]
    made = [
        _stratum(ranked[first:last], end - start, probabilities if known else None, generator)
        for first, last, start, end in zip(ends, ends[1:], draw_ends, draw_ends[1:], strict=False)
    ]
    return AuditPlan(seed, content_hash, promise, confirmed, tuple(made))


def _stratum(
    members: Sequence[str],
    number: int,
    probabilities: Mapping[str, float | None] | None,
    generator: np.random.Generator,
) -> AuditStratum:
    drawn = tuple(sorted(members[int(position)] for position in generator.permutation(len(members))[:number]))
    if probabilities is None:
        return AuditStratum(len(members), None, None, None, drawn)
    values = [probabilities[sample_id] or 0.0 for sample_id in members]
    return AuditStratum(len(members), min(values), max(values), float(np.mean(values)), drawn)


def open_audit_samples(plan: AuditPlan, decisions: Mapping[str, Decision]) -> list[str]:
    """Ids of the drawn samples that nobody has decided on, for the reviewers' queue; `unsure` is a decision."""
    return [sample_id for sample_id in plan.drawn if sample_id not in decisions]


def audit_result(plan: AuditPlan, decisions: Mapping[str, Decision]) -> AuditResult:
    """What the decisions so far (by sample id) say about the set that the audit was drawn from."""
    actions = Counter(decisions[sample_id].action for sample_id in plan.drawn if sample_id in decisions)
    wrong = sum(actions[action] for action in _WRONG)
    decided = wrong + actions[DecisionAction.KEEP]
    drawn = len(plan.drawn)
    strata = tuple(_stratum_result(stratum, decisions) for stratum in plan.strata)
    fewest, most = wrong_bounds(plan.population, drawn, wrong, wrong + drawn - decided)
    errors = _estimated_errors(strata)
    total = plan.population + plan.confirmed
    return AuditResult(
        population=plan.population,
        confirmed=plan.confirmed,
        drawn=drawn,
        decided=decided,
        unsure=actions[DecisionAction.UNSURE],
        open=len(open_audit_samples(plan, decisions)),
        wrong=wrong,
        noise=None if errors is None else errors / total,
        noise_low=fewest / total,
        noise_high=most / total,
        left=None if errors is None else _left(errors, wrong, actions, total),
        left_low=_left(fewest, wrong, actions, total),
        left_high=_left(most, wrong, actions, total),
        strata=strata,
        method=METHOD,
    )


def wrong_bounds(population: int, drawn: int, fewest_found: int, most_found: int) -> tuple[int, int]:
    """How many of `population` are wrong, 90 % interval, when `fewest_found` to `most_found` of the `drawn` are.

    The ends are the numbers for which finding so many, or more (fewer), still has a probability above 5 %.
    """
    numbers, tail = range(population + 1), 1 - UPPER
    fewest = bisect_right(numbers, tail, key=lambda wrong: hypergeom.sf(fewest_found - 1, population, wrong, drawn))
    beyond = bisect_left(numbers, -tail, key=lambda wrong: -hypergeom.cdf(most_found, population, wrong, drawn))
    return fewest, beyond - 1


def _stratum_result(stratum: AuditStratum, decisions: Mapping[str, Decision]) -> StratumResult:
    actions = [decisions[sample_id].action for sample_id in stratum.drawn if sample_id in decisions]
    wrong = sum(action in _WRONG for action in actions)
    decided = wrong + actions.count(DecisionAction.KEEP)
    return StratumResult(
        stratum.lowest,
        stratum.highest,
        stratum.population,
        len(stratum.drawn),
        decided,
        wrong,
        stratum.predicted,
        wrong / decided if decided else None,
    )


def _estimated_errors(strata: Sequence[StratumResult]) -> float | None:
    """Wrong samples in all strata, each scaled up by its own size: unbiased, whatever the noise model thought."""
    errors = 0.0
    for stratum in strata:
        if stratum.found is None:
            return None
        errors += stratum.population * stratum.found
    return errors


def _left(errors: float, wrong: int, actions: Counter[DecisionAction], total: int) -> float:
    remaining = total - actions[DecisionAction.DROP]
    return max(errors - wrong, 0.0) / remaining if remaining else 0.0

"""What people decided, what that changed for the samples nobody has looked at, and what the newest audit found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from curation.audit import AuditResult, audit_result
from curation.report.inputs import ReportInputs
from curation.report.pictures import Picture, picture_of
from curation.values import NoiseEstimate, Sample

_MOVED = 0.05  # a smaller change of a noise probability changes nobody's mind
_MOST_MOVES = 12


@dataclass(frozen=True, slots=True)
class Move:
    """A sample nobody has decided on, whose noise probability others' decisions changed from `before` to `now`."""

    picture: Picture
    before: float
    now: float


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """The newest audit: its number, when it was drawn (UTC), the noise promised of its set, and what it found."""

    audit_id: int
    planned_at: datetime
    promise: float | None
    result: AuditResult


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """The newest decision on each novel sample, counted by action and by annotator.

    `learned_from` of them were known to the last run, which knew `undecided` other samples: `moved` of these by 0.05 or
    more, `changed_sides` over a probability of 1/2. `rate_before` is the noise rate without any decision, `rate_now`
    with them. Of the `judged` samples that a person found right or wrong, the transferred model `agreed` in so many.
    """

    total: int
    by_action: dict[str, int]
    by_annotator: dict[str, int]
    learned_from: int
    undecided: int
    moved: int
    changed_sides: int
    rate_before: float | None
    rate_now: float | None
    judged: int
    agreed: int
    moves: tuple[Move, ...]
    audit: AuditFacts | None


def decision_facts(inputs: ReportInputs) -> DecisionFacts:
    """From the decisions as they are now and the estimates of the last run."""
    estimated, undecided = inputs.estimated(), inputs.undecided()
    known = [inputs.decisions[sample.sample_id] for sample in estimated if sample.sample_id in inputs.decisions]
    steps = {sample.sample_id: _step(inputs.estimates[sample.sample_id]) for sample in undecided}
    moved = [sample for sample in undecided if abs(steps[sample.sample_id]) >= _MOVED]
    moved.sort(key=lambda sample: (-abs(steps[sample.sample_id]), sample.sample_id))
    judged = [sample for sample in estimated if inputs.verdict(sample) is not None]
    summary = inputs.stages["noise"].summary if "noise" in inputs.stages else {}
    return DecisionFacts(
        total=len(known),
        by_action=_counted(decision.action.value for decision in known),
        by_annotator=_counted(decision.annotator for decision in known),
        learned_from=int(summary.get("decisions learned from", 0)),
        undecided=len(undecided),
        moved=len(moved),
        changed_sides=sum(_changed_sides(inputs.estimates[sample.sample_id]) for sample in undecided),
        rate_before=_mean(inputs.estimates[sample.sample_id].transferred_probability for sample in estimated),
        rate_now=_mean(inputs.chance(sample) for sample in estimated),
        judged=len(judged),
        agreed=sum(_agrees(inputs, sample) for sample in judged),
        moves=tuple(_move(inputs, sample) for sample in moved[:_MOST_MOVES]),
        audit=_newest_audit(inputs),
    )


def _step(estimate: NoiseEstimate) -> float:
    return estimate.noise_probability - estimate.transferred_probability


def _changed_sides(estimate: NoiseEstimate) -> bool:
    return (estimate.noise_probability >= 0.5) != (estimate.transferred_probability >= 0.5)


def _move(inputs: ReportInputs, sample: Sample) -> Move:
    estimate = inputs.estimates[sample.sample_id]
    return Move(picture_of(inputs, sample), estimate.transferred_probability, estimate.noise_probability)


def _agrees(inputs: ReportInputs, sample: Sample) -> bool:
    return (inputs.estimates[sample.sample_id].transferred_probability >= 0.5) == inputs.verdict(sample)


def _newest_audit(inputs: ReportInputs) -> AuditFacts | None:
    if not inputs.audits:
        return None
    newest = inputs.audits[-1]
    result = audit_result(newest.plan, inputs.decisions)
    return AuditFacts(newest.audit_id, newest.planned_at, newest.plan.promise, result)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return float(np.mean(listed)) if listed else None

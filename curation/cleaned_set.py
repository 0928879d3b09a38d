"""Which samples go into a cleaned set, under which category and weight, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from curation.errors import ExportError
from curation.export.manifest import content_hash_of
from curation.values import (
    CleanedSample,
    CleanedSet,
    Decision,
    DecisionAction,
    Evidence,
    Flag,
    FlagName,
    NoiseEstimate,
    Role,
    Sample,
    SetAside,
)

# Weight of a sample that a person has confirmed, if its own is lower: one of average trust. The network's doubt has
# been answered, but a reviewed image is not worth more than one that was never in doubt.
_CONFIRMED_WEIGHT = 1.0

NOISE_FLAGS = (FlagName.OUTLIER, FlagName.LABEL_FLIP)  # they judge noise; a promise judges it by its own threshold
BEYOND_PROMISE = "promise"  # the reason of samples that are too doubtful for what was promised

_CONFIRMATIONS = (DecisionAction.KEEP, DecisionAction.RELABEL)


def build_cleaned_set(
    samples: Iterable[Sample],
    *,
    evidence: Mapping[str, Evidence],
    estimates: Mapping[str, NoiseEstimate],
    flags: Mapping[str, Sequence[Flag]],
    decisions: Mapping[str, Decision],
    categories: Mapping[str, int],
    set_aside_flags: Sequence[FlagName],
    provenance: Mapping[str, Any],
) -> CleanedSet:
    """Decide about every sample: a person's decision first, then flags in the order of `set_aside_flags`, else keep.

    Raises `ExportError` when a readable novel sample has no evidence yet.
    """
    kept: list[CleanedSample] = []
    aside: list[SetAside] = []
    for sample in samples:
        decision = decisions.get(sample.sample_id)
        reason = _reason_against(sample, flags.get(sample.sample_id, ()), decision, set_aside_flags)
        if reason is None:
            noise = _noise_probability(sample, estimates.get(sample.sample_id), decision)
            kept.append(_keep(sample, evidence.get(sample.sample_id), noise, decision, categories))
        else:
            aside.append(
                SetAside(
                    sample.sample_id, sample.image_id, sample.category, sample.uri, reason=reason[0], detail=reason[1]
                )
            )
    return CleanedSet(content_hash_of(kept), tuple(kept), tuple(aside), dict(categories), dict(provenance))


def is_confirmed(decision: Decision | None) -> bool:
    """Whether a person has said that the sample belongs under the category it has in a cleaned set."""
    return decision is not None and decision.action in _CONFIRMATIONS


def set_aside_beyond(cleaned_set: CleanedSet, details: Mapping[str, str]) -> CleanedSet:
    """Set aside, for the sake of a promise, the kept samples named in `details`, each with what is said of it there."""
    kept = tuple(sample for sample in cleaned_set.kept if sample.sample_id not in details)
    aside = (
        SetAside(
            sample.sample_id,
            sample.image_id,
            sample.web_category,
            sample.uri,
            reason=BEYOND_PROMISE,
            detail=details[sample.sample_id],
        )
        for sample in cleaned_set.kept
        if sample.sample_id in details
    )
    return replace(
        cleaned_set, content_hash=content_hash_of(kept), kept=kept, set_aside=(*cleaned_set.set_aside, *aside)
    )


def _reason_against(
    sample: Sample, flags: Sequence[Flag], decision: Decision | None, set_aside_flags: Sequence[FlagName]
) -> tuple[str, str] | None:
    """(reason, detail) why a sample is left out, or None."""
    raised = {flag.name: flag.reason for flag in flags}
    if sample.sha256 is None or FlagName.UNREADABLE in raised:  # no decision brings back pixels
        return FlagName.UNREADABLE.value, raised.get(FlagName.UNREADABLE, sample.reason or "")
    if decision is not None and decision.action is DecisionAction.DROP:
        return "dropped", f"Dropped by {decision.annotator}."
    if is_confirmed(decision):
        return None
    return next(((name.value, raised[name]) for name in set_aside_flags if name in raised), None)


def _noise_probability(sample: Sample, estimate: NoiseEstimate | None, decision: Decision | None) -> float | None:
    if sample.role is not Role.NOVEL:
        return None
    if is_confirmed(decision):
        return 0.0
    return None if estimate is None else estimate.noise_probability


def _keep(
    sample: Sample,
    evidence: Evidence | None,
    noise_probability: float | None,
    decision: Decision | None,
    categories: Mapping[str, int],
) -> CleanedSample:
    if evidence is None and sample.role is Role.NOVEL:
        raise ExportError(
            f"sample {sample.image_id!r} of {sample.category} has no weight yet.", hint="`curate run` makes it."
        )
    weight = evidence.weight if evidence is not None and sample.role is Role.NOVEL else 1.0
    category = sample.category
    if decision is not None and is_confirmed(decision):
        weight = max(weight, _CONFIRMED_WEIGHT)
        category = decision.category or category
    if category not in categories:
        raise ExportError(
            f"sample {sample.image_id!r} was relabelled to {category!r}, which is no category of this workspace.",
            hint="Ingest that category first, or change the decision.",
        )
    return CleanedSample(
        sample_id=sample.sample_id,
        image_id=sample.image_id,
        role=sample.role,
        category=category,
        category_id=categories[category],
        web_category=sample.category,
        weight=weight,
        noise_probability=noise_probability,
        uri=sample.uri,
        sha256=sample.sha256 or "",
        crawl=sample.crawl,
    )

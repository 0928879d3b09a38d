"""Which samples go into a cleaned set, under which category and weight, and why the others do not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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

_DROPPED = "dropped"
_NEVER_KEPT = (FlagName.UNREADABLE.value, _DROPPED)  # not even in an export of everything

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
    copies_groups: Mapping[str, str] | None = None,
    everything: bool = False,
) -> CleanedSet:
    """Decide about every sample: a person's decision first, then flags in the order of `set_aside_flags`, else keep.

    With `everything` a flag sets nothing aside but is the mark of the sample: only what has no pixels and what a person
    dropped is left out. `copies_groups` are those of `curation.copy_groups`. Raises `ExportError` when a readable novel
    sample has no evidence yet.
    """
    kept: list[CleanedSample] = []
    aside: list[SetAside] = []
    for sample in samples:
        decision = decisions.get(sample.sample_id)
        reason = _reason_against(sample, flags.get(sample.sample_id, ()), decision, set_aside_flags)
        if reason is None or (everything and reason[0] not in _NEVER_KEPT):
            said = {
                **_opinion(sample, estimates.get(sample.sample_id), decision),
                "flags": tuple(flag.name.value for flag in flags.get(sample.sample_id, ())),
                "copies_group": (copies_groups or {}).get(sample.sample_id),
                "set_aside": None if reason is None else reason[0],
            }
            kept.append(_keep(sample, evidence.get(sample.sample_id), decision, categories, said))
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


def mark_beyond(cleaned_set: CleanedSet, sample_ids: Collection[str]) -> CleanedSet:
    """Keep, but mark, what a promise would set aside."""
    kept = tuple(
        replace(sample, set_aside=BEYOND_PROMISE) if sample.sample_id in sample_ids else sample
        for sample in cleaned_set.kept
    )
    return replace(cleaned_set, content_hash=content_hash_of(kept), kept=kept)


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
        return _DROPPED, f"Dropped by {decision.annotator}."
    if is_confirmed(decision):
        return None
    return next(((name.value, raised[name]) for name in set_aside_flags if name in raised), None)


def _opinion(sample: Sample, estimate: NoiseEstimate | None, decision: Decision | None) -> dict[str, Any]:
    """What the noise model says of a novel sample, as fields of `CleanedSample`, unless a person has answered it."""
    if sample.role is not Role.NOVEL or (estimate is None and not is_confirmed(decision)):
        return {"noise_probability": None}
    if estimate is None or is_confirmed(decision):
        return {"noise_probability": 0.0}
    return {
        "noise_probability": estimate.noise_probability,
        "suggested_category": estimate.suggested_category,
        "suggested_probability": estimate.suggested_probability,
    }


def _keep(
    sample: Sample,
    evidence: Evidence | None,
    decision: Decision | None,
    categories: Mapping[str, int],
    said: Mapping[str, Any],
) -> CleanedSample:
    """The sample as it goes into the set, with the fields `said`."""
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
        uri=sample.uri,
        sha256=sample.sha256 or "",
        crawl=sample.crawl,
        **said,
    )

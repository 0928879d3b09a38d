"""Which samples go into a cleaned set, under which category and weight, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    Role,
    Sample,
    SetAside,
)

# Weight of a sample that a person has confirmed, if its own is lower: one of average trust. The network's doubt has
# been answered, but a reviewed image is not worth more than one that was never in doubt.
_CONFIRMED_WEIGHT = 1.0


def build_cleaned_set(
    samples: Iterable[Sample],
    *,
    evidence: Mapping[str, Evidence],
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
            kept.append(_keep(sample, evidence.get(sample.sample_id), decision, categories))
        else:
            aside.append(
                SetAside(
                    sample.sample_id, sample.image_id, sample.category, sample.uri, reason=reason[0], detail=reason[1]
                )
            )
    return CleanedSet(content_hash_of(kept), tuple(kept), tuple(aside), dict(categories), dict(provenance))


def _reason_against(
    sample: Sample, flags: Sequence[Flag], decision: Decision | None, set_aside_flags: Sequence[FlagName]
) -> tuple[str, str] | None:
    """(reason, detail) why a sample is left out, or None."""
    raised = {flag.name: flag.reason for flag in flags}
    if sample.sha256 is None or FlagName.UNREADABLE in raised:  # no decision brings back pixels
        return FlagName.UNREADABLE.value, raised.get(FlagName.UNREADABLE, sample.reason or "")
    if decision is not None and decision.action is DecisionAction.DROP:
        return "dropped", f"Dropped by {decision.annotator}."
    if decision is not None and decision.action in (DecisionAction.KEEP, DecisionAction.RELABEL):
        return None
    return next(((name.value, raised[name]) for name in set_aside_flags if name in raised), None)


def _keep(
    sample: Sample, evidence: Evidence | None, decision: Decision | None, categories: Mapping[str, int]
) -> CleanedSample:
    if evidence is None and sample.role is Role.NOVEL:
        raise ExportError(
            f"sample {sample.image_id!r} of {sample.category} has no weight yet.", hint="`curate run` makes it."
        )
    weight = evidence.weight if evidence is not None and sample.role is Role.NOVEL else 1.0
    category = sample.category
    if decision is not None and decision.action in (DecisionAction.KEEP, DecisionAction.RELABEL):
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
        noise_probability=None,
        uri=sample.uri,
        sha256=sample.sha256 or "",
        crawl=sample.crawl,
    )

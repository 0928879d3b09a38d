"""The cleaned set as it would be exported now: read from the store, and held to a promise where one is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from curation import __version__
from curation.audit import audit_result
from curation.audit_plan import Audit
from curation.cleaned_set import NOISE_FLAGS, build_cleaned_set, is_confirmed, mark_beyond, set_aside_beyond
from curation.config import Config
from curation.copy_groups import copy_groups
from curation.errors import ExportError
from curation.promise import PromiseStatement, keep_promise
from curation.remaining_noise import (
    Calibration,
    Probabilities,
    calibration_from_audit,
    calibration_from_error,
    surer_calibration,
)
from curation.store.audits import read_audits
from curation.store.category_ids import category_ids
from curation.store.decisions import latest_decisions
from curation.store.evidence import read_evidence
from curation.store.flags import count_flags, read_flags
from curation.store.journal import journal
from curation.store.near_copies import read_near_copies
from curation.store.noise import read_noise_estimates
from curation.store.runs import StageState, read_stages
from curation.store.samples import read_samples
from curation.store.snapshot import is_published, snapshot
from curation.values import CleanedSample, CleanedSet, Decision, Evidence, Flag, NoiseEstimate, Role, Sample
from curation.workspace import Workspace

_STATED_ERROR = "calibration error"  # the figure by which a noise model's stage states it in its summary


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """What the store knows that a cleaned set is made from."""

    samples: Sequence[Sample]
    stages: Mapping[str, StageState]
    evidence: Mapping[str, Evidence]
    estimates: Mapping[str, NoiseEstimate]
    flags: Mapping[str, Sequence[Flag]]
    flag_counts: Mapping[str, int]
    near_copies: Sequence[tuple[str, str]]
    decisions: Mapping[str, Decision]
    categories: Mapping[str, int]
    audits: Sequence[Audit]


@dataclass(frozen=True, slots=True)
class CurrentSet:
    """A cleaned set, with what its noise is judged by.

    `undecided` are the kept novel samples without a person's word, `confirmed` counts those with one. `beyond` are
    those that a promise set aside; `promise` is its statement. In a set of everything none of them counts samples that
    are marked as set aside.
    """

    cleaned_set: CleanedSet
    undecided: tuple[CleanedSample, ...]
    confirmed: int
    beyond: tuple[CleanedSample, ...] = ()
    promise: PromiseStatement | None = None


def read_facts(workspace: Workspace, *, with_base: bool = False) -> StoredFacts:
    """The novel samples (and the base ones) as last published, and all that is known of them by now.

    `ExportError` before the first run. Nothing waits for a run that is writing.
    """
    nothing = ExportError("nothing has been scored and flagged yet.", hint=f"`curate run {workspace.root}` does it.")
    if not is_published(workspace):
        raise nothing
    with snapshot(workspace) as connection:
        stages = read_stages(connection)
        if "flag" not in stages:
            raise nothing
        samples = read_samples(connection, Role.NOVEL)
        if with_base:
            samples += read_samples(connection, Role.BASE)
        evidence, estimates = read_evidence(connection, with_nearest=False), read_noise_estimates(connection)
        flags, flag_counts = read_flags(connection), count_flags(connection)
        near_copies = read_near_copies(connection)
    with journal(workspace.journal) as connection_to_journal:
        decisions, categories = latest_decisions(connection_to_journal), category_ids(connection_to_journal)
        audits = read_audits(connection_to_journal)
    return StoredFacts(
        samples, stages, evidence, estimates, flags, flag_counts, near_copies, decisions, categories, audits
    )


def current_set(
    facts: StoredFacts, config: Config, promise: float | None = None, *, everything: bool = False
) -> CurrentSet:
    """The cleaned set from the newest evidence and decisions.

    Without a promise, the flags named in the configuration set samples aside. With one, `outlier` and `label_flip` do
    not count: noise probabilities decide, under the largest threshold that keeps the promise. With `everything` what
    would be set aside stays in, marked, unless it is unreadable or a person dropped it. Raises `ExportError` when a
    promise cannot be kept, or a noise probability is missing.
    """
    if promise is None:
        return _counted(facts, _cleaned_set(facts, config, judged_by_flags=True, everything=everything))
    found = _counted(facts, _cleaned_set(facts, config, judged_by_flags=False, everything=everything))
    kept, statement = keep_promise(
        noise_probabilities(found.undecided), promise, noise_calibration(facts, config), confirmed=found.confirmed
    )
    beyond = tuple(sample for sample, stays in zip(found.undecided, kept, strict=True) if not stays)
    details = _details(beyond, statement)
    hold = mark_beyond if everything else set_aside_beyond
    return replace(_counted(facts, hold(found.cleaned_set, details)), beyond=beyond, promise=statement)


def noise_probabilities(samples: Sequence[CleanedSample]) -> Probabilities:
    """Those of `samples`, shape (N,); raises `ExportError` where the noise model has not spoken of one."""
    unknown = sum(sample.noise_probability is None for sample in samples)
    if unknown:
        raise ExportError(
            f"{unknown:,} of {len(samples):,} samples have no noise probability yet, so nothing can be said of the "
            "noise of an export.",
            hint="`curate run` estimates it. An export without --promise and --budget needs none.",
        )
    return np.array([sample.noise_probability for sample in samples], dtype=np.float64)


def noise_calibration(facts: StoredFacts, config: Config) -> Calibration:
    """How far off the noise probabilities may be: what the newest finished audit measured, or what the model states."""
    known = {name: item.noise_probability for name, item in facts.estimates.items()}
    return calibration_now(known, facts.stages, facts.audits, facts.decisions, config)


def calibration_now(
    probabilities: Mapping[str, float],
    stages: Mapping[str, StageState],
    audits: Sequence[Audit],
    decisions: Mapping[str, Decision],
    config: Config,
) -> Calibration:
    """`noise_calibration` from the noise probabilities, by sample id, of all novel samples."""
    stated = (state.summary[_STATED_ERROR] for state in stages.values() if _STATED_ERROR in state.summary)
    error = next(stated, config.promise.calibration_error)
    model = calibration_from_error(list(probabilities.values()), float(error))
    measured = (_calibration_of(audit, probabilities, decisions) for audit in reversed(audits))
    newest = next((calibration for calibration in measured if calibration is not None), None)
    return model if newest is None else surer_calibration(model, newest)


def _calibration_of(
    audit: Audit, probabilities: Mapping[str, float], decisions: Mapping[str, Decision]
) -> Calibration | None:
    """What an audit says of the noise model as it is now; `None` while it is unfinished, or of other samples."""
    result = audit_result(audit.plan, decisions)
    known = [probabilities[name] for name in audit.plan.drawn if name in probabilities]
    if result.open or not result.decided or not known:
        return None
    undecided_share = audit.plan.population / (audit.plan.population + audit.plan.confirmed)
    return calibration_from_audit(
        known,
        wrong=result.wrong,
        decided=result.decided,
        noise_low=result.noise_low / undecided_share,
        noise_high=result.noise_high / undecided_share,
        source=f"measured by audit {audit.audit_id}: {result.wrong} of {result.decided} wrong",
    )


def _cleaned_set(facts: StoredFacts, config: Config, *, judged_by_flags: bool, everything: bool) -> CleanedSet:
    names = config.cleaned_set.set_aside
    embedded = facts.stages["embed"].summary
    return build_cleaned_set(
        facts.samples,
        evidence=facts.evidence,
        estimates=facts.estimates,
        flags=facts.flags,
        decisions=facts.decisions,
        categories=facts.categories,
        set_aside_flags=names if judged_by_flags else [name for name in names if name not in NOISE_FLAGS],
        provenance={
            "tool": f"webnoise-curation {__version__}",
            "encoder": embedded["encoder"],
            "encoder_name": embedded.get("encoder name", config.embedding.encoder),
            "network": scoring_network(facts.stages),
            "flags": facts.flag_counts,
            "decisions": len(facts.decisions),
            "config": config.model_dump(mode="json"),
        },
        copies_groups=copy_groups(facts.samples, facts.flags, facts.near_copies),
        everything=everything,
    )


def scoring_network(stages: Mapping[str, StageState]) -> str:
    """The identity of the similarity network that the weights are of; one trained since has not scored anything yet."""
    scored = stages.get("score")
    return str((scored or stages["train-similarity"]).summary["network"])


def _counted(facts: StoredFacts, cleaned_set: CleanedSet) -> CurrentSet:
    novel = [sample for sample in cleaned_set.kept if sample.role is Role.NOVEL and sample.set_aside is None]
    undecided = tuple(sample for sample in novel if not is_confirmed(facts.decisions.get(sample.sample_id)))
    return CurrentSet(cleaned_set, undecided, confirmed=len(novel) - len(undecided))


def _details(beyond: Sequence[CleanedSample], statement: PromiseStatement) -> dict[str, str]:
    rule = f"to keep noise<={statement.promise:g}, those up to {statement.threshold or 0.0:.4f} are kept"
    return {sample.sample_id: f"Noise probability {sample.noise_probability:.4f}; {rule}." for sample in beyond}

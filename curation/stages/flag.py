"""`curate flag`: suspicions, each with its reason."""

from __future__ import annotations

from curation.config import Config
from curation.flags import raise_flags
from curation.flags.inputs import FlagInputs
from curation.membership import novel_memberships
from curation.progress import Progress
from curation.stages.stage import Stage, Summary, fingerprint_of
from curation.store.connection import catalog
from curation.store.evidence import read_evidence
from curation.store.flags import count_flags, replace_flags
from curation.store.runs import read_stages
from curation.store.samples import read_samples, unreadable_samples
from curation.workspace import Workspace


def run(workspace: Workspace, config: Config, progress: Progress) -> Summary:
    """Raise every flag anew from the evidence."""
    with catalog(workspace) as connection:
        samples = tuple(read_samples(connection))
        unreadable = {sample_id: reason for sample_id, _, reason in unreadable_samples(connection)}
        evidence = read_evidence(connection)
    fits = novel_memberships(samples, evidence, config.flags)
    flags = raise_flags(FlagInputs(samples, unreadable, fits))
    with catalog(workspace) as connection:
        replace_flags(connection, flags)
        counts = count_flags(connection)
    threshold = next(iter(fits.values())).threshold if fits else None
    progress("flagging", len(samples), len(samples))
    return {
        "samples": len(samples),
        "flagged": len({flag.sample_id for flag in flags}),
        "threshold": threshold,
        **counts,
    }


def fingerprint(workspace: Workspace, config: Config) -> str:
    """Changes with the scores, the samples, what is unreadable, and the configuration of the flags."""
    with catalog(workspace) as connection:
        scored = read_stages(connection).get("score")
        ids = [sample.sample_id for sample in read_samples(connection)]
        unreadable = unreadable_samples(connection)
    return fingerprint_of("flag", scored and scored.fingerprint, ids, unreadable, config.flags.model_dump())


def intact(workspace: Workspace, summary: Summary) -> bool:  # noqa: ARG001 - the signature is the stage's
    """Flags lie in the catalogue, beside the record of their stage."""
    return True


STAGE = Stage("flag", fingerprint, run, intact)

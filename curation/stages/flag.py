"""`curate flag`: suspicions, each with its reason."""

from __future__ import annotations

from curation.config import Config
from curation.flags import raise_flags
from curation.flags.inputs import FlagInputs
from curation.membership import Membership, membership_threshold, memberships
from curation.progress import Progress
from curation.stages.stage import Stage, Summary, fingerprint_of
from curation.store.connection import Connection, catalog
from curation.store.evidence import read_evidence
from curation.store.flags import count_flags, replace_flags
from curation.store.runs import read_stages
from curation.store.samples import read_samples, unreadable_samples
from curation.values import Role
from curation.workspace import Workspace


def run(workspace: Workspace, config: Config, progress: Progress) -> Summary:
    """Raise every flag anew from the evidence."""
    with catalog(workspace) as connection:
        samples = tuple(read_samples(connection))
        unreadable = {sample_id: reason for sample_id, _, reason in unreadable_samples(connection)}
        fits = novel_memberships(connection, config)
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


def novel_memberships(connection: Connection, config: Config) -> dict[str, Membership]:
    """Sample id -> membership of every scored novel sample, the threshold taken from the clean base evidence."""
    roles = {sample.sample_id: (sample.role, sample.category) for sample in read_samples(connection)}
    evidence = [item for item in read_evidence(connection).values() if item.sample_id in roles]
    clean = [item.weight for item in evidence if roles[item.sample_id][0] is Role.BASE]
    novel = [(roles[item.sample_id][1], item) for item in evidence if roles[item.sample_id][0] is Role.NOVEL]
    return memberships(novel, membership_threshold(clean, config.flags.false_alarm_rate)) if novel else {}


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

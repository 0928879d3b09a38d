"""`curate flag`: suspicions, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from curation import __version__
from curation.config import Config
from curation.embedding_shards import listed_digests, read_embeddings, shards_of
from curation.progress import Progress
from curation.stages.stage import Stage, Summary, fingerprint_of
from curation.store.connection import catalog
from curation.store.flags import count_flags, replace_flags
from curation.store.images import image_facts_digest, read_image_facts
from curation.store.near_copies import replace_near_copies
from curation.store.noise import read_noise_estimates
from curation.store.runs import read_stages
from curation.store.samples import read_samples, sample_ids, unreadable_samples
from curation.values import ImageFacts, Sample
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.duplicates import NearCopies


def run(workspace: Workspace, config: Config, progress: Progress) -> Summary:
    """Raise every flag anew from the noise estimates, the pictures' fingerprints and their quality."""
    from curation.flags import raise_flags
    from curation.flags.inputs import FlagInputs

    with catalog(workspace) as connection:
        samples = tuple(read_samples(connection))
        unreadable = {sample_id: reason for sample_id, _, reason in unreadable_samples(connection)}
        estimates = read_noise_estimates(connection)
        facts = read_image_facts(connection)
        embedded = read_stages(connection).get("embed")
    copies = (
        {}
        if embedded is None
        else _near_copies(workspace, embedded.summary["encoder"], samples, facts, config, progress)
    )
    inputs = FlagInputs(
        samples, unreadable, estimates, facts, copies, config.quality, suspected_at=config.flags.noise_probability
    )
    flags = raise_flags(inputs)
    with catalog(workspace) as connection:
        replace_flags(connection, flags)
        replace_near_copies(connection, sorted((one, other) for one in copies for other in copies[one] if one < other))
        counts = count_flags(connection)
    progress("flagging", len(samples), len(samples))
    return {
        "samples": len(samples),
        "flagged": len({flag.sample_id for flag in flags}),
        "judged": len(estimates),
        **counts,
    }


def _near_copies(
    workspace: Workspace,
    encoder: str,
    samples: Iterable[Sample],
    facts: Mapping[str, ImageFacts],
    config: Config,
    progress: Progress,
) -> NearCopies:
    """Compare the images that have both an embedding and a fingerprint; others equal only their own file."""
    from curation.duplicates import near_copies, preference
    from curation.kept_nearest import KeptNearest

    shards = shards_of(workspace.embeddings, encoder)
    used = {sample.sha256 for sample in samples} & listed_digests(shards)
    known = [facts[digest] for digest in used if digest is not None and digest in facts]
    known = sorted((fact for fact in known if fact.fingerprint), key=lambda fact: (*preference(fact), fact.sha256))
    digests = [fact.sha256 for fact in known]
    if len(digests) < 2:
        return {}
    embeddings = read_embeddings(shards, digests)
    kept = KeptNearest(workspace.indexes, f"{encoder}, {__version__}")
    near = kept.find("embeddings", digests, embeddings, config.duplicates.neighbours)
    fingerprints = [fact.fingerprint or b"" for fact in known]
    return near_copies(
        digests, fingerprints, near.pairs(config.duplicates.min_cosine), config.duplicates, progress, find=kept.find
    )


def fingerprint(workspace: Workspace, config: Config) -> str:
    """Changes with the noise estimates, the samples, facts of images, the encoder and the configuration of flags."""
    with catalog(workspace) as connection:
        stages = read_stages(connection)
        ids = sample_ids(connection)
        unreadable = unreadable_samples(connection)
        facts = image_facts_digest(connection)
    judged, embedded = stages.get("noise"), stages.get("embed")
    return fingerprint_of(
        "flag, near copies kept",
        judged and judged.fingerprint,
        embedded and embedded.summary["encoder"],
        ids,
        unreadable,
        facts,
        config.flags.model_dump(),
        config.duplicates.model_dump(),
        config.quality.model_dump(),
    )


def intact(workspace: Workspace, summary: Summary) -> bool:  # noqa: ARG001 - the signature is the stage's
    """Flags lie in the catalogue, beside the record of their stage."""
    return True


STAGE = Stage("flag", fingerprint, run, intact)

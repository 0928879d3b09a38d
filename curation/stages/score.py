"""`curate score`: how like its own and the other categories every novel sample is, and its weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation import __version__
from curation.config import Config
from curation.embedding_shards import read_embeddings, shards_of
from curation.evidence_columns import EvidenceColumns, evidence_columns_of
from curation.progress import Progress
from curation.stages.stage import Stage, Summary, fingerprint_of
from curation.store.connection import catalog
from curation.store.evidence import replace_evidence
from curation.store.runs import embedding_encoder, read_stages
from curation.store.samples import readable_samples
from curation.values import Role
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.similarity.checkpoint import LoadedNetwork


def run(workspace: Workspace, config: Config, progress: Progress) -> Summary:
    """Compare the novel samples with each other."""
    from curation.similarity.checkpoint import load_network

    with catalog(workspace) as connection:
        encoder = embedding_encoder(connection, workspace.root)
        novel = readable_samples(connection, Role.NOVEL)
    loaded = load_network(workspace.network, encoder_identity=encoder, device="cpu")
    evidence = _evidence(workspace, config, encoder, loaded, novel, progress)
    with catalog(workspace) as connection:
        replace_evidence(connection, evidence)
    return {
        "network": loaded.metadata.network_identity,
        "novel samples": len(novel),
        "novel categories": len({category for _, category, _ in novel}),
        "lowest weight": float(evidence.weight.min()) if novel else None,
        "highest weight": float(evidence.weight.max()) if novel else None,
    }


def _evidence(
    workspace: Workspace,
    config: Config,
    encoder: str,
    loaded: LoadedNetwork,
    samples: list[tuple[str, str, str]],
    progress: Progress,
) -> EvidenceColumns:
    if not samples:
        return evidence_columns_of([])
    from curation.devices import arithmetic
    from curation.evidence import find_evidence
    from curation.similarity.compared import KeptCompared

    sample_ids, categories, digests = zip(*samples, strict=True)
    version = f"{loaded.metadata.network_identity}, {__version__}, {arithmetic(config.scoring.device)}"
    return find_evidence(
        loaded.network,
        sample_ids,
        categories,
        read_embeddings(shards_of(workspace.embeddings, encoder), digests),
        scoring=config.scoring,
        weights=config.weights,
        kept=KeptCompared(workspace.indexes, version),
        progress=progress,
    )


def fingerprint(workspace: Workspace, config: Config) -> str:
    """Changes with the novel samples, the network, and the configuration of scoring and weights."""
    with catalog(workspace) as connection:
        trained = read_stages(connection).get("train-similarity")
        novel = readable_samples(connection, Role.NOVEL)
    return fingerprint_of(
        "score",
        trained and trained.summary["network"],
        novel,
        config.scoring.model_dump(exclude={"memory_mib", "device"}),  # these change the speed, not the numbers
        config.weights.model_dump(),
    )


def intact(workspace: Workspace, summary: Summary) -> bool:  # noqa: ARG001 - the signature is the stage's
    """Evidence lies in the catalogue, beside the record of its stage."""
    return True


STAGE = Stage("score", fingerprint, run, intact)

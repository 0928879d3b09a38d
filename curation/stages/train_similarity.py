"""`curate train-similarity`: the similarity network, learned on the base categories."""

from __future__ import annotations

from dataclasses import asdict

from curation.config import Config
from curation.embedding_shards import read_embeddings, shards_of
from curation.errors import SimilarityError
from curation.files import file_digest
from curation.progress import Progress
from curation.stages.stage import Stage, Summary, fingerprint_of
from curation.store.connection import catalog
from curation.store.runs import embedding_encoder
from curation.store.samples import readable_samples
from curation.values import FloatArray, Role
from curation.workspace import Workspace


def run(workspace: Workspace, config: Config, progress: Progress) -> Summary:
    """Train, save the checkpoint, and report how well it tells pairs of held-out base categories apart."""
    from curation.similarity.checkpoint import save_network
    from curation.similarity.training import train_network

    encoder, base, base_embeddings = _labelled(workspace, Role.BASE)
    if not base:
        raise SimilarityError(
            "there are no base images to learn similarity from.",
            hint=f"`curate ingest {workspace.root} SOURCE --role base` adds clean, labelled images.",
        )
    novel_embeddings, novel = None, None
    if config.similarity.beta > 0:
        _, novel, novel_embeddings = _labelled(workspace, Role.NOVEL)
    trained = train_network(
        base_embeddings,
        base,
        config.similarity,
        novel_embeddings=novel_embeddings,
        novel_categories=novel,
        progress=lambda done, total, _: progress("training", done, total),
    )
    identity = save_network(workspace.network, trained, encoder_identity=encoder, config=config.similarity)
    return {
        "network": identity,
        "file": file_digest(workspace.network),
        "head": config.similarity.head,
        "training categories": len(trained.training_categories),
        "held-out categories": len(trained.held_out_categories),
        "held-out pairs": asdict(trained.pair_metrics["without_diagonal"]),
    }


def _labelled(workspace: Workspace, role: Role) -> tuple[str, list[str], FloatArray]:
    """(encoder identity, categories (N), embeddings (N, D)) of the readable samples of a role, by sample id."""
    with catalog(workspace) as connection:
        encoder = embedding_encoder(connection, workspace.root)
        samples = readable_samples(connection, role)
    embeddings = read_embeddings(shards_of(workspace.embeddings, encoder), [digest for _, _, digest in samples])
    return encoder, [category for _, category, _ in samples], embeddings


def fingerprint(workspace: Workspace, config: Config) -> str:
    """Changes with the base samples, the encoder and the configuration; with novel samples only if they are used."""
    roles = [Role.BASE, Role.NOVEL] if config.similarity.beta > 0 else [Role.BASE]
    with catalog(workspace) as connection:
        samples = [readable_samples(connection, role) for role in roles]
        encoder = embedding_encoder(connection, workspace.root)
    return fingerprint_of("train-similarity", encoder, samples, config.similarity.model_dump())


def intact(workspace: Workspace, summary: Summary) -> bool:
    """Whether the checkpoint on disk is the one that was trained."""
    return summary.get("file") is not None and file_digest(workspace.network) == summary["file"]


STAGE = Stage("train-similarity", fingerprint, run, intact)

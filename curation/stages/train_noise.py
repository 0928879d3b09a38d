"""`curate train-noise`: learn on noise made in base categories which web categories are wrong."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from curation.config import Config
from curation.embedding_shards import read_embeddings, shards_of
from curation.errors import NoiseModelError
from curation.files import file_digest
from curation.noise.tasks import TaskShape, task_shape
from curation.progress import Progress
from curation.stages.stage import Stage, Summary, fingerprint_of
from curation.store.connection import catalog
from curation.store.runs import embedding_encoder
from curation.store.samples import readable_samples
from curation.values import Role
from curation.workspace import Workspace

_OFF = "off (noise.enabled = false)"


def run(workspace: Workspace, config: Config, progress: Progress) -> Summary:
    """Make tasks shaped like the novel images, learn from them, save the model, report how far it can be trusted."""
    if not config.noise.enabled:
        return {"noise model": _OFF}
    from curation.noise.checkpoint import save_noise_model
    from curation.noise.training import train_noise_model

    with catalog(workspace) as connection:
        encoder = embedding_encoder(connection, workspace.root)
        base = readable_samples(connection, Role.BASE)
        shape = _shape(readable_samples(connection, Role.NOVEL), base)
    if not base:
        raise NoiseModelError(
            "there are no base images to make noise in.",
            hint=f"`curate ingest {workspace.root} SOURCE --role base` adds clean, labelled images.",
        )
    embeddings = read_embeddings(shards_of(workspace.embeddings, encoder), [digest for _, _, digest in base])
    model = train_noise_model(embeddings, [category for _, category, _ in base], shape, config, progress=progress)
    identity = save_noise_model(workspace.noise_model, model, encoder_identity=encoder)
    calibration = asdict(model.calibration)
    digest = file_digest(workspace.noise_model)
    return {
        "noise model": identity,
        "file": digest,
        **{name: value for name, value in calibration.items() if name != "bins"},
    }


def _shape(novel: list[tuple[str, str, str]], base: list[tuple[str, str, str]]) -> TaskShape:
    novel_sizes, base_sizes = (
        np.unique([category for _, category, _ in samples], return_counts=True)[1] for samples in (novel, base)
    )
    return task_shape(novel_sizes.tolist(), base_sizes.tolist())


def fingerprint(workspace: Workspace, config: Config) -> str:
    """Changes with the base samples, the encoder and the configuration; with novel ones only by their rough number."""
    if not config.noise.enabled:
        return fingerprint_of("train-noise", _OFF)
    with catalog(workspace) as connection:
        encoder = embedding_encoder(connection, workspace.root)
        base, novel = readable_samples(connection, Role.BASE), readable_samples(connection, Role.NOVEL)
    return fingerprint_of(
        "train-noise",
        encoder,
        base,
        asdict(_shape(novel, base)),
        config.noise.model_dump(),
        config.similarity.model_dump(),
        config.scoring.model_dump(exclude={"memory_mib", "device"}),
        config.weights.model_dump(),
    )


def intact(workspace: Workspace, summary: Summary) -> bool:
    """Whether the model on disk is the one that was learned."""
    if summary["noise model"] == _OFF:
        return True
    return summary.get("file") is not None and file_digest(workspace.noise_model) == summary["file"]


STAGE = Stage("train-noise", fingerprint, run, intact)

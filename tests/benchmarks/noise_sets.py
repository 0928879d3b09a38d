"""The real image sets that methods are compared on, embedded by the product's own `ingest` and `embed`."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from curation.config import Config, EmbeddingConfig
from curation.embedding_shards import read_embeddings, shards_of
from curation.flow import run_stages
from curation.stages import embed
from curation.stages.ingest import ingest
from curation.store.connection import catalog
from curation.store.runs import embedding_encoder
from curation.store.samples import read_samples
from curation.values import FloatArray, Role
from curation.workspace import create_workspace, open_workspace

OUTLIER = "__outlier__"  # the true category of an image that shows none of the novel ones, as the truth files write it

Texts = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Images:
    """N images of a set, by sample id: unit-norm `embeddings` (N, D), and role, listed and true category, (N,) each."""

    encoder: str
    embeddings: FloatArray
    roles: Texts
    listed: Texts
    true: Texts

    def only(self, chosen: NDArray[np.bool_]) -> Images:
        return replace(
            self,
            embeddings=self.embeddings[chosen],
            roles=self.roles[chosen],
            listed=self.listed[chosen],
            true=self.true[chosen],
        )


@dataclass(frozen=True, slots=True)
class NoiseTask:
    """What every method is given, and `true` (N,), which none of them sees.

    `base` (B, D) are clean images under `base_categories` (B,), `novel` (N, D) those to judge, under `listed` (N,).
    """

    base: FloatArray
    base_categories: Texts
    novel: FloatArray
    listed: Texts
    true: Texts

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which of the novel images are listed under a wrong category (N,)."""
        wrong: NDArray[np.bool_] = self.listed != self.true
        return wrong

    def save(self, path: Path) -> None:
        """Write what `load_task` reads."""
        np.savez(
            path,
            base=self.base,
            base_categories=self.base_categories,
            novel=self.novel,
            listed=self.listed,
            true=self.true,
        )


def load_task(path: Path) -> NoiseTask:
    """A task that `NoiseTask.save` wrote."""
    with np.load(path) as arrays:
        return NoiseTask(**{name: arrays[name] for name in arrays.files})


def load_images(name: str, data: Path, cache: Path) -> Images:
    """Images of the set `name`, embedded by the ImageNet MobileNet; `cache` keeps the embeddings for the next time.

    A cached embedding is found by the encoder's identity and the SHA-256 of the image, and what lies in the folders is
    listed anew each time: a cache of other data or of another encoder cannot be taken for this one.
    """
    folder = data / "data" / name
    weights = data / "weights" / "mobilenetv2_100_imagenet.safetensors"
    config = Config(embedding=EmbeddingConfig(encoder=f"timm/mobilenetv2_100@{weights}"))
    root = cache / name
    workspace = open_workspace(root) if (root / "curate.toml").exists() else create_workspace(root, config)
    workspace.catalog.unlink(missing_ok=True)
    for role in Role:
        ingest(workspace, next(path for path in folder.iterdir() if path.stem == role.value), role)
    run_stages(workspace, config, command="benchmark", stages=(embed.STAGE,))
    with catalog(workspace) as connection:
        samples = read_samples(connection)
        encoder = embedding_encoder(connection, workspace.root)
    digests = [str(sample.sha256) for sample in samples]
    truth = _truth(folder)
    return Images(
        encoder=encoder,
        embeddings=read_embeddings(shards_of(workspace.embeddings, encoder), digests),
        roles=np.array([sample.role.value for sample in samples]),
        listed=np.array([sample.category for sample in samples]),
        true=np.array([truth[sample.image_id] if sample.role is Role.NOVEL else sample.category for sample in samples]),
    )


def _truth(folder: Path) -> dict[str, str]:
    """Image id of a novel image -> its true category."""
    if (table := folder / "truth.csv").exists():
        with table.open(newline="") as lines:
            return {row["image"].removeprefix("novel/"): row["true_category"] for row in csv.DictReader(lines)}
    columns = pyarrow.parquet.read_table(folder / "truth.parquet", columns=["image_id", "true_category"]).to_pydict()
    return dict(zip(columns["image_id"], columns["true_category"], strict=True))

"""Small worlds with known noise: embeddings that cluster by category, in a space with directions that mean nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.config import Config, NoiseConfig, SimilarityConfig
from curation.evidence_columns import EvidenceColumns
from curation.values import FloatArray

DIMENSION = 48
CONFIG = Config(
    similarity=SimilarityConfig(batches=40, batch_size=32, categories_per_batch=6, evaluations=2),
    noise=NoiseConfig(contrast=100),
)


@dataclass(frozen=True)
class World:
    """Images with unit-norm `embeddings` (N, D), the `categories` they are listed under and what is `true` of them."""

    embeddings: FloatArray
    categories: list[str]
    true: list[str]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return np.array([listed != shown for listed, shown in zip(self.categories, self.true, strict=True)])

    @property
    def sample_ids(self) -> list[str]:
        return [f"s{number:04d}" for number in range(len(self.categories))]


def clean_world(names: list[str], size: int, seed: int) -> World:
    """`size` images of every category, all listed where they belong. Categories differ in the first third of the
    directions, the last third is nuisance.
    """
    generator = np.random.default_rng(seed)
    useful = DIMENSION // 3
    centres = np.zeros((len(names), DIMENSION))
    centres[:, :useful] = generator.normal(size=(len(names), useful))
    spread = np.full(DIMENSION, 0.4)
    spread[2 * useful :] = 2.0
    rows = np.repeat(centres, size, axis=0) + generator.normal(size=(len(names) * size, DIMENSION)) * spread
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    shown = [name for name in names for _ in range(size)]
    return World(rows.astype(np.float32), shown, shown)


def base_world(categories: int = 18, size: int = 20, seed: int = 0) -> World:
    return clean_world([f"base {number}" for number in range(categories)], size, seed)


def novel_world(categories: int = 5, size: int = 24, noise: float = 0.3, seed: int = 1) -> World:
    """Novel images of which a share `noise` is wrong: half of these flips, half outliers (all, for one category)."""
    names = [f"novel {number}" for number in range(categories)]
    world = clean_world([*names, *(f"outlier {number}" for number in range(6))], size, seed)
    generator = np.random.default_rng(seed + 100)
    listed = [name if name in names else "" for name in world.true]
    wrong = generator.uniform(size=len(listed)) < noise
    kept = []
    outliers = [row for row, name in enumerate(listed) if not name]
    for row, name in enumerate(listed):
        if not name:
            continue
        if wrong[row] and (categories == 1 or generator.uniform() < 0.5):
            place = outliers.pop(generator.integers(len(outliers)))
            listed[place] = name
            kept.append(place)
        else:
            if wrong[row]:
                listed[row] = str(generator.choice([other for other in names if other != name]))
            kept.append(row)
    true = [world.true[row] if world.true[row] in names else "outlier" for row in kept]
    return World(world.embeddings[kept], [listed[row] for row in kept], true)


def plain_evidence(world: World) -> EvidenceColumns:
    """Evidence from cosines alone: what a network that learned nothing would say, shifted to [0, 1]."""
    from curation.evidence import find_evidence
    from curation.similarity.network import SimilarityNetwork

    network = SimilarityNetwork("metric", world.embeddings.shape[1], projected=None).eval()
    return find_evidence(
        network, world.sample_ids, world.categories, world.embeddings, scoring=CONFIG.scoring, weights=CONFIG.weights
    )

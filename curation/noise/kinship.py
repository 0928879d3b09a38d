"""Whether what was learned on base categories can be trusted on these novel images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.category_sums import category_sums
from curation.noise.probe import Codes
from curation.noise.whitened import BaseView
from curation.values import FloatArray

TRUSTED = 0.5  # novel birds by base birds 0.9, CIFAR-10 by CIFAR-100 1.0; birds by CIFAR-100 and the reverse 0.3
_NEAREST = 10
_ROWS_AT_ONCE = 8192
_RANDOM_ROWS = 256


@dataclass(frozen=True, slots=True)
class TaskGeometry:
    """How the rows of a task lie: `nearness` is their mean cosine to the nearest base images shown for contrast,
    `separation` the mean cosine within categories less that between them, `None` for one category; `categories` how
    many there are (a mean, of several tasks).
    """

    nearness: float
    separation: float | None
    categories: float


@dataclass(frozen=True, slots=True)
class Transfer:
    """How well novel images resemble the tasks that the noise model learned from.

    `kinship`: how near they lie to base images, 1 = as near as held-out base categories, 0 = as random directions.
    `separation`: how well their categories differ, 1 = at least as well as those of the noisiest made tasks.
    """

    kinship: float
    separation: float

    @property
    def confidence(self) -> float:
        """The weaker of the two, [0, 1]."""
        return min(self.kinship, self.separation)

    @property
    def trusted(self) -> bool:
        """Whether the confidence is at least `TRUSTED`."""
        return self.confidence >= TRUSTED

    @property
    def sentence(self) -> str:
        """What the confidence means, for a person."""
        if self.trusted:
            return (
                f"The novel images are close enough to the base categories (transfer confidence {self.confidence:.2f})."
            )
        if self.kinship == self.confidence:
            cause = "the novel images are of another kind than the base categories"
            remedy = "ingest base categories closer to them"
        else:
            cause = "the novel categories hardly differ from each other by their images"
            remedy = "look at them: most images may be wrong, or the encoder does not see what tells them apart"
        return (
            f"Do not trust the noise probabilities: {cause} (transfer confidence {self.confidence:.2f}, {TRUSTED:g} is "
            f"wanted); {remedy}, or review a random sample with `curate audit`."
        )


def task_geometry(rows: FloatArray, codes: Codes, categories: int, contrast: FloatArray) -> TaskGeometry:
    """Of N unit-norm `rows` (N, D) under web categories `codes` (N,), with `contrast` (M, D) of base categories."""
    return TaskGeometry(_nearness(rows, contrast), _separation(rows, codes, categories), categories)


def random_nearness(view: BaseView) -> float:
    """The nearness of embeddings that have nothing to do with anything: random directions."""
    embeddings = np.random.default_rng(0).normal(size=(_RANDOM_ROWS, len(view.centre))).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return _nearness(view.rows(embeddings), view.contrast)


def transfer_of(novel: TaskGeometry, made: TaskGeometry, random: float) -> Transfer:
    """Compare the novel task with the made ones (as of `typical_geometry`), and with random directions."""
    reach = max(made.nearness - random, 1e-6)
    kinship = float(np.clip((novel.nearness - random) / reach, 0, 1))
    if novel.separation is None or made.separation is None:
        return Transfer(kinship, 1.0)
    return Transfer(kinship, float(np.clip(novel.separation / max(made.separation, 1e-6), 0, 1)))


def typical_geometry(made: list[TaskGeometry]) -> TaskGeometry:
    """Of many made tasks: mean nearness, the separation that nine of ten reach, mean number of categories."""
    separations = [item.separation for item in made if item.separation is not None]
    least = float(np.quantile(separations, 0.1)) if separations else None
    nearness, categories = (
        float(np.mean(values)) for values in zip(*((item.nearness, item.categories) for item in made), strict=True)
    )
    return TaskGeometry(nearness, least, categories)


def _nearness(rows: FloatArray, contrast: FloatArray) -> float:
    nearest = min(_NEAREST, len(contrast))
    if nearest == 0:
        return 0.0
    total = 0.0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        cosine = rows[start : start + _ROWS_AT_ONCE] @ contrast.T
        total += float(np.partition(cosine, -nearest, axis=1)[:, -nearest:].sum())
    return total / (len(rows) * nearest)


def _separation(rows: FloatArray, codes: Codes, categories: int) -> float | None:
    """Mean cosine within categories less that between them, from sums alone; `None` where there are no such pairs."""
    sizes = np.bincount(codes, minlength=categories).astype(np.float64)
    sums = category_sums(rows, codes, categories)
    within = float((sums**2).sum() - len(rows))
    everything = float((sums.sum(axis=0) ** 2).sum() - len(rows))
    pairs_within = float((sizes * (sizes - 1)).sum())
    pairs_between = float(len(rows) * (len(rows) - 1)) - pairs_within
    if pairs_within == 0 or pairs_between == 0:
        return None
    return max(0.0, within / pairs_within - (everything - within) / pairs_between)

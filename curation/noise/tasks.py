"""Pseudo-novel tasks: noise made in base categories, where it is known which images are wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.category_sums import unit_category_means
from curation.noise.probe import Codes
from curation.values import FloatArray

OUTLIER = -1

_NEAR = 3  # a flip to a look-alike goes to one of this many most similar categories
_CATEGORY_SPREAD = (0.5, 1.5)  # noise rate of a category, relative to that of its task
_MOST_NOISE = 0.8
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_STEP = 1.5  # sizes are rounded to powers of it, from 4 on


@dataclass(frozen=True, slots=True)
class TaskShape:
    """What the novel images look like from afar: how many categories, and quantiles of their sizes, ascending."""

    categories: int
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NoiseHabit:
    """How wrong images come about. `outliers`: range of their share among the wrong ones, [0, 1].

    `ambiguity`: range of how many images a flip is chosen from, as the one that looks most like the category it is put
    under. People confuse images, not categories: the errors of CIFAR-N depend on the image (Wei et al., ICLR 2022).
    """

    outliers: tuple[float, float]
    ambiguity: tuple[int, int]


# Every fold of base categories has its own, so that a model is also judged by noise that came about otherwise.
HABITS = (
    NoiseHabit(outliers=(0.1, 0.6), ambiguity=(1, 2)),
    NoiseHabit(outliers=(0.3, 0.6), ambiguity=(3, 5)),
    NoiseHabit(outliers=(0.1, 0.3), ambiguity=(6, 8)),
)


@dataclass(frozen=True, slots=True)
class PseudoTask:
    """N images, as `rows` of the base embeddings, under web categories `codes` (N,) in [0, C), C = `categories`.

    `true` (N,) is the category that each shows, `OUTLIER` for none of the C.
    """

    rows: NDArray[np.int64]
    codes: Codes
    true: Codes
    categories: int

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which web categories are wrong (N,)."""
        wrong: NDArray[np.bool_] = self.true != self.codes
        return wrong


def task_shape(novel_sizes: Sequence[int], base_sizes: Sequence[int]) -> TaskShape:
    """The shape of the novel images, as far as made tasks can follow it; rounded, so that a few new do not change it.

    `novel_sizes`, `base_sizes`: images of each category. Without novel images it is that of the base categories.
    """
    largest = max(base_sizes, default=1)
    sizes = np.minimum(np.sort(novel_sizes if len(novel_sizes) else base_sizes), largest)
    quantiles = np.quantile(sizes, _QUANTILES, method="nearest") if len(sizes) else []
    most = max(1, len(base_sizes) // 3 * 3 // 4)  # what a third of the base categories gives, less those for outliers
    rounded = (largest if size >= largest else _rounded(int(size)) for size in quantiles)
    return TaskShape(min(_rounded(len(sizes)), most), tuple(min(size, largest) for size in rounded))


def make_task(
    base_codes: Codes,
    candidates: Sequence[int],
    affinity: FloatArray,
    shape: TaskShape,
    noise_rate: float,
    habit: NoiseHabit,
    generator: np.random.Generator,
) -> PseudoTask:
    """Make noise of about `noise_rate` in some of the base categories `candidates`; the others give the outliers.

    `base_codes` (B,) are the categories of all base images, `affinity` (B, K) is that of each to each base category.
    At most three quarters of the candidates become web categories, so that there are outliers. Every category draws
    its size from `shape` and its noise rate around that of the task; 30 to 90 % of the flips are between look-alike
    categories, the rest is drawn from the ranges of `habit`.
    """
    order = generator.permutation(np.asarray(candidates))
    used = order[: max(1, min(shape.categories, len(order) * 3 // 4))]
    outliers = _shuffled(np.flatnonzero(np.isin(base_codes, order[len(used) :])), generator)
    unused = [_shuffled(np.flatnonzero(base_codes == category), generator) for category in used]
    sizes = [min(int(generator.choice(shape.sizes)), len(images)) for images in unused]
    rates = np.clip(noise_rate * generator.uniform(*_CATEGORY_SPREAD, size=len(used)), 0, _MOST_NOISE)
    wrong_counts = generator.binomial(sizes, rates)
    taken: list[tuple[int, int, int]] = []
    for code, images in enumerate(unused):
        taken += [(images.pop(), code, code) for _ in range(sizes[code] - wrong_counts[code])]
    outlier_share = 1.0 if len(used) == 1 else generator.uniform(*habit.outliers)
    near_share = generator.uniform(0.3, 0.9)
    near = _nearest(_likeness(affinity, base_codes, used))
    looked_at = int(generator.integers(habit.ambiguity[0], habit.ambiguity[1] + 1))
    for code in np.repeat(np.arange(len(used)), wrong_counts).tolist():
        origin = OUTLIER if generator.random() < outlier_share else _origin(code, near, near_share, generator)
        if origin == OUTLIER and outliers:
            taken.append((outliers.pop(), code, OUTLIER))
        elif origin != OUTLIER and unused[origin]:
            taken.append((_most_alike(unused[origin], looked_at, affinity[:, used[code]]), code, origin))
    rows, codes, true = np.array(taken, dtype=np.int64).reshape(-1, 3).T
    return PseudoTask(rows, codes, true, len(used))


def _rounded(count: int) -> int:
    return count if count < 4 else round(_STEP ** round(math.log(count, _STEP)))


def category_affinity(embeddings: FloatArray, base_codes: Codes) -> FloatArray:
    """How much each of B images looks like each of K base categories: cosine to its mean embedding, (B, K)."""
    affinity: FloatArray = embeddings @ unit_category_means(embeddings, base_codes, int(base_codes.max()) + 1).T
    return affinity


def _shuffled(rows: NDArray[np.int64], generator: np.random.Generator) -> list[int]:
    return list(generator.permutation(rows).tolist())


def _likeness(affinity: FloatArray, base_codes: Codes, used: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean affinity (C, C) of the images of each category in `used` to each of these categories."""
    return np.stack([affinity[base_codes == category][:, used].mean(axis=0, dtype=np.float64) for category in used])


def _most_alike(unused: list[int], looked_at: int, affinity: FloatArray) -> int:
    """Take out of `unused` (in random order) the one of the last `looked_at` that has the largest affinity (B,)."""
    start = max(0, len(unused) - looked_at)
    return unused.pop(start + int(np.argmax(affinity[unused[start:]])))


def _nearest(likeness: NDArray[np.float64]) -> NDArray[np.int64]:
    """The most similar other categories of each (C, up to 3)."""
    others = likeness.copy()
    np.fill_diagonal(others, -np.inf)
    nearest: NDArray[np.int64] = np.argsort(-others, axis=1)[:, : min(_NEAR, len(others) - 1)]
    return nearest


def _origin(code: int, near: NDArray[np.int64], near_share: float, generator: np.random.Generator) -> int:
    """Where an image under `code` really comes from: a look-alike category, or any other one."""
    if generator.random() < near_share:
        return int(generator.choice(near[code]))
    return int((code + generator.integers(1, len(near))) % len(near))

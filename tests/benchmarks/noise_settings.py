"""The settings in which methods are compared: the sets as they are, other noise rates, base and novel exchanged.

The noise drawn here shares no code with `curation.noise.tasks`, which the product learns from: it must not be judged
by its own idea of noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from curation.values import FloatArray, Role
from tests.benchmarks.noise_sets import OUTLIER, Images, NoiseTask, Texts

SEED = 20261124  # no tuning has used it
_OUTLIER_CATEGORIES = 0.12  # of the categories: enough for a third of the noise of all settings
_PLAYS_NOVEL = 0.3  # of the other categories, where both roles are played by base categories
_OUTLIERS = 1 / 3  # of the wrong images; the others are flips, half of them to the nearest category
_TO_NEAREST = 1 / 2


def natural(images: Images) -> NoiseTask:
    """Base and novel images as they are, with the errors people or the set's makers made."""
    base, novel = images.only(images.roles == Role.BASE.value), images.only(images.roles == Role.NOVEL.value)
    return NoiseTask(base.embeddings, base.listed, novel.embeddings, novel.listed, novel.true)


def redrawn(images: Images, rate: float) -> NoiseTask:
    """Base categories alone: 70 % of them play base, 30 % novel with noise at `rate`, after some give the outliers."""
    generator = np.random.default_rng(SEED)
    clean = images.only(images.roles == Role.BASE.value)
    outliers, others = _split(np.unique(clean.true), _OUTLIER_CATEGORIES, generator)
    novel, base = _split(others, _PLAYS_NOVEL, generator)
    return _with_noise(clean, base, clean, novel, outliers, rate, generator)


def exchanged(images: Images, rate: float) -> NoiseTask:
    """Novel categories play base, with their true labels and the clean test images; base categories get the noise."""
    generator = np.random.default_rng(SEED)
    labelled = images.only((images.roles != Role.BASE.value) & (images.true != OUTLIER))
    clean = images.only(images.roles == Role.BASE.value)
    outliers, novel = _split(np.unique(clean.true), _OUTLIER_CATEGORIES, generator)
    return _with_noise(labelled, np.unique(labelled.true), clean, novel, outliers, rate, generator)


# Name -> what makes the task of a set. `natural` comes first: it is what the others are compared with.
SETTINGS: dict[str, Callable[[Images], NoiseTask]] = {
    "natural": natural,
    "redrawn 10 %": lambda images: redrawn(images, 0.1),
    "redrawn 50 %": lambda images: redrawn(images, 0.5),
    "exchanged 30 %": lambda images: exchanged(images, 0.3),
}


def draw_noise(
    embeddings: FloatArray, true: Texts, outliers: FloatArray, rate: float, generator: np.random.Generator
) -> tuple[FloatArray, Texts, Texts]:
    """Embeddings, listed and true categories of clean images `embeddings` (N, D) after `rate` of the result is wrong.

    A third of the wrong ones are some of `outliers` (M, D), added under any category. The others are listed elsewhere:
    half under the category whose mean embedding is nearest, half under any other. In random order.
    """
    names, codes = np.unique(true, return_inverse=True)
    total = round(len(codes) / (1 - rate * _OUTLIERS))
    added = total - len(codes)
    if added > len(outliers):
        raise ValueError(f"noise at {rate:.0%} of {total} images needs {added} outliers, there are {len(outliers)}")
    flipped = generator.choice(len(codes), round(rate * total) - added, replace=False)
    to_nearest, to_any = np.split(flipped, [round(_TO_NEAREST * len(flipped))])
    listed = codes.copy()
    listed[to_nearest] = _nearest(embeddings, codes)[codes[to_nearest]]
    listed[to_any] = (codes[to_any] + generator.integers(1, len(names), len(to_any))) % len(names)
    listed = np.concatenate([listed, generator.integers(0, len(names), added)])
    rows = np.concatenate([embeddings, outliers[generator.choice(len(outliers), added, replace=False)]])
    truth = np.concatenate([true, np.full(added, OUTLIER)])
    order = generator.permutation(total)
    return rows[order], names[listed][order], truth[order]


def _with_noise(
    labelled: Images,
    base: Texts,
    clean: Images,
    novel: Texts,
    outliers: Texts,
    rate: float,
    generator: np.random.Generator,
) -> NoiseTask:
    """The categories `base` of `labelled` play base; those named `novel` of `clean` get the noise."""
    known, unknown = labelled.only(np.isin(labelled.true, base)), clean.only(np.isin(clean.true, novel))
    strangers = clean.only(np.isin(clean.true, outliers)).embeddings
    rows, listed, true = draw_noise(unknown.embeddings, unknown.true, strangers, rate, generator)
    return NoiseTask(known.embeddings, known.true, rows, listed, true)


def _split(names: Texts, share: float, generator: np.random.Generator) -> tuple[Texts, Texts]:
    """`share` of the names, drawn at random, and the others."""
    shuffled = generator.permutation(names)
    count = round(share * len(names))
    return np.sort(shuffled[:count]), np.sort(shuffled[count:])


def _nearest(embeddings: FloatArray, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The category whose mean embedding has the highest cosine with that of each category (C,)."""
    means = np.stack([embeddings[codes == code].mean(axis=0) for code in range(codes.max() + 1)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosine = means @ means.T
    np.fill_diagonal(cosine, -np.inf)
    nearest: NDArray[np.int64] = cosine.argmax(axis=1)
    return nearest

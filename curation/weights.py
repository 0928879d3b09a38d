"""Sample weights: how much an image looks like the others gathered under its name, mean 1 in every category."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.values import FloatArray

_ANSWER_BYTES = 64 << 20  # of similarities to sampled partners held at once


def sample_weights(
    similarity: FloatArray, *, symmetric: bool = True, top_share: float = 1.0, self_pairs: bool = False
) -> FloatArray:
    """Weights (L,) of the images of one category from their similarities (L, L): s[i, j] = s(row i, column j), [0, 1].

    SimTrans (NeurIPS 2021), released code `avg<rho>` and `savg<rho>`: the mean of the floor(rho * L) largest entries of
    a row, averaged with that of its column where `symmetric`, divided by its mean over the category. `top_share` is
    rho; `self_pairs` = True counts the diagonal as published. Without it L - 1 partners remain: sharper weights.
    A single image weighs 1; a category without any similarity weighs 1 everywhere.
    """
    return normalise_weights(
        own_similarity(similarity, symmetric=symmetric, top_share=top_share, self_pairs=self_pairs)
    )


def own_similarity(
    similarity: FloatArray, *, symmetric: bool = True, top_share: float = 1.0, self_pairs: bool = False
) -> FloatArray:
    """The weights of `sample_weights` before they are divided by their mean: (L,) in [0, 1]; 0 for a single image."""
    size = len(similarity)
    if similarity.shape != (size, size):
        raise ValueError(f"similarities of one category must be square, got shape {similarity.shape}")
    if not 0 < top_share <= 1:
        raise ValueError(f"top_share must be in (0, 1], got {top_share}")
    if size < (1 if self_pairs else 2):
        return np.zeros(size, dtype=np.float32)
    mean = _mean_of_largest(similarity, top_share, self_pairs)
    if symmetric:
        mean = (mean + _mean_of_largest(similarity.T, top_share, self_pairs)) / 2
    return mean.astype(np.float32)


def normalise_weights(own_similarity: FloatArray) -> FloatArray:
    """Own-category similarities (L,), none negative, divided by their mean: (L,) of mean 1; ones where all are 0."""
    if len(own_similarity) == 0:
        return np.zeros(0, dtype=np.float32)
    mean = float(own_similarity.mean(dtype=np.float64))
    if len(own_similarity) == 1 or mean == 0:
        return np.ones(len(own_similarity), dtype=np.float32)
    return (own_similarity.astype(np.float64) / mean).astype(np.float32)


@dataclass(frozen=True, slots=True)
class SampledSimilarity:
    """Estimated own-category similarity (L,) of every image and its standard error (L,)."""

    mean: FloatArray
    standard_error: FloatArray


def sampled_own_similarity(
    similarity_to: Callable[[slice, NDArray[np.int64]], FloatArray], size: int, partners: int, seed: int
) -> SampledSimilarity:
    """Own-category similarity of each of `size` images estimated from the same `partners` images drawn at random.

    `similarity_to(rows, drawn)` gives the similarity of some images (R) to the drawn ones (P), both orders averaged
    where wanted: (R, P). It is asked for few enough rows at once that an answer stays below 64 MiB.
    A simple random sample less the image itself is one of the others, so the mean is unbiased; the standard error
    has the correction for drawing without replacement, hence is 0 where all are drawn. Cost L * P instead of L * L.
    """
    if partners < 3:
        raise ValueError(
            f"an estimate and its error need at least 3 partners, one may be the image itself; not {partners}"
        )
    if size < 2:
        return SampledSimilarity(np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32))
    drawn = np.sort(np.random.default_rng(seed).permutation(size)[:partners])
    column_of = np.full(size, -1)
    column_of[drawn] = np.arange(len(drawn))
    mean, error = (np.empty(size, dtype=np.float32) for _ in range(2))
    rows_at_once = max(1, _ANSWER_BYTES // (4 * len(drawn)))
    for start in range(0, size, rows_at_once):
        rows = slice(start, min(start + rows_at_once, size))
        mean[rows], error[rows] = _mean_and_error(similarity_to(rows, drawn), column_of[rows], size)
    return SampledSimilarity(mean, error)


def _mean_and_error(
    values: FloatArray, itself: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard error of the rows of `values` (R, P), the image's own column (`itself`, -1: none) left out."""
    counted = np.ones_like(values, dtype=bool)
    inside = np.flatnonzero(itself >= 0)
    counted[inside, itself[inside]] = False
    n = counted.sum(axis=1)
    mean = values.sum(axis=1, where=counted, dtype=np.float64) / n
    squares = ((values - mean[:, None]) ** 2).sum(axis=1, where=counted)
    left_out = 1 - n / (size - 1)
    return mean, np.sqrt(squares / np.maximum(n - 1, 1) / n * left_out)


def _mean_of_largest(similarity: FloatArray, share: float, self_pairs: bool) -> NDArray[np.float64]:
    """For each row the mean of its largest `share` of partners; at least one."""
    size = len(similarity)
    own = np.diagonal(similarity).astype(np.float64)
    if share == 1:
        total = similarity.sum(axis=1, dtype=np.float64)
        return np.asarray(total / size if self_pairs else (total - own) / (size - 1))
    candidates = similarity.astype(np.float64)
    if not self_pairs:
        np.fill_diagonal(candidates, -math.inf)
    count = max(1, math.floor(share * (size if self_pairs else size - 1) + 1e-9))  # 0.29 * 100 is 28.999...96
    largest = np.partition(candidates, size - count, axis=1)[:, size - count :]
    mean: NDArray[np.float64] = largest.mean(axis=1)
    return mean

"""Mean similarities of samples to the few categories that each may show, where there are too many to compare with all.

For the metric head, whose similarity grows with a cosine: the categories of the nearest means are the most similar
ones. The cost of a sample does not grow with the number of categories then, but for a product with C means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from curation.category_sums import category_sums
from curation.similarity.metric_view import MetricView
from curation.values import FloatArray

Indices = NDArray[np.int64]

_BLOCK_ROWS = 4096  # of embeddings that are compared with one category at once


def nearest_category_similarities(
    view: MetricView,
    codes: Indices,
    partners: Sequence[Indices],
    compared: int,
    *,
    progress: Callable[[int, int], None],
) -> FloatArray:
    """Mean similarity of every sample to the partners of its `compared` nearest categories: float32 (N, C).

    `view` holds the samples' embeddings, `codes` (N,) are in [0, C); `partners` are rows of each category, ascending.
    NaN for the other categories, and where no partner but the sample itself is left. Nearest is the cosine, in the
    network's own space and from the mean of all, to the mean of a category. `progress(done, total)` counts categories.
    Beside the result it holds C numbers a sample for a block, and the pairs of a block with one category.
    """
    near = _nearest(view.vectors, codes, len(partners), compared)
    similarity = np.full(near.shape, np.nan, dtype=np.float32)
    for code, members in enumerate(partners):
        rows = np.flatnonzero(near[:, code])
        for start in range(0, len(rows), _BLOCK_ROWS):
            some = rows[start : start + _BLOCK_ROWS]
            similarity[some, code] = _means(view.similarities(some, members), members, some)
        progress(code + 1, len(partners))
    return similarity


def _means(pairs: FloatArray, members: Indices, rows: Indices) -> FloatArray:
    """Mean over the members (M,) of each of `rows` (R,), itself left out: (R,), NaN where none is left."""
    place = np.minimum(np.searchsorted(members, rows), len(members) - 1)
    itself = np.flatnonzero(members[place] == rows)
    pairs[itself, place[itself]] = 0
    counts = np.full(len(rows), len(members))
    counts[itself] -= 1
    means = np.full(len(rows), np.nan)
    np.divide(pairs.sum(axis=1, dtype=np.float64), counts, out=means, where=counts > 0)
    return means.astype(np.float32)


def _nearest(view: torch.Tensor, codes: Indices, categories: int, compared: int) -> NDArray[np.bool_]:
    """The `compared` nearest categories of each sample (N, C)."""
    near = np.zeros((len(view), categories), dtype=np.bool_)
    vectors = view.cpu().numpy()
    sums = category_sums(vectors, codes, categories)
    middle = sums.sum(axis=0) / len(codes)
    away = sums - middle * np.bincount(codes, minlength=categories)[:, None]
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        some = slice(start, start + _BLOCK_ROWS)
        cosine = vectors[some] @ away.T.astype(np.float32) - (away @ middle).astype(np.float32)
        np.put_along_axis(near[some], np.argpartition(-cosine, compared - 1, axis=1)[:, :compared], True, axis=1)
    return near

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
from curation.similarity.compared import Compared, KeptCompared, Known, known_of, nothing_known
from curation.similarity.metric_view import MetricView
from curation.values import FloatArray

Indices = NDArray[np.int64]

_BLOCK_ROWS = 4096  # samples that are taken at once
_WHOLE = np.zeros(1, dtype=np.int64)  # one group that begins with the first member


def nearest_category_similarities(
    view: MetricView,
    sample_ids: Sequence[str],
    codes: Indices,
    names: Sequence[str],
    partners: Sequence[Indices],
    compared: int,
    *,
    kept: KeptCompared | None = None,
    progress: Callable[[int, int], None],
) -> FloatArray:
    """Mean similarity of every sample to the partners of its `compared` nearest categories: float32 (N, C).

    `view` holds the samples' embeddings, `codes` (N,) are positions in the sorted `names`; `partners` are rows of each
    category, ascending, none without any. NaN for the other categories, and where no partner but the sample itself is
    left. Nearest is the cosine, in the network's own space and from the mean of all, to the mean of a category.
    `progress(done, total)` counts categories. What is `kept` of earlier pairs is not compared again; the result is the
    same. Beside it and `compared` sums a sample it holds C numbers a sample for a block, and the pairs of a tile.
    """
    near = _nearest(view.vectors, codes, len(partners), compared)
    before = None if kept is None else kept.read()
    known = nothing_known(near) if before is None else known_of(before, sample_ids, names, partners, near)
    sizes = np.array([len(members) for members in partners])
    if len(known.came) * len(near) > sizes[near[~np.isnan(known.sums)]].sum():
        known = nothing_known(near)  # so much came that to begin anew is less
    sums = _with_those_that_came(view, near, known)
    missing = np.flatnonzero(np.isnan(sums))
    missing = missing[np.argsort(near.reshape(-1)[missing], kind="stable")]
    bounds = np.searchsorted(near.reshape(-1)[missing], np.arange(len(partners) + 1))
    for code, members in enumerate(partners):
        entries = missing[bounds[code] : bounds[code + 1]]
        sums.reshape(-1)[entries] = view.sums(entries // near.shape[1], members, _WHOLE)[:, 0]
        progress(code + 1, len(partners))
    if kept is not None:
        kept.write(Compared(sample_ids, names, partners, near, sums))
    similarity = np.full((len(near), len(partners)), np.nan, dtype=np.float32)
    np.put_along_axis(similarity, near, _means(sums, near, codes, partners), axis=1)
    return similarity


def _with_those_that_came(view: MetricView, near: Indices, known: Known) -> NDArray[np.float64]:
    """The known sums (N, K) with the similarities to those that came since."""
    if not len(known.came):
        return known.sums
    sums = known.sums.copy()
    starts = np.flatnonzero(np.diff(known.came_to, prepend=-1))
    group = np.full(max(near.max(), known.came_to.max()) + 1, len(starts))
    group[known.came_to[starts]] = np.arange(len(starts))
    for start in range(0, len(near), _BLOCK_ROWS):
        rows = np.arange(start, min(start + _BLOCK_ROWS, len(near)))
        more = np.pad(view.sums(rows, known.came, starts), ((0, 0), (0, 1)))  # the last: nobody came
        sums[rows] += np.take_along_axis(more, group[near[rows]], axis=1)
    return sums


def _means(sums: NDArray[np.float64], near: Indices, codes: Indices, partners: Sequence[Indices]) -> FloatArray:
    """Means (N, K) over the partners of the categories `near` (N, K), the sample left out; NaN where none is left."""
    is_partner = np.zeros(len(codes), dtype=np.bool_)
    is_partner[np.concatenate(partners)] = True
    counts = np.array([len(members) for members in partners])[near]
    counts -= (near == codes[:, None]) & is_partner[:, None]
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.astype(np.float32)


def _nearest(view: torch.Tensor, codes: Indices, categories: int, compared: int) -> Indices:
    """The `compared` nearest categories of each sample: (N, K), ascending."""
    near = np.empty((len(view), compared), dtype=np.int64)
    vectors = view.cpu().numpy()
    sums = category_sums(vectors, codes, categories)
    middle = sums.sum(axis=0) / len(codes)
    away = sums - middle * np.bincount(codes, minlength=categories)[:, None]
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        some = slice(start, start + _BLOCK_ROWS)
        cosine = vectors[some] @ away.T.astype(np.float32) - (away @ middle).astype(np.float32)
        near[some] = np.sort(np.argpartition(-cosine, compared - 1, axis=1)[:, :compared], axis=1)
    return near

"""Which samples are in which batch: from the seed and the epoch alone, so that a resumed training needs no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def shuffled_batches(rows: Rows, batch_size: int, *, seed: int, epoch: int) -> list[Rows]:
    """`rows` in an order of their own for every epoch, cut into batches of `batch_size`.

    The last images of the order are left out of this epoch where they fill no batch, since batch statistics and the
    step of a small batch are those of few images; where there are fewer rows than one batch, they are the batch.
    """
    order = rows[_generator(seed, epoch).permutation(len(rows))]
    return _cut(order, batch_size)


def balanced_batches(rows: Rows, codes: NDArray[np.int64], batch_size: int, *, seed: int, epoch: int) -> list[Rows]:
    """As many batches as `shuffled_batches` gives, each image drawn anew: a category, then one of its images.

    `codes` (len(rows),) are the categories of `rows`; all categories are as likely, and all images of one (A.2.7).
    """
    generator = _generator(seed, epoch)
    order = np.argsort(codes, kind="stable")
    _, starts, sizes = np.unique(codes[order], return_index=True, return_counts=True)
    drawn = generator.integers(0, len(starts), len(rows))
    within = np.floor(generator.random(len(rows)) * sizes[drawn]).astype(np.intp)
    return _cut(rows[order[starts[drawn] + within]], batch_size)


def _cut(order: Rows, batch_size: int) -> list[Rows]:
    whole = len(order) // batch_size
    if whole == 0:
        return [order] if len(order) else []
    return [order[start : start + batch_size] for start in range(0, whole * batch_size, batch_size)]


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng((seed, epoch))

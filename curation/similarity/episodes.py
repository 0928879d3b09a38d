"""Category-balanced episodic batches: few categories in a batch, so that enough of its pairs are similar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray


def epoch_batches(
    codes: NDArray[np.int64], batch_size: int, categories_per_batch: int, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """One epoch: floor(N / batch_size) batches of `batch_size` image positions; no image comes twice (A.2.3).

    `codes` (N,) holds the category of every image. A batch draws `categories_per_batch` categories among those that
    have images left, then again and again a uniform choice of them and a random image of it. A category that runs
    empty leaves the batch. Deviation from the published code: when all have left, the batch goes on with a fresh
    category instead of ending short, so that base and novel batches always have the same size.
    """
    pools = {int(code): list(generator.permutation(np.flatnonzero(codes == code))) for code in np.unique(codes)}
    for _ in range(len(codes) // batch_size):
        yield _draw_batch(pools, batch_size, categories_per_batch, generator)


def endless_batches(
    codes: NDArray[np.int64], batch_size: int, categories_per_batch: int, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Epoch after epoch of `epoch_batches`, without end; ValueError where there are fewer images than in a batch."""
    if not 0 < batch_size <= len(codes):
        raise ValueError(f"a batch of {batch_size} images cannot be drawn from {len(codes)}")
    for _ in count():
        yield from epoch_batches(codes, batch_size, categories_per_batch, generator)


def _draw_batch(
    pools: dict[int, list[int]], size: int, categories: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Take `size` images out of the pools; pools that run empty are removed."""
    chosen = _choose(list(pools), categories, generator)
    batch: list[int] = []
    while len(batch) < size:
        if not chosen:
            chosen = _choose(list(pools), 1, generator)
        code = chosen[generator.integers(len(chosen))]
        batch.append(pools[code].pop())
        if not pools[code]:
            del pools[code]
            chosen.remove(code)
    return np.array(batch, dtype=np.int64)


def _choose(codes: Sequence[int], how_many: int, generator: np.random.Generator) -> list[int]:
    return [int(code) for code in generator.choice(codes, size=min(how_many, len(codes)), replace=False)]

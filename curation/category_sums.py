"""Sums of rows by category, without the element-wise loop of `np.add.at` (70,000 x 512: 0.04 s instead of 1.6 s)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.values import FloatArray


def category_sums(rows: NDArray[np.floating[Any]], codes: NDArray[np.int64], categories: int) -> NDArray[np.float64]:
    """The sum of the rows (N, D) of each category, `codes` (N,) in [0, C): float64 (C, D), 0 where there are none."""
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(categories + 1))
    sums = np.zeros((categories, rows.shape[1]))
    for code in range(categories):
        sums[code] = rows[order[bounds[code] : bounds[code + 1]]].sum(axis=0, dtype=np.float64)
    return sums


def unit_category_means(rows: FloatArray, codes: NDArray[np.int64], categories: int) -> FloatArray:
    """The mean direction of the rows (N, D) of each category: float32 (C, D), unit-norm, 0 where there are none."""
    sums = category_sums(rows, codes, categories)
    means: FloatArray = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return means

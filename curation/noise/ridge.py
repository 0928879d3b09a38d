"""Ridge regression that predicts every image from the others, without fitting once an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.values import FloatArray

_ROWS_AT_ONCE = 4096


class LeaveOneOutRidge:
    """Predicts targets of N images, each from a ridge regression on the other N - 1 and on M contrast images.

    Made from `rows` (N, D) and `contrast` (M, D), float32; the targets of the contrast images are 0, the intercept is
    not penalised. With the hat matrix H, prediction without the image itself is (H t - h t) / (1 - h), h the diagonal
    of H (PRESS: Allen, Technometrics 1974). H does not depend on the targets, so it is prepared once: cost
    N D min(N, D). `penalty` is in units of squared row norms.
    """

    def __init__(self, rows: FloatArray, contrast: FloatArray, penalty: float) -> None:
        every = np.concatenate([rows, contrast]) if len(contrast) else rows
        self._rows = rows
        self._count = len(every)
        self._mean = every.mean(axis=0, dtype=np.float64)
        self._hat: FloatArray | None = None
        if self._count <= rows.shape[1]:
            self._hat = _hat_matrix(every - self._mean, penalty)[: len(rows), : len(rows)].astype(np.float32)
            self._leverage = np.diagonal(self._hat).copy()
        else:
            self._inverse = _inverse_of(_scatter(every, self._mean), penalty).astype(np.float32)
            self._leverage = self._primal_leverage()

    def __call__(self, targets: FloatArray) -> FloatArray:
        """Predictions (N, K) for `targets` (N, K)."""
        if self._hat is not None:
            fitted = self._hat @ targets
        else:
            slopes = self._inverse @ (self._rows.T @ targets - np.outer(self._mean, targets.sum(axis=0)))
            intercept = targets.sum(axis=0) / self._count - self._mean @ slopes
            fitted = self._rows @ slopes.astype(np.float32) + intercept.astype(np.float32)
        leverage = self._leverage[:, None]
        predictions: FloatArray = ((fitted - leverage * targets) / (1 - leverage)).astype(np.float32)
        return predictions

    def _primal_leverage(self) -> FloatArray:
        leverage = np.empty(len(self._rows), dtype=np.float32)
        for start in range(0, len(leverage), _ROWS_AT_ONCE):
            block = (self._rows[start : start + _ROWS_AT_ONCE] - self._mean).astype(np.float32)
            leverage[start : start + len(block)] = ((block @ self._inverse) * block).sum(axis=1)
        return leverage + np.float32(1 / self._count)


def _hat_matrix(centred: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    gram = centred @ centred.T
    hat: NDArray[np.float64] = gram @ _inverse_of(gram, penalty) + 1 / len(centred)
    return hat


def _scatter(every: FloatArray, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squares and products (D, D) about the mean, in float64 by blocks: no second copy of the rows."""
    scatter = -len(every) * np.outer(mean, mean)
    for start in range(0, len(every), _ROWS_AT_ONCE):
        block = every[start : start + _ROWS_AT_ONCE].astype(np.float64)
        scatter += block.T @ block
    return scatter


def _inverse_of(square: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    inverse: NDArray[np.float64] = np.linalg.inv(square + penalty * np.eye(len(square))).astype(np.float64)
    return inverse

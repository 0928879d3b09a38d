"""Logistic regression as plain arrays: fitted by scikit-learn, applied without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from curation.values import FloatArray

_INVERSE_PENALTY = 1.0  # scikit-learn's default, on standardised columns


@dataclass(frozen=True, slots=True)
class Logistic:
    """Log-odds = `intercept` + (columns - `mean`) / `scale` @ `coefficients`; arrays (F,) float32."""

    mean: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    intercept: float

    def log_odds(self, columns: FloatArray) -> FloatArray:
        """Log-odds (N,) of `columns` (N, F)."""
        odds: FloatArray = self.pieces(columns).sum(axis=1) + np.float32(self.intercept)
        return odds

    def pieces(self, columns: FloatArray) -> FloatArray:
        """What each column adds to the log-odds (N, F), against the mean it was fitted with."""
        pieces: FloatArray = (columns - self.mean) / self.scale * self.coefficients
        return pieces


def fit_logistic(columns: FloatArray, target: NDArray[np.bool_], weights: NDArray[np.float64]) -> Logistic:
    """Fit to `columns` (N, F) and `target` (N,) with sample weights (N,); with one class only, its smoothed rate."""
    mean = np.average(columns, axis=0, weights=weights)
    scale = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weights))
    scale[scale < 1e-6] = 1.0  # a column that never varies says nothing
    if target.all() or not target.any():
        rate = (float(target.sum()) + 1) / (len(target) + 2)
        nothing = np.zeros(columns.shape[1], dtype=np.float32)
        return Logistic(mean.astype(np.float32), scale.astype(np.float32), nothing, float(np.log(rate / (1 - rate))))
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=1000)
    model.fit((columns - mean) / scale, target, sample_weight=weights / weights.mean())
    return Logistic(
        mean.astype(np.float32),
        scale.astype(np.float32),
        model.coef_[0].astype(np.float32),
        float(model.intercept_[0]),
    )


def sigmoid(log_odds: FloatArray) -> FloatArray:
    """Probability from log-odds, any shape."""
    probability: FloatArray = (1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))).astype(np.float32)
    return probability

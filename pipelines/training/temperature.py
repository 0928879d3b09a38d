"""Temperature scaling: one number that makes probabilities as sure as they are right (Guo et al., ICML 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from curation.values import FloatArray

_RANGE = (0.05, 20.0)  # beyond, a classifier is a coin or a stone; the ends are never near on the sets we measured
_FEWEST = 20  # images: fewer say less of a temperature than 1 does


def fit_temperature(logits: FloatArray, codes: NDArray[np.int64], weights: FloatArray) -> float:
    """The T in [0.05, 20] that minimises sum_i w_i CE(softmax(logits_i / T), y_i) for logits (V, C).

    1 where there are fewer than 20 images with a weight.
    """
    if int((weights > 0).sum()) < _FEWEST:
        return 1.0
    low, high = np.log(_RANGE)
    found = minimize_scalar(
        lambda log_temperature: _loss(logits, codes, weights, float(np.exp(log_temperature))),
        bounds=(low, high),
        method="bounded",
    )
    return float(np.exp(found.x))


def refinement_loss(logits: FloatArray, codes: NDArray[np.int64], weights: FloatArray) -> float:
    """The weighted cross-entropy of logits (V, C) at the temperature that fits them best, in nats: what calibration
    cannot mend (the TS-refinement of Berta et al., "Rethinking Early Stopping: Refine, Then Calibrate", 2025).

    It tells states of a training apart by far more than their accuracy does, which moves in steps of an image, and does
    not mind, as the plain loss would, that a network learns to be sure of itself at another time than to be right.
    """
    return _loss(logits, codes, weights, fit_temperature(logits, codes, weights))


def _loss(logits: FloatArray, codes: NDArray[np.int64], weights: FloatArray, temperature: float) -> float:
    chosen = log_softmax(logits.astype(np.float64) / temperature, axis=1)[np.arange(len(codes)), codes]
    return float(-(weights * chosen).sum() / weights.sum())

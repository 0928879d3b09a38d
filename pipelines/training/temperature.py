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

    def loss(log_temperature: float) -> float:
        chosen = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)[np.arange(len(codes)), codes]
        return float(-(weights * chosen).sum() / weights.sum())

    low, high = np.log(_RANGE)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))

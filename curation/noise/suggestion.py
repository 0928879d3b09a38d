"""Which category an image shows if its web category is wrong, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.noise.probe import Codes
from curation.values import FloatArray

_LEAST = 1e-4
_SUSPECTED = 0.5


@dataclass(frozen=True, slots=True)
class OtherCategory:
    """The best other category (N,), -1 where there is none, and the columns (N, 3) that tell how sure it is.

    `nobody` (N,): the share of "none of them" in what is left when web category and best other category are out.
    """

    best: Codes
    columns: FloatArray
    nobody: FloatArray


def other_category(posterior: FloatArray, codes: Codes) -> OtherCategory:
    """From the probe's posterior (N, C + 1), with the web category taken out.

    Columns: log-odds of the best other category, log-odds of none of them, log ratio of the best to the second best.
    """
    every, categories = np.arange(len(codes)), posterior.shape[1] - 1
    rest = np.maximum(posterior.astype(np.float64), 1e-9)
    rest[every, codes] = 0
    rest /= rest.sum(axis=1, keepdims=True)
    nobody = rest[:, categories]
    if categories == 1:
        zeros = np.zeros((len(codes), 3), dtype=np.float32)
        return OtherCategory(np.full(len(codes), -1), zeros, np.ones(len(codes), dtype=np.float32))
    others = rest[:, :categories]
    best = others.argmax(axis=1)
    first = others[every, best]
    second = np.partition(others, categories - 2, axis=1)[:, categories - 2]
    columns = np.stack([_log_odds(first), _log_odds(nobody), np.log((first + _LEAST) / (second + _LEAST))], axis=1)
    left = np.maximum(1 - first, 1e-9)
    return OtherCategory(best, columns.astype(np.float32), np.minimum(nobody / left, 1).astype(np.float32))


def most_probable(
    wrong: FloatArray, other: OtherCategory, other_right: FloatArray, codes: Codes
) -> tuple[NDArray[np.int64], FloatArray]:
    """The suggested category (N,), -1 for none of them, and its probability (N,).

    `wrong` (N,): probability that the web category is wrong; `other_right` (N,): that the best other category is right
    if it is. The web category is suggested exactly where it is more likely right than wrong; else the likelier of the
    best other category and none of them.
    """
    no_other = other.best < 0
    of_other = np.where(no_other, 0, wrong * other_right)
    of_nobody = np.where(no_other, wrong, wrong * (1 - other_right) * other.nobody)
    instead = np.where(of_other >= of_nobody, other.best, -1)
    suggested = np.where(wrong < _SUSPECTED, codes, instead)
    probability = np.where(wrong < _SUSPECTED, 1 - wrong, np.maximum(of_other, of_nobody))
    return suggested, probability.astype(np.float32)


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(probability, _LEAST, 1 - _LEAST)
    odds: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return odds

"""How well the pairs of held-out categories are told apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.values import FloatArray


@dataclass(frozen=True, slots=True)
class PairMetrics:
    """Precision, recall and F1 at similarity 0.5, and average precision; all in [0, 1], high = better."""

    precision: float
    recall: float
    f1: float
    average_precision: float


def pair_metrics(similarity: FloatArray, codes: NDArray[np.int64], *, self_pairs: bool) -> PairMetrics:
    """Metrics over all ordered pairs of (L, L) similarities of images with categories `codes` (L,).

    `self_pairs` counts the pair of an image with itself as published; it is always right, so it flatters.
    """
    counted = np.ones_like(similarity, dtype=bool) if self_pairs else ~np.eye(len(codes), dtype=bool)
    same = (codes[:, None] == codes[None, :])[counted]
    values = similarity[counted]
    found = values >= 0.5
    hits = int((found & same).sum())
    precision = hits / max(int(found.sum()), 1)
    recall = hits / max(int(same.sum()), 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-12)
    return PairMetrics(precision, recall, f1, average_precision(values, same))


def average_precision(values: FloatArray, relevant: NDArray[np.bool_]) -> float:
    """Area under precision over recall by steps: mean precision at the rank of every relevant value; ties share one."""
    order = np.argsort(-values, kind="stable")
    sorted_values = values[order]
    hits = np.cumsum(relevant[order])
    last_of_tie = np.append(np.flatnonzero(np.diff(sorted_values)), len(values) - 1)
    hits_there = hits[last_of_tie]
    precision = hits_there / (last_of_tie + 1)
    return float((np.diff(hits_there, prepend=0) * precision).sum() / max(int(hits[-1]), 1))


def pair_loss(similarity: FloatArray, codes: NDArray[np.int64], similar_weight: float) -> float:
    """The mean cross-entropy of (L, L) similarities without the diagonal, weighted like training's (0 = balanced)."""
    off_diagonal = ~np.eye(len(codes), dtype=bool)
    same = (codes[:, None] == codes[None, :])[off_diagonal]
    values = np.clip(similarity[off_diagonal].astype(np.float64), 1e-7, 1 - 1e-7)
    losses = -np.log(np.where(same, values, 1 - values))
    weight = similar_weight or (~same).sum() / max(same.sum(), 1)
    weights = np.where(same, weight, 1.0)
    return float((weights * losses).sum() / weights.sum())

"""The correcting probe: what each image shows, judged from the others, whose web categories it corrects as it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curation.category_sums import category_sums
from curation.noise.ridge import LeaveOneOutRidge
from curation.values import FloatArray

Codes = NDArray[np.int64]
Confusion = Literal["pairs", "uniform"]

# Chosen on six noisy tasks each, made of base categories of birds and of CIFAR-100 (33 and 100 images a category).
# AUROC by penalty 0.3 / 0.6 / 1 / 1.7 / 3 (uniform, four rounds): birds 0.984 / 0.987 / 0.987 / 0.985 / 0.978,
# CIFAR-100 0.946 / 0.958 / 0.961 / 0.950 / 0.932. By rounds 2 / 4 / 6: uniform 0.988 / 0.987 / 0.986 and
# 0.959 / 0.961 / 0.960, pairs 0.985 / 0.978 / 0.972 and 0.956 / 0.957 / 0.956.
PENALTY = 1.0  # rows have norm 1: the noise of the targets weighs as much as one image
_ROUNDS = 4
_KEPT: dict[Confusion, float] = {"pairs": 0.2, "uniform": 0.1}  # share of the web category that is never corrected

_FIRST_NOISE_RATE = 0.3  # what the first round supposes; half of it: AUROC after four rounds differs by 0.002 to 0.005
_FIRST_SCALE = 10.0
_SCALES = (0.6, 0.8, 1.0, 1.25, 1.6)  # tried in every round, relative to the last
_NOBODY_SCORE = 0.3  # of "none of them" in the first round, before any image has been put there
_SMOOTHING = 0.02  # share of the images of a category that counts as confused at random


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Probabilities (N, C + 1) of each category, the last column for none of them.

    `posterior` is given image and web category, `image_only` given the image alone; no decision on an image enters its
    own row. `beliefs` is the posterior where decisions leave only some categories possible. `margin` (N,) is that of
    the uncorrected first round: best other score less that of the web category.
    """

    posterior: FloatArray
    image_only: FloatArray
    beliefs: FloatArray
    margin: FloatArray


def correcting_probe(
    predict: LeaveOneOutRidge,
    codes: Codes,
    categories: int,
    confusion: Confusion,
    possible: NDArray[np.bool_] | None = None,
) -> ProbeResult:
    """Judge N images under web categories `codes` (N,) in [0, C), C = `categories`.

    `possible` (N, C + 1) says which categories people's decisions leave, at least one an image; `None` leaves all.

    Expectation maximisation with the true category as hidden variable (Bekker and Goldberger, ICASSP 2016), the
    classifier being a leave-one-out ridge regression on the current beliefs. Each round: scores of every image from the
    beliefs on the others; a softmax whose scale makes the web categories most likely; times P(web category | true
    category), estimated from the beliefs. `confusion` = "pairs" estimates that for each pair of categories, "uniform"
    only its diagonal.
    """
    every = np.arange(len(codes))
    sizes = np.bincount(codes, minlength=categories)
    beliefs = np.zeros((len(codes), categories + 1), dtype=np.float32)
    beliefs[every, codes] = 1
    web = beliefs.copy()
    transition = _first_transition(categories)
    scale, margin = _FIRST_SCALE, np.zeros(len(codes), dtype=np.float32)
    posterior = image_only = beliefs
    for number in range(_ROUNDS):
        scores = predict(beliefs)
        if number == 0:
            scores[:, categories] = _NOBODY_SCORE
            margin = _margin(scores[:, :categories], codes)
        scale, image_only = _best_scale(scores, scale, transition[codes])
        posterior = image_only * transition[codes]
        posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), 1e-12)
        believed = _believed(posterior, possible)
        transition = _transition(believed, codes, sizes, confusion)
        kept = _KEPT[confusion]
        beliefs = (1 - kept) * believed + kept * web
        if possible is not None:
            beliefs = np.where(possible, beliefs, 0)
            beliefs /= np.maximum(beliefs.sum(axis=1, keepdims=True), 1e-12)
    return ProbeResult(posterior, image_only, _believed(posterior, possible), margin)


def _believed(posterior: FloatArray, possible: NDArray[np.bool_] | None) -> FloatArray:
    """The posterior where a person's decisions leave only the categories `possible` (N, C + 1)."""
    if possible is None:
        return posterior
    left = np.where(possible, posterior + np.float32(1e-6), 0)
    believed: FloatArray = left / left.sum(axis=1, keepdims=True)
    return believed


def _margin(scores: FloatArray, codes: Codes) -> FloatArray:
    every = np.arange(len(codes))
    own = scores[every, codes]
    if scores.shape[1] == 1:
        return -own
    others = scores.copy()
    others[every, codes] = -np.inf
    margin: FloatArray = others.max(axis=1) - own
    return margin


def _best_scale(scores: FloatArray, scale: float, given_true: FloatArray) -> tuple[float, FloatArray]:
    """The scale under which the web categories are most likely, and the softmax (N, C + 1) with it."""

    def likelihood(candidate: float) -> float:
        image_only = _softmax(scores * np.float32(candidate))
        return float(np.log(np.maximum((image_only * given_true).sum(axis=1), 1e-12)).mean())

    best = max((scale * factor for factor in _SCALES), key=likelihood)
    return best, _softmax(scores * np.float32(best))


def _softmax(scores: FloatArray) -> FloatArray:
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: FloatArray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def _first_transition(categories: int) -> FloatArray:
    """P(web category = row | true category = column) as supposed before anything is known: (C, C + 1)."""
    transition = np.full((categories, categories + 1), _FIRST_NOISE_RATE / categories, dtype=np.float32)
    transition[np.arange(categories), np.arange(categories)] = 1 - _FIRST_NOISE_RATE
    transition[:, categories] = 1 / categories
    return transition


def _transition(believed: FloatArray, codes: Codes, sizes: NDArray[np.int64], confusion: Confusion) -> FloatArray:
    """P(web category = row | true category = column) from beliefs (N, C + 1): (C, C + 1), columns sum to 1."""
    categories = len(sizes)
    counts = category_sums(believed, codes, categories)
    if confusion == "pairs":
        counts += _SMOOTHING * np.outer(sizes, counts.sum(axis=0) / counts.sum())
        pairs: FloatArray = (counts / np.maximum(counts.sum(axis=0), 1e-12)).astype(np.float32)
        return pairs
    diagonal = np.diagonal(counts) / np.maximum(counts.sum(axis=0)[:categories], 1e-12)
    elsewhere = np.maximum(sizes.sum() - sizes, 1)
    transition = np.outer(sizes, np.append((1 - diagonal) / elsewhere, 1 / sizes.sum()))
    transition[np.arange(categories), np.arange(categories)] = diagonal if categories > 1 else 1
    return transition.astype(np.float32)

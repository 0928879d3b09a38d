"""The table that the noise model reads: for each image the numbers that speak for or against its web category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.evidence_columns import EvidenceColumns
from curation.nearest import Nearest
from curation.noise.probe import PENALTY, Codes, ProbeResult, correcting_probe
from curation.noise.ridge import LeaveOneOutRidge
from curation.values import FloatArray

# Every column rises with suspicion, but for the last three: how noisy the task and the category look as a whole.
COLUMNS = (
    "probe_pairs",  # log-odds that the web category is wrong, correcting probe with a confusion for each pair
    "probe_uniform",  # the same with uniform confusion
    "image_pairs",  # - log probability of the web category from the image alone
    "image_uniform",
    "margin",  # uncorrected probe: best other score less own, in standard deviations of the task
    "vote",  # share of the nearest images listed under other categories
    "corrected_vote",  # the same after the probe's corrections and people's decisions
    "weight",  # 1 - sample weight (SimTrans)
    "category_margin",  # best other category similarity less own, over the similarity usual in a category
    "outlier",  # probability of none of the categories
    "isolation",  # mean cosine to the nearest images, below the task's mean in standard deviations
    "task_noise",  # log-odds of the mean probability of being wrong
    "task_vote",  # mean of `vote`
    "category_noise",  # as task_noise, of the web category
)

_LEAST = 1e-4  # probabilities are kept this far from 0 and 1 before log-odds are taken
_CERTAIN = 1e-5


@dataclass(frozen=True, slots=True)
class EvidenceTable:
    """`columns` (N, F) float32 in the order of `COLUMNS`, and what the suggestion and the explanation are made from.

    `posterior` and `beliefs` (N, C + 1) are the probe's, `strangers` (N,) counts the nearest images that are listed
    under other categories, out of `neighbours`.
    """

    columns: FloatArray
    posterior: FloatArray
    beliefs: FloatArray
    strangers: NDArray[np.int64]
    neighbours: int


@dataclass(frozen=True, slots=True)
class SimilarityEvidence:
    """What the similarity network says of N images, (N,) each: the columns `weight` and `category_margin`."""

    weight: FloatArray
    category_margin: FloatArray


def similarity_evidence(evidence: EvidenceColumns, categories: Sequence[str]) -> SimilarityEvidence:
    """From the evidence of all images of a task, in order, and their web categories; others do not count.

    Where none of the task's other categories is among the nearest kept, the least of these bounds it from above.
    """
    own = evidence.own_similarity.astype(np.float64)
    usual = float(np.nanmean(own)) if np.isfinite(own).any() else 1.0
    own = np.where(np.isnan(own), usual, own)  # a single image under its name: nothing speaks for or against it
    other = _best_other(evidence, categories)
    margin = np.where(np.isnan(other), 0.0, (other - own) / max(usual, 1e-12))
    weight = 1 - evidence.weight.astype(np.float64)
    return SimilarityEvidence(weight.astype(np.float32), margin.astype(np.float32))


def _best_other(evidence: EvidenceColumns, categories: Sequence[str]) -> NDArray[np.float64]:
    """The similarity of each image's (N,) best other category of those of the task; NaN where there is no other."""
    of_task = set(categories)
    if len(of_task) == 1 or not evidence.nearest.shape[1]:
        return np.full(len(categories), np.nan)
    code = {name: number for number, name in enumerate(evidence.categories)}
    own = np.array([code.get(name, -1) for name in categories])
    in_task = np.array([name in of_task for name in evidence.categories])
    is_other = (evidence.nearest >= 0) & in_task[evidence.nearest] & (evidence.nearest != own[:, None])
    least = np.maximum((evidence.nearest >= 0).sum(axis=1) - 1, 0)  # NaN where none is known
    best = np.where(is_other.any(axis=1), is_other.argmax(axis=1), least)
    similarity: NDArray[np.float64] = evidence.similarity[np.arange(len(best)), best].astype(np.float64)
    return similarity


def evidence_table(
    rows: FloatArray,
    codes: Codes,
    categories: int,
    contrast: FloatArray,
    similarity: SimilarityEvidence,
    nearest: Nearest,
    *,
    possible: NDArray[np.bool_] | None = None,
) -> EvidenceTable:
    """The table of one task: N images with whitened unit `rows` (N, D) under web categories `codes` (N,) in [0, C).

    `contrast` (M, D): images of base categories, which show none of the C. `nearest`: of the same rows. `possible`
    (N, C + 1) holds what people's decisions leave possible; it changes what others are told by an image, never the
    image's own row but for `beliefs`.
    """
    predict = LeaveOneOutRidge(rows, contrast, PENALTY)
    pairs = correcting_probe(predict, codes, categories, "pairs", possible)
    uniform = correcting_probe(predict, codes, categories, "uniform", possible)
    strangers, corrected, nearness, asked = _votes(nearest, codes, pairs.beliefs)
    every = np.arange(len(codes))
    wrong = 1 - pairs.posterior[every, codes]
    values = {
        "probe_pairs": _log_odds(wrong),
        "probe_uniform": _log_odds(1 - uniform.posterior[every, codes]),
        "image_pairs": _surprise(pairs, codes),
        "image_uniform": _surprise(uniform, codes),
        "margin": pairs.margin / max(float(pairs.margin.std()), 1e-6),
        "vote": strangers / max(asked, 1),
        "corrected_vote": 1 - corrected,
        "weight": similarity.weight,
        "category_margin": similarity.category_margin,
        "outlier": pairs.posterior[:, categories],
        "isolation": (nearness.mean() - nearness) / max(float(nearness.std()), 1e-6),
        "task_noise": np.full(len(codes), _log_odds(wrong.mean())),
        "task_vote": np.full(len(codes), strangers.mean() / max(asked, 1)),
        "category_noise": _log_odds(_category_means(wrong, codes, categories))[codes],
    }
    columns = np.stack([np.asarray(values[name], dtype=np.float32) for name in COLUMNS], axis=1)
    return EvidenceTable(columns, pairs.posterior, pairs.beliefs, strangers, asked)


def _votes(
    nearest: Nearest, codes: Codes, beliefs: FloatArray
) -> tuple[NDArray[np.int64], FloatArray, FloatArray, int]:
    """Of the k nearest of each: how many lie elsewhere, mean belief in the own category, mean cosine; and k."""
    asked = min(nearest.rows.shape[1], len(codes) - 1)
    if asked < 1:
        nothing = np.zeros(len(codes), dtype=np.float32)
        return np.zeros(len(codes), dtype=np.int64), nothing + 1, nothing, 0
    near, cosine = nearest.rows[:, :asked], nearest.cosine[:, :asked]
    near = np.where(near < 0, np.arange(len(codes))[:, None], near)  # an index may find fewer: the image itself
    strangers = (codes[near] != codes[:, None]).sum(axis=1)
    corrected = beliefs[near, codes[:, None]].mean(axis=1)
    return strangers, corrected, np.maximum(cosine, -1).mean(axis=1), asked


def _surprise(probe: ProbeResult, codes: Codes) -> FloatArray:
    own = probe.image_only[np.arange(len(codes)), codes]
    surprise: FloatArray = -np.log(np.clip(own, _CERTAIN, 1))
    return surprise


def _log_odds(probability: FloatArray) -> FloatArray:
    clipped = np.clip(probability, _LEAST, 1 - _LEAST)
    odds: FloatArray = np.log(clipped / (1 - clipped))
    return odds


def _category_means(values: FloatArray, codes: Codes, categories: int) -> FloatArray:
    sums = np.bincount(codes, weights=values, minlength=categories)
    means: FloatArray = (sums / np.maximum(np.bincount(codes, minlength=categories), 1)).astype(np.float32)
    return means

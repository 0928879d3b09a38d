"""Sample weights: how like the other images of its category an image is, relative to what is usual there.

SimTrans (NeurIPS 2021), methods A.2.5: w_i = mean over j of (s_ij + s_ji) / 2, then divided by its mean over the category.
"""

from __future__ import annotations

import numpy as np

from curation.config import ScoringConfig
from curation.similarity.network import SimilarityNetwork
from curation.similarity.scoring import both_orders
from curation.values import FloatArray


def sample_weights(
    similarity: FloatArray, *, symmetric: bool = True, top_share: float = 1.0, self_pairs: bool = False
) -> FloatArray:
    """Weights (L,), mean 1, of the L images of one category from their ordered pair similarities s_ij (L, L), [0, 1].

    `symmetric` averages rows and columns (published `savg`), else rows only (`avg`). Of every row the floor(`top_share` *
    partners) most similar partners are averaged, at least one (rho). `self_pairs` counts s_ii as a partner, as published;
    without it weights are sharper in small categories. A single image without self pairs has weight 1.
    """
    if self_pairs:
        partners = similarity
        mean = _top_mean(partners, top_share)
        return normalise_weights((mean + _top_mean(partners.T, top_share)) / 2 if symmetric else mean)
    if len(similarity) < 2:
        return np.ones(len(similarity), dtype=np.float32)
    mean = _top_mean(_off_diagonal(similarity), top_share)
    return normalise_weights((mean + _top_mean(_off_diagonal(similarity.T), top_share)) / 2 if symmetric else mean)


def normalise_weights(own_similarity: FloatArray) -> FloatArray:
    """Own-category mean similarities (L,) >= 0 over their mean: mean 1; all ones where they are all zero."""
    total = own_similarity.mean(dtype=np.float64) if len(own_similarity) else 0.0
    if total <= 0:
        return np.ones(len(own_similarity), dtype=np.float32)
    weights: FloatArray = (own_similarity / total).astype(np.float32)
    return weights


def mean_without_self(similarity: FloatArray) -> FloatArray:
    """Mean over the other images of (s_ij + s_ji) / 2: (L,), NaN for a single image."""
    count = len(similarity)
    if count < 2:
        return np.full(count, np.nan, dtype=np.float32)
    both = similarity.sum(axis=1, dtype=np.float64) + similarity.sum(axis=0, dtype=np.float64)
    means: FloatArray = ((both / 2 - similarity.diagonal()) / (count - 1)).astype(np.float32)
    return means


def sampled_own_similarity(
    network: SimilarityNetwork, embeddings: FloatArray, scoring: ScoringConfig, *, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Own-category mean similarity (L,) of a large category, estimated from sampled partners, and its standard error (L,).

    All L images are compared with the same `scoring.exact_up_to` images, drawn without replacement; an image that is among
    them is left out of its own mean. Unbiased; the error carries the finite-population correction sqrt(1 - n / (L - 1)).
    """
    count = len(embeddings)
    drawn = np.sort(np.random.default_rng(seed).choice(count, scoring.exact_up_to, replace=False))
    partner_of = np.full(count, -1)
    partner_of[drawn] = np.arange(len(drawn))
    mean, error = (np.empty(count, dtype=np.float32) for _ in range(2))
    rows_at_once = max(1, (scoring.memory_mib << 20) // 4 // (8 * len(drawn)))
    for start in range(0, count, rows_at_once):
        rows = slice(start, start + rows_at_once)
        similarity = both_orders(
            network,
            embeddings[rows],
            embeddings[drawn],
            memory_mib=scoring.memory_mib // 2,
            precision=scoring.precision,
            device=scoring.device,
        ).astype(np.float64)
        itself = partner_of[rows]
        inside = np.flatnonzero(itself >= 0)
        similarity[inside, itself[inside]] = np.nan
        partners = len(drawn) - (itself >= 0)
        mean[rows] = np.nanmean(similarity, axis=1)
        correction = np.sqrt(np.maximum(0.0, 1 - partners / (count - 1)))
        error[rows] = np.nanstd(similarity, axis=1, ddof=1) / np.sqrt(partners) * correction
    return mean, error


def _top_mean(partners: FloatArray, top_share: float) -> FloatArray:
    """Mean of the floor(`top_share` * columns) largest entries of every row, at least one."""
    kept = max(1, int(top_share * partners.shape[1])) if partners.size else 0
    if kept < partners.shape[1]:
        partners = np.partition(partners, -kept, axis=1)[:, -kept:]
    means: FloatArray = partners.mean(axis=1, dtype=np.float64)
    return means


def _off_diagonal(similarity: FloatArray) -> FloatArray:
    """(L, L) without its diagonal: (L, L - 1)."""
    count = len(similarity)
    return similarity[~np.eye(count, dtype=bool)].reshape(count, count - 1)

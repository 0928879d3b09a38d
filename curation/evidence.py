"""The evidence of a set of categories: how like its own and the other categories each sample is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypedDict
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from curation.config import ScoringConfig, WeightsConfig
from curation.evidence_columns import EvidenceColumns
from curation.progress import Progress, silent
from curation.similarity.compared import KeptCompared
from curation.similarity.folded import Precision
from curation.similarity.metric_view import MetricView
from curation.similarity.nearest_categories import nearest_category_similarities
from curation.similarity.network import SimilarityNetwork
from curation.similarity.scoring import ScoringProgress, both_orders, mean_similarities, pair_similarities
from curation.values import FloatArray
from curation.weights import normalise_weights, own_similarity, sample_weights, sampled_own_similarity

KEPT_NEAREST = 9  # a reviewer picks the n-th likely category with one digit
# On 88 categories of CIFAR-100 with 30 % noise the 32 nearest hold 99.9 % of the nine most similar ones and always the
# best other one; 16 hold 95 % and 99.8 %.
_COMPARED_CATEGORIES = 32
_SORTED_AT_ONCE = 4096  # samples: 8 MB of 250 categories

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Own:
    """How like its own category each sample is: arrays (N,), NaN where there is no other image or no error."""

    weight: FloatArray
    weight_error: FloatArray
    similarity: FloatArray
    cosine: FloatArray


def find_evidence(
    network: SimilarityNetwork,
    sample_ids: Sequence[str],
    categories: Sequence[str],
    embeddings: FloatArray,
    *,
    scoring: ScoringConfig,
    weights: WeightsConfig,
    kept: KeptCompared | None = None,
    progress: Progress = silent,
) -> EvidenceColumns:
    """Evidence of N samples with unit-norm `embeddings` (N, D), compared with each other and with nothing else.

    Own-category pairs are all compared up to `scoring.exact_up_to` images of a category; beyond, with a random sample
    of them. Another category is represented by at most `scoring.partners` of its images, drawn by its name, so that a
    number does not depend on which other categories there are; of many, only the nearest are compared, and what is
    `kept` of earlier comparisons is not made again.
    """
    names = sorted(set(categories))
    code = {name: number for number, name in enumerate(names)}
    codes = np.array([code[category] for category in categories], dtype=np.int64)
    some = network.head == "metric" and len(names) > _COMPARED_CATEGORIES  # compared with some categories only
    view = MetricView(network, embeddings, scoring.device) if some else None
    pairs = view or _PairByPair(network, embeddings, _bounds(scoring))
    own = _own_category(pairs, embeddings, codes, names, scoring, weights, progress)
    drawn = [_draw(np.flatnonzero(codes == number), scoring.partners, name) for number, name in enumerate(names)]

    def tell(done: int, total: int) -> None:
        progress("other categories", done, total)

    similarity = (
        _all_categories(network, embeddings, codes, drawn, scoring, tell)
        if view is None
        else nearest_category_similarities(
            view, sample_ids, codes, names, drawn, _COMPARED_CATEGORIES, kept=kept, progress=tell
        )
    )
    similarity[np.arange(len(codes)), codes] = own.similarity
    nearest, known = _most_similar(similarity)
    return EvidenceColumns(sample_ids, own.weight, own.weight_error, own.similarity, own.cosine, names, nearest, known)


def mean_cosine(embeddings: FloatArray) -> FloatArray:
    """Mean cosine, [-1, 1], of each of N unit-norm embeddings (N, D) to the other N - 1; NaN for a single one."""
    if len(embeddings) < 2:
        return np.full(len(embeddings), np.nan, dtype=np.float32)
    total = embeddings.sum(axis=0, dtype=np.float64)
    means: FloatArray = ((embeddings @ total - 1) / (len(embeddings) - 1)).astype(np.float32)
    return means


class _Pairs(Protocol):
    """What compares samples of one set, named by their rows."""

    def similarities(self, rows: Indices, columns: Indices) -> FloatArray:
        """s(row, column), one order: float32 (R, C)."""
        ...

    def both_orders(self, rows: Indices, columns: Indices) -> FloatArray:
        """The mean of both orders: float32 (R, C)."""
        ...


@dataclass(frozen=True, slots=True)
class _PairByPair:
    """Through the network anew for every question."""

    network: SimilarityNetwork
    embeddings: FloatArray
    bounds: _Bounds

    def similarities(self, rows: Indices, columns: Indices) -> FloatArray:
        return pair_similarities(self.network, self.embeddings[rows], self.embeddings[columns], **self.bounds)

    def both_orders(self, rows: Indices, columns: Indices) -> FloatArray:
        return both_orders(self.network, self.embeddings[rows], self.embeddings[columns], **self.bounds)


def _own_category(
    pairs: _Pairs,
    embeddings: FloatArray,
    codes: Indices,
    names: Sequence[str],
    scoring: ScoringConfig,
    weights: WeightsConfig,
    progress: Progress,
) -> _Own:
    own = _Own(*(np.full(len(codes), np.nan, dtype=np.float32) for _ in range(4)))
    for number, name in enumerate(names):
        rows = np.flatnonzero(codes == number)
        own.cosine[rows] = mean_cosine(embeddings[rows])
        if len(rows) <= scoring.exact_up_to:
            similarity = pairs.similarities(rows, rows)
            own.weight[rows] = sample_weights(similarity, **weights.model_dump())
            if len(rows) > 1:
                own.similarity[rows] = own_similarity(similarity)
        else:
            estimate = sampled_own_similarity(
                partial(_to_drawn, pairs, rows), len(rows), scoring.exact_up_to, seed=crc32(name.encode())
            )
            own.similarity[rows] = estimate.mean
            own.weight[rows] = normalise_weights(estimate.mean)
            own.weight_error[rows] = estimate.standard_error / max(float(estimate.mean.mean()), 1e-12)
        progress("own category", number + 1, len(names))
    return own


def _all_categories(
    network: SimilarityNetwork,
    embeddings: FloatArray,
    codes: Indices,
    drawn: Sequence[Indices],
    scoring: ScoringConfig,
    tell: ScoringProgress,
) -> FloatArray:
    """Mean similarity (N, C) of every sample to the partners `drawn` from every category, itself left out."""
    partners = np.concatenate(drawn)
    self_index = np.full(len(codes), -1, dtype=np.int64)
    self_index[partners] = np.arange(len(partners))
    return mean_similarities(
        network,
        embeddings,
        embeddings[partners],
        codes[partners],
        self_index=self_index,
        n_categories=len(drawn),
        **_bounds(scoring),
        progress=tell,
    )


def _to_drawn(pairs: _Pairs, members: Indices, rows: slice, drawn: Indices) -> FloatArray:
    return pairs.both_orders(members[rows], members[drawn])


class _Bounds(TypedDict):
    memory_mib: int
    precision: Precision
    device: str


def _bounds(scoring: ScoringConfig) -> _Bounds:
    return _Bounds(memory_mib=scoring.memory_mib, precision=scoring.precision, device=scoring.device)


def _draw(rows: Indices, most: int, name: str) -> Indices:
    """At most `most` of `rows`, the same ones for the same category name and rows."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(crc32(name.encode())).choice(rows, most, replace=False))


def _most_similar(similarity: FloatArray) -> tuple[Indices, FloatArray]:
    """The most similar categories of each sample and how similar they are, (N, K) each; -1 and NaN where unknown."""
    kept = min(KEPT_NEAREST, similarity.shape[1])
    nearest = np.empty((len(similarity), kept), dtype=np.int64)
    for start in range(0, len(nearest), _SORTED_AT_ONCE):
        some = slice(start, start + _SORTED_AT_ONCE)
        nearest[some] = np.argsort(-similarity[some], axis=1, kind="stable")[:, :kept]  # NaN comes last
    known = np.take_along_axis(similarity, nearest, axis=1)
    nearest[np.isnan(known)] = -1
    return nearest, known

"""The evidence of many samples as columns: what is made and read as arrays need not be a hundred thousand objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.values import CategorySimilarity, Evidence, FloatArray


@dataclass(frozen=True, slots=True)
class EvidenceColumns:
    """`Evidence` of N samples; arrays are of shape (N,), NaN where `Evidence` has `None`.

    `nearest` (N, K) holds positions in `categories`, most similar first, -1 where there are fewer than K; `similarity`
    (N, K) is NaN there.
    """

    sample_ids: Sequence[str]
    weight: FloatArray
    weight_error: FloatArray
    own_similarity: FloatArray
    own_cosine: FloatArray
    categories: Sequence[str]
    nearest: NDArray[np.int64]
    similarity: FloatArray

    def of(self, rows: Sequence[int] | NDArray[np.int64]) -> EvidenceColumns:
        """The evidence of the samples in these rows."""
        chosen = np.asarray(rows, dtype=np.int64)
        return EvidenceColumns(
            [self.sample_ids[row] for row in chosen.tolist()],
            self.weight[chosen],
            self.weight_error[chosen],
            self.own_similarity[chosen],
            self.own_cosine[chosen],
            self.categories,
            self.nearest[chosen],
            self.similarity[chosen],
        )

    def rows(self) -> list[Evidence]:
        """One value a sample."""
        columns = (self.weight, self.weight_error, self.own_similarity, self.own_cosine)
        weights, errors, similarities, cosines = (column.tolist() for column in columns)
        near, how = self.nearest.tolist(), self.similarity.tolist()
        return [
            Evidence(
                sample_id,
                weights[row],
                _known(errors[row]),
                _known(similarities[row]),
                _known(cosines[row]),
                tuple(
                    CategorySimilarity(self.categories[code], similarity)
                    for code, similarity in zip(near[row], how[row], strict=True)
                    if code >= 0
                ),
            )
            for row, sample_id in enumerate(self.sample_ids)
        ]


def evidence_columns_of(evidence: Sequence[Evidence]) -> EvidenceColumns:
    """The other way: columns of the values of N samples."""
    names = list(dict.fromkeys(near.category for item in evidence for near in item.nearest))
    code = {name: number for number, name in enumerate(names)}
    shape = (len(evidence), max((len(item.nearest) for item in evidence), default=0))
    nearest, similarity = np.full(shape, -1, dtype=np.int64), np.full(shape, np.nan, dtype=np.float32)
    for row, item in enumerate(evidence):
        for rank, near in enumerate(item.nearest):
            nearest[row, rank], similarity[row, rank] = code[near.category], near.similarity

    def column(name: str) -> FloatArray:
        return np.array([getattr(item, name) for item in evidence], dtype=np.float32)  # None becomes NaN

    return EvidenceColumns(
        [item.sample_id for item in evidence],
        column("weight"),
        column("weight_error"),
        column("own_similarity"),
        column("own_cosine"),
        names,
        nearest,
        similarity,
    )


def _known(value: float) -> float | None:
    return None if value != value else value  # NaN alone differs from itself

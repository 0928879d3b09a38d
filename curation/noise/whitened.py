"""Embeddings seen through base categories: rows in which images of one category vary alike in all directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.noise.probe import Codes
from curation.similarity.split import CategorisedImages
from curation.similarity.whitening import fit_whitening
from curation.values import FloatArray

# AUROC of the probe with shrinkage 0.3 / 1 / 3 is the same within 0.002 on birds: nothing to choose.
_SHRINKAGE = 1.0


@dataclass(frozen=True, slots=True)
class BaseView:
    """Centre (D,) and whitening (D, P) of base categories, and rows (M, P) of some of their images for contrast."""

    centre: FloatArray
    whitening: FloatArray
    contrast: FloatArray

    def rows(self, embeddings: FloatArray) -> FloatArray:
        """Whitened embeddings (N, P) of norm 1."""
        rows: FloatArray = ((embeddings - self.centre) @ self.whitening).astype(np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return rows


def base_view(base: CategorisedImages, contrast: int, generator: np.random.Generator) -> BaseView:
    """Fit to all base images; about `contrast` of them, as evenly over the categories as they allow, are kept."""
    centre, whitening = fit_whitening(base.embeddings, base.codes, _SHRINKAGE, base.embeddings.shape[1])
    view = BaseView(centre, whitening, np.zeros((0, whitening.shape[1]), dtype=np.float32))
    return BaseView(centre, whitening, view.rows(base.embeddings[_evenly(base.codes, contrast, generator)]))


def _evenly(codes: Codes, count: int, generator: np.random.Generator) -> Codes:
    """Rows of about `count` images: one of every category in turn, in random order."""
    order = generator.permutation(len(codes))
    turn = np.empty(len(codes), dtype=np.int64)
    for code in np.unique(codes):
        members = order[codes[order] == code]
        turn[members] = np.arange(len(members))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:count])

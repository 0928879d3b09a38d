"""Embeddings with their categories, and which base categories train a network and which judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.errors import SimilarityError
from curation.similarity.network import category_codes
from curation.values import FloatArray

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CategorisedImages:
    """Embeddings (N, D) sorted by category, their category codes (N,) and the names the codes stand for."""

    embeddings: FloatArray
    codes: Codes
    names: tuple[str, ...]

    def only(self, names: Sequence[str]) -> CategorisedImages:
        """The images of some of the categories, with codes of their own."""
        wanted = np.isin(self.codes, [self.names.index(name) for name in names])
        return sorted_images(self.embeddings[wanted], [self.names[code] for code in self.codes[wanted]])


def sorted_images(embeddings: FloatArray, categories: Sequence[str]) -> CategorisedImages:
    if embeddings.ndim != 2 or len(embeddings) != len(categories):
        raise SimilarityError(
            f"expected one category for every row of a matrix of embeddings; got shape {embeddings.shape} "
            f"and {len(categories)} categories.",
            hint="Embed the images again.",
        )
    if not np.isfinite(embeddings).all():
        raise SimilarityError("some embeddings are not finite numbers.", hint="Embed the images again.")
    names, codes = category_codes(categories)
    order = np.argsort(codes, kind="stable")
    rows = np.ascontiguousarray(embeddings[order], dtype=np.float32)
    return CategorisedImages(rows, np.array(codes, dtype=np.int64)[order], tuple(names))


def split_categories(
    base: CategorisedImages, share: float, generator: np.random.Generator
) -> tuple[CategorisedImages, CategorisedImages]:
    """Training and held-out categories; at least two of each, all with at least two images."""
    sizes = np.bincount(base.codes, minlength=len(base.names))
    usable = np.flatnonzero(sizes >= 2)
    if len(usable) < 4:
        raise SimilarityError(
            f"expected at least 4 base categories with 2 or more images (2 to learn from, 2 to judge by), "
            f"got {len(usable)} of {len(base.names)}.",
            hint="Ingest more base categories: any clean, labelled ones of the same kind of image will do.",
        )
    how_many = min(max(2, round(share * len(base.names))), len(usable) - 2)
    held_out = set(generator.choice(usable, size=how_many, replace=False).tolist())
    training = [name for code, name in enumerate(base.names) if code not in held_out]
    return base.only(training), base.only([name for code, name in enumerate(base.names) if code in held_out])


def sample_evenly(images: CategorisedImages, limit: int, generator: np.random.Generator) -> CategorisedImages:
    """At most about `limit` images, as evenly over the categories as they allow (at least two of each)."""
    each = max(2, limit // len(images.names))
    kept = [
        np.sort(generator.permutation(np.flatnonzero(images.codes == code))[:each]) for code in range(len(images.names))
    ]
    return CategorisedImages(images.embeddings[np.concatenate(kept)], images.codes[np.concatenate(kept)], images.names)

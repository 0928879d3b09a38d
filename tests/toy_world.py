"""A world small enough to know: categories are points, images are rendered from them, the web is noisy and has a style.

Methods A.6: prototypes z in R^16, an image is x = 2 W2 tanh(1.6 W1 [z + spread; nuisance]) in R^64 with 16 nuisance
factors. Web images are shifted on the nuisance factors; base and test images are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.values import FloatArray

Codes = NDArray[np.int64]

BASE, NOVEL, OUTLIERS = 40, 10, 60  # categories
OUTLIER = -1  # what an image of none of the novel categories shows

_FACTORS, _NUISANCE, _HIDDEN, _PIXELS = 16, 16, 64, 64
# What A.6 leaves open, chosen so that its own figures come out: 80 images a category with 50 % noise give a small
# network about .61 of the test images, the truth about .96.
_SPREAD = 0.3  # standard deviation of the images of a category around its prototype
_STYLE = 1.0  # standard deviation of a component of the web's shift on the nuisance factors

# Streams of random numbers beside the seed. Not 0: (seed, 0) is what `default_rng(seed)` draws, so that a caller's own
# generator would repeat the prototypes.
_MAKING, _BASE_IMAGES, _TEST_IMAGES = 7001, 7002, 7003


@dataclass(frozen=True, slots=True)
class ToyImages:
    """Images as `pixels` (N, 64), float32, `listed` under a category (N,), `true` what they show; codes from 0."""

    pixels: FloatArray
    listed: Codes
    true: Codes

    @property
    def embeddings(self) -> FloatArray:
        """The pixels with unit norm, (N, 64): what a frozen encoder would give."""
        unit: FloatArray = self.pixels / np.linalg.norm(self.pixels, axis=1, keepdims=True)
        return unit

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return self.listed != self.true


@dataclass(frozen=True, slots=True)
class ToyWorld:
    """Prototypes of base categories (40, 16), novel ones (10, 16) and outliers (60, 16), and how they are rendered."""

    seed: int
    base_prototypes: FloatArray
    novel_prototypes: FloatArray
    outlier_prototypes: FloatArray
    inner: FloatArray
    outer: FloatArray
    style: FloatArray

    def base(self, per_category: int = 40) -> ToyImages:
        """Clean images of the base categories; the same ones at every call."""
        codes = np.repeat(np.arange(BASE), per_category)
        return self._clean(self.base_prototypes, codes, _BASE_IMAGES)

    def test(self, per_category: int = 100) -> ToyImages:
        """Clean images of the novel categories without the web's style; the same ones at every call."""
        codes = np.repeat(np.arange(NOVEL), per_category)
        return self._clean(self.novel_prototypes, codes, _TEST_IMAGES)

    def web(self, per_category: int, noise: float, generator: np.random.Generator) -> ToyImages:
        """`per_category` images listed under each novel category, in the web's style; the share `noise` is wrong.

        Half of these show another novel category, half an outlier; every category has as many, the odd one a flip.
        """
        wrong = round(noise * per_category)
        outliers = wrong // 2
        listed = np.repeat(np.arange(NOVEL), per_category)
        rank = np.tile(np.arange(per_category), NOVEL)
        flipped = (listed + generator.integers(1, NOVEL, len(listed))) % NOVEL
        true = np.where(rank < outliers, OUTLIER, np.where(rank < wrong, flipped, listed))
        strangers = generator.integers(0, OUTLIERS, len(listed))
        shown = np.where((true == OUTLIER)[:, None], self.outlier_prototypes[strangers], self.novel_prototypes[true])
        return ToyImages(self._render(shown, generator, self.style), listed, true)

    def category_vectors(self, noise: float, generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Unit-norm vectors of base (40, 16) and novel categories (10, 16): prototypes and noise of that deviation."""
        prototypes = np.concatenate([self.base_prototypes, self.novel_prototypes])
        vectors = prototypes + noise * generator.normal(size=prototypes.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        base, novel = np.split(vectors.astype(np.float32), [BASE])
        return base, novel

    def _clean(self, prototypes: FloatArray, codes: Codes, stream: int) -> ToyImages:
        generator = np.random.default_rng((self.seed, stream))
        return ToyImages(self._render(prototypes[codes], generator, np.zeros_like(self.style)), codes, codes)

    def _render(self, shown: FloatArray, generator: np.random.Generator, style: FloatArray) -> FloatArray:
        factors = shown + _SPREAD * generator.normal(size=shown.shape)
        nuisance = style + generator.normal(size=(len(shown), _NUISANCE))
        pixels: FloatArray = 2 * np.tanh(1.6 * np.hstack([factors, nuisance]) @ self.inner) @ self.outer
        return pixels.astype(np.float32)


def make_world(seed: int) -> ToyWorld:
    """A world of its own for every seed."""
    generator = np.random.default_rng((seed, _MAKING))

    def drawn(*shape: int, scale: float = 1.0) -> FloatArray:
        return (scale * generator.normal(size=shape)).astype(np.float32)

    return ToyWorld(
        seed=seed,
        base_prototypes=drawn(BASE, _FACTORS),
        novel_prototypes=drawn(NOVEL, _FACTORS),
        outlier_prototypes=drawn(OUTLIERS, _FACTORS),
        inner=drawn(_FACTORS + _NUISANCE, _HIDDEN, scale=(_FACTORS + _NUISANCE) ** -0.5),
        outer=drawn(_HIDDEN, _PIXELS, scale=_HIDDEN**-0.5),
        style=drawn(_NUISANCE, scale=_STYLE),
    )

"""How good predictions are: pure functions of probabilities (N, C) and codes (N,) of the true categories.

`probabilities`: float, rows sum to 1. `codes`: integers in [0, C). Nothing here knows what an image is; every formula
stands as plain loops in `tests/reference.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from curation.noise.model import calibration_error, reliability

Codes = NDArray[np.int64]
Probabilities = NDArray[np.floating]
Flags = NDArray[np.bool_]

COVERAGE = 0.95  # of every interval here, both ends together
DRAWS = 1_000  # of a bootstrap: the ends of a 95 % interval then wander by a twentieth of its width
BINS = 15  # of the calibration error: Guo et al., ICML 2017
_TINY = 1e-12  # a probability of zero costs 28 nats, not infinitely many: one image may not decide everything


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with a 95 % interval, `low` <= `value` <= `high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """Images whose largest probability fell into one bin: its mean, the share that was right, and their number."""

    confidence: float
    accuracy: float
    images: int


def is_right(probabilities: Probabilities, codes: Codes) -> Flags:
    """Whether the most probable category, the first among equals, is the true one: bool, shape (N,)."""
    return np.asarray(_checked(probabilities, codes).argmax(axis=1) == codes)


def top_accuracy(probabilities: Probabilities, codes: Codes, k: int) -> float:
    """Share of images with fewer than `k` categories more probable than the true one; ties go to the smaller code."""
    own = _own(probabilities, codes)[:, None]
    before = np.arange(probabilities.shape[1]) < codes[:, None]
    ahead = (probabilities > own) | ((probabilities == own) & before)
    return float((ahead.sum(axis=1) < k).mean())


def confusion(probabilities: Probabilities, codes: Codes) -> NDArray[np.int64]:
    """Counts (C, C): rows are true categories, columns predicted ones."""
    size = probabilities.shape[1]
    predicted = _checked(probabilities, codes).argmax(axis=1)
    return np.bincount(codes * size + predicted, minlength=size * size).reshape(size, size).astype(np.int64)


def negative_log_likelihood(
    probabilities: Probabilities, codes: Codes, weights: NDArray[np.floating] | None = None
) -> float:
    """Weighted mean of -ln p(true category), in nats."""
    losses = -np.log(np.maximum(_own(probabilities, codes).astype(np.float64), _TINY))
    return float(np.average(losses, weights=weights))


def confidence_bins(probabilities: Probabilities, codes: Codes, bins: int = BINS) -> tuple[ConfidenceBin, ...]:
    """Confidence against accuracy in the equally wide bins that have images, least confident first."""
    found = reliability(~is_right(probabilities, codes), _doubt(probabilities), bins)
    return tuple(ConfidenceBin(1 - item.predicted, 1 - item.wrong, item.images) for item in reversed(found))


def expected_calibration_error(probabilities: Probabilities, codes: Codes, bins: int = BINS) -> float:
    """Mean distance of confidence and accuracy over `bins` equally wide bins (Naeini et al., AAAI 2015), [0, 1]."""
    return float(calibration_error(~is_right(probabilities, codes), _doubt(probabilities), bins))


def category_rates(right: Flags, codes: Codes, categories: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(images right, images) of every category, each shape (C,)."""
    images = np.bincount(codes, minlength=categories).astype(np.int64)
    return np.bincount(codes[right], minlength=categories).astype(np.int64), images


def accuracy_interval(right: Flags, seed: int = 0) -> Interval:
    """Accuracy with a bootstrap interval over images; Wilson's where all are right or all wrong, since then every draw
    is the same and the bootstrap would be certain of it."""
    if right.all() or not right.any():
        return wilson_interval(int(right.sum()), len(right))
    return bootstrap_interval(right.astype(np.float64), seed)


def balanced_interval(right: Flags, codes: Codes, categories: int, seed: int = 0) -> Interval:
    """Mean accuracy of the categories that have images, with a bootstrap that draws within each category."""
    hits, images = category_rates(right, codes, categories)
    hits, images = hits[images > 0], images[images > 0]
    rates = hits / images
    draws = np.random.default_rng(seed).binomial(images, rates, (DRAWS, len(images))) / images
    return _percentiles(float(rates.mean()), draws.mean(axis=1))


def bootstrap_interval(values: NDArray[np.floating], seed: int = 0, draws: int = DRAWS) -> Interval:
    """Mean of `values` (N,) with the percentile interval of its bootstrap (Efron 1979); the same for the same seed."""
    if not len(values):
        raise ValueError("a mean needs at least one value")
    random = np.random.default_rng(seed)
    means = np.array([values[random.integers(0, len(values), len(values))].mean() for _ in range(draws)])
    return _percentiles(float(values.mean()), means)


def wilson_interval(hits: int, total: int) -> Interval:
    """A share with Wilson's score interval (1927): holds for few images and at shares of 0 and 1, where others fail."""
    if not 0 <= hits <= total or total == 0:
        raise ValueError(f"{hits} of {total} is no share")
    z = float(ndtri((1 + COVERAGE) / 2))
    share, widened = hits / total, 1 + z * z / total
    middle = (share + z * z / (2 * total)) / widened
    reach = z / widened * float(np.sqrt(share * (1 - share) / total + z * z / (4 * total * total)))
    return Interval(share, min(share, max(0.0, middle - reach)), max(share, min(1.0, middle + reach)))


def _percentiles(value: float, draws: NDArray[np.floating]) -> Interval:
    low, high = np.quantile(draws, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return Interval(value, min(value, float(low)), max(value, float(high)))


def _doubt(probabilities: Probabilities) -> NDArray[np.float32]:
    """Probability that the most probable category is wrong."""
    doubt: NDArray[np.float32] = np.clip(1 - probabilities.max(axis=1).astype(np.float64), 0, 1).astype(np.float32)
    return doubt


def _own(probabilities: Probabilities, codes: Codes) -> Probabilities:
    own: Probabilities = _checked(probabilities, codes)[np.arange(len(codes)), codes]
    return own


def _checked(probabilities: Probabilities, codes: Codes) -> Probabilities:
    """What was given, or a `ValueError` where the shapes do not fit or a code is no category."""
    if probabilities.ndim != 2 or codes.shape != probabilities.shape[:1] or not len(codes):
        raise ValueError(
            f"expected probabilities (N, C) and codes (N,), N > 0, got {probabilities.shape} and {codes.shape}"
        )
    if codes.min() < 0 or codes.max() >= probabilities.shape[1]:
        raise ValueError(f"codes lie in [0, {probabilities.shape[1]}), got some from {codes.min()} to {codes.max()}")
    return probabilities

"""How wrong a set of samples is expected to be, given their noise probabilities, and how sure that is.

Two things are uncertain. *Sampling*: given the probabilities, which samples are wrong is still chance; the number of
wrong ones is Poisson-binomial. It is bounded by the binomial with the same mean, which is never narrower on the outside
of its mean (Hoeffding 1956, Theorem 5), is exact near 0, and is close where all probabilities are small, as in a kept
set. *Calibration*: all probabilities may be too low or too high. This is told as a shift of their log-odds (Cox 1958,
"calibration in the large"), which is what another noise rate than the model reckoned with does to its probabilities: a
set of trusted samples is then not charged with errors that were made on doubtful ones. That trusted samples alone are
misjudged it cannot tell: only an audit of just those samples can.

Both are taken at their ends of a 90 % interval, in the same direction: the interval errs on the wide side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import binom

Probabilities = NDArray[np.float64]

LEVEL = 0.90  # of every interval here, as for the noise rates of categories; each side misses 5 %
UPPER = (1 + LEVEL) / 2
_SURE = 1e-4  # no noise model here has seen ten thousand images of one kind, so none may be surer than this
_LARGEST_SHIFT = 50.0  # log-odds; beyond, every probability is 0 or 1


@dataclass(frozen=True, slots=True)
class NoiseForecast:
    """Expected share of wrong samples, [0, 1], with a 90 % interval [`low`, `high`]."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """By how much the log-odds of noise probabilities are to be shifted: best guess, and a 90 % interval.

    -inf and inf stand for "none is wrong" and "all are wrong". `source` says in words where it comes from.
    """

    low: float
    middle: float
    high: float
    source: str


EXACT = Calibration(0.0, 0.0, 0.0, "taken as exact")


def shifted(probabilities: ArrayLike, shift: float) -> Probabilities:
    """Probabilities with `shift` added to their log-odds; those nearer to 0 or 1 than 1e-4 count as 1e-4 away."""
    known = np.clip(np.asarray(probabilities, dtype=np.float64), _SURE, 1 - _SURE)
    moved: Probabilities = expit(logit(known) + shift)
    return moved


def shift_to_mean(probabilities: ArrayLike, mean: float) -> float:
    """The shift after which `probabilities` have this mean; -inf and inf where it is 0 or less, 1 or more."""
    known = np.asarray(probabilities, dtype=np.float64)
    if mean <= shifted(known, -_LARGEST_SHIFT).mean():
        return float("-inf")
    if mean >= shifted(known, _LARGEST_SHIFT).mean():
        return float("inf")
    return float(brentq(lambda shift: shifted(known, shift).mean() - mean, -_LARGEST_SHIFT, _LARGEST_SHIFT))


def calibration_from_error(probabilities: ArrayLike, calibration_error: float) -> Calibration:
    """What the noise model says of itself: the mean of `probabilities` is off by at most `calibration_error`.

    `probabilities` are those of all novel samples, [0, 1], shape (N,); `calibration_error`, [0, 1], is an absolute
    error of their mean, taken as half the width of a 90 % interval.
    """
    known = np.asarray(probabilities, dtype=np.float64)
    if len(known) == 0:
        return EXACT
    mean = shifted(known, 0.0).mean()
    return Calibration(
        shift_to_mean(known, mean - calibration_error),
        0.0,
        shift_to_mean(known, mean + calibration_error),
        f"the noise model's mean probability may be off by {calibration_error:g}",
    )


def calibration_from_audit(
    probabilities: ArrayLike, *, wrong: int, decided: int, noise_low: float, noise_high: float, source: str
) -> Calibration:
    """What a random sample found: the shift that makes the model expect as many wrong ones as there are.

    `probabilities`, shape (n,), are what the model says now of the samples drawn (equally likely each, so they need no
    weights). Of those `decided` on, `wrong` were found wrong; the noise of what they were drawn from lies in
    [`noise_low`, `noise_high`] with 90 %. The best guess counts half an error more, so that none found does not mean
    none there.
    """
    known = np.asarray(probabilities, dtype=np.float64)
    middle = (wrong + 0.5) / (decided + 1)
    return Calibration(
        shift_to_mean(known, noise_low), shift_to_mean(known, middle), shift_to_mean(known, noise_high), source
    )


def surer_calibration(model: Calibration, audit: Calibration) -> Calibration:
    """What was measured (`audit`), unless its interval contains the model's: so small an audit says nothing new."""
    return model if audit.low <= model.low and audit.high >= model.high else audit


def forecast_noise(probabilities: ArrayLike, calibration: Calibration, *, confirmed: int = 0) -> NoiseForecast:
    """The noise of a set: undecided samples with these noise probabilities, and `confirmed` ones that are right."""
    known = np.asarray(probabilities, dtype=np.float64)
    undecided, total = len(known), len(known) + confirmed
    if undecided == 0:
        return NoiseForecast(0.0, 0.0, 0.0)
    low, middle, high = (
        float(shifted(known, shift).mean()) for shift in (calibration.low, calibration.middle, calibration.high)
    )
    fewest = min(max(binom.ppf(1 - UPPER, undecided, low), 0.0), low * undecided)
    return NoiseForecast(
        expected=middle * undecided / total,
        low=float(fewest) / total,
        high=float(most_wrong(undecided, high)) / total,
    )


def most_wrong(undecided: ArrayLike, mean: ArrayLike) -> NDArray[np.float64]:
    """Upper end of the number of wrong ones among `undecided` samples of this mean probability (same shape each).

    Never below their expected number, which for very few samples can exceed the quantile.
    """
    quantile = binom.ppf(UPPER, undecided, mean)
    most: NDArray[np.float64] = np.maximum(quantile, np.multiply(undecided, mean))
    return most

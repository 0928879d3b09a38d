"""What a number of reviews buys: which samples to look at, and the noise that is left then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation.promise import kept_number
from curation.remaining_noise import Calibration, NoiseForecast, Probabilities, forecast_noise, shifted


@dataclass(frozen=True, slots=True)
class ReviewPlan:
    """What to expect of `reviews` reviews of an export, were each of them right.

    `errors_found` of the `errors` now expected in the export would be found and taken out or corrected. `noise_now` and
    `noise_after` are those of the export's novel samples. `kept_after` is how many samples the same promise is
    expected to keep after the reviews (`None` without a promise): fewer errors leave room for less trusted samples.
    """

    reviews: int
    errors: float
    errors_found: float
    noise_now: NoiseForecast
    noise_after: NoiseForecast
    kept_after: int | None


def samples_to_review(probabilities: ArrayLike, budget: int) -> NDArray[np.int64]:
    """Positions of the `budget` undecided samples whose review takes most errors out of the set, best first.

    A review of a sample that is in the set removes its noise probability from the expected number of errors; that of
    one already set aside removes none. So: the highest probabilities among those kept.
    """
    known = np.asarray(probabilities, dtype=np.float64)
    return np.argsort(-known, kind="stable")[:budget]


def plan_reviews(
    kept: ArrayLike,
    budget: int,
    calibration: Calibration,
    *,
    confirmed: int = 0,
    promise: float | None = None,
    set_aside: ArrayLike = (),
) -> ReviewPlan:
    """What `budget` reviews of the most suspicious of the `kept` would give.

    `kept` and `set_aside`: noise probabilities, [0, 1], of the undecided samples that the export keeps, and of those
    that it set aside for their noise; `confirmed`: kept samples that a person has confirmed.
    """
    known = np.asarray(kept, dtype=np.float64)
    reviewed = samples_to_review(known, budget)
    rest = np.delete(known, reviewed)
    expected = shifted(known, calibration.middle)
    found = float(expected[reviewed].sum())
    confirmed_after = confirmed + round(len(reviewed) - found)
    return ReviewPlan(
        reviews=len(reviewed),
        errors=float(expected.sum()),
        errors_found=found,
        noise_now=forecast_noise(known, calibration, confirmed=confirmed),
        noise_after=forecast_noise(rest, calibration, confirmed=confirmed_after),
        kept_after=_kept_after(rest, set_aside, promise, calibration, confirmed_after),
    )


def _kept_after(
    rest: Probabilities, set_aside: ArrayLike, promise: float | None, calibration: Calibration, confirmed: int
) -> int | None:
    if promise is None:
        return None
    undecided = np.sort(np.concatenate([rest, np.asarray(set_aside, dtype=np.float64)]))
    number = kept_number(undecided, promise, calibration, confirmed=confirmed)
    return None if number is None else confirmed + number


def review_budget_curve(
    probabilities: ArrayLike,
) -> tuple[NDArray[np.int64], Probabilities, Probabilities]:
    """What each number of reviews is expected to give, most suspicious samples first, were each review right.

    `probabilities`: noise probabilities, [0, 1], shape (N,). Returns `reviews` 0 to N, the share of the expected errors
    that are found by then, and the noise of what remains (wrong ones taken out), each of shape (N + 1,). Where no error
    is expected the share is 1 throughout, and the noise of nothing is 0.
    """
    descending = np.sort(np.asarray(probabilities, dtype=np.float64))[::-1]
    found = np.concatenate([[0.0], np.cumsum(descending)])
    errors = found[-1]
    remaining = len(descending) - found
    noise = np.divide(errors - found, remaining, out=np.zeros_like(found), where=remaining > 0)
    share = found / errors if errors > 0 else np.ones_like(found)
    return np.arange(len(found)), share, np.clip(noise, 0.0, 1.0)

"""A promise, "at most 2 % wrong in the export", becomes a threshold on noise probabilities, or is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr

from curation.errors import ExportError, PromiseError
from curation.remaining_noise import (
    UPPER,
    Calibration,
    NoiseForecast,
    Probabilities,
    forecast_noise,
    most_wrong,
    shifted,
)

FEWEST_KEPT = 20  # fewer images train nothing, and of so few a share of some per cent cannot be told
_GRID = 512  # sizes at which the best promise is looked for, spread evenly in their logarithm: within 3 % of each other
_PROMISE = re.compile(r"\s*noise\s*<=\s*(?P<number>\d+\.?\d*|\.\d+)\s*(?P<percent>%?)\s*")


@dataclass(frozen=True, slots=True)
class PromiseStatement:
    """What was promised of the novel samples of an export, and what to expect of it.

    `candidates` = `kept` + `set_aside` are the samples that nothing but their noise speaks against; `confirmed` of the
    kept ones are a person's word and count as right. Undecided ones are kept up to noise probability `threshold`
    (`None` where all or none of them are kept); of several exactly at it only the first by sample id may be. `noise` is
    that of the kept. `precision` is the expected share of wrong ones among those set aside, `recall` the expected share
    of the wrong ones that are set aside; `None` where there is nothing to take a share of.
    """

    promise: float
    threshold: float | None
    candidates: int
    kept: int
    confirmed: int
    set_aside: int
    noise: NoiseForecast
    precision: float | None
    recall: float | None
    calibration: str


def parse_promise(text: str) -> float:
    """The share in "noise<=0.02" or "noise<=2%"; raises `ExportError` for anything else, and outside (0, 1)."""
    match = _PROMISE.fullmatch(text)
    share = float(match["number"]) / (100 if match["percent"] else 1) if match else 0.0
    if not 0 < share < 1:
        raise ExportError(
            f"a promise looks like noise<=0.02 or noise<=2%, with a share between 0 and 1; got {text!r}.",
            hint='Quote it for the shell: --promise "noise<=0.02".',
        )
    return share


def keep_promise(
    probabilities: ArrayLike, promise: float, calibration: Calibration, *, confirmed: int = 0
) -> tuple[NDArray[np.bool_], PromiseStatement]:
    """The largest set of the most trusted samples whose noise is at most `promise` at the upper end of its interval.

    `probabilities`: noise probabilities of the undecided candidates, [0, 1], shape (N,), in an order that settles ties;
    `confirmed`: candidates that a person has confirmed. Returns which of the N are kept, and the statement. Raises
    `PromiseError`, with the best that can be had, when no set of at least 20 samples (or all, if fewer) can be
    promised.
    """
    known = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(known, kind="stable")
    number = kept_number(known[order], promise, calibration, confirmed=confirmed)
    if number is None:
        raise _refused(known[order], promise, calibration, confirmed)
    kept = np.zeros(len(known), dtype=np.bool_)
    kept[order[:number]] = True
    return kept, _statement(known, kept, promise, calibration, confirmed)


def kept_number(
    ascending: Probabilities, promise: float, calibration: Calibration, *, confirmed: int = 0
) -> int | None:
    """How many of the undecided, most trusted first, may be kept; `None` when the set would be too small."""
    numbers = np.arange(1, len(ascending) + 1)
    held = _holds(numbers, np.cumsum(shifted(ascending, calibration.high)) / numbers, confirmed + numbers, promise)
    kept = int(numbers[held][-1]) if held.any() else 0
    return kept if confirmed + kept >= min(FEWEST_KEPT, confirmed + len(ascending)) else None


def _holds(
    undecided: NDArray[np.int64], mean: Probabilities, total: NDArray[np.int64] | Probabilities, promise: float
) -> NDArray[np.bool_]:
    """Whether sets of `total` samples, `undecided` of them with this mean probability, keep the promise.

    The same bound as `most_wrong(undecided, mean) <= promise * total`, asked of the distribution instead of its
    inverse: a million sizes take a second instead of minutes.
    """
    allowed = np.minimum(np.floor(promise * total + 1e-9), undecided)
    held: NDArray[np.bool_] = (undecided * mean <= promise * total) & (bdtr(allowed, undecided, mean) >= UPPER)
    return held


def _statement(
    known: Probabilities, kept: NDArray[np.bool_], promise: float, calibration: Calibration, confirmed: int
) -> PromiseStatement:
    expected = shifted(known, calibration.middle)
    aside = int((~kept).sum())
    return PromiseStatement(
        promise=promise,
        threshold=float(known[kept].max()) if aside and kept.any() else None,
        candidates=confirmed + len(known),
        kept=confirmed + int(kept.sum()),
        confirmed=confirmed,
        set_aside=aside,
        noise=forecast_noise(known[kept], calibration, confirmed=confirmed),
        precision=float(expected[~kept].mean()) if aside else None,
        recall=float(expected[~kept].sum() / expected.sum()) if len(known) else None,
        calibration=calibration.source,
    )


def _refused(ascending: Probabilities, promise: float, calibration: Calibration, confirmed: int) -> PromiseError:
    """What can be had instead, and the work that would make the promise possible."""
    best = _best_promise(ascending, calibration, confirmed)
    kept = None if best is None else kept_number(ascending, best, calibration, confirmed=confirmed)
    said = f"noise<={promise:g} cannot be promised"
    if best is None or kept is None:
        return PromiseError(
            f"{said}, nor any other noise: even the most trusted samples may all be wrong ({calibration.source}).",
            hint="Review samples first, or measure the noise with `curate audit`.",
        )
    reviews = reviews_needed(ascending[:kept], promise, calibration, confirmed)
    return PromiseError(
        f"{said}: the best that can be had is noise<={best:g}, with {confirmed + kept:,} of "
        f"{confirmed + len(ascending):,} samples ({calibration.source}).",
        hint=f"Promise noise<={best:g}; with --budget {reviews} that export lists the {reviews:,} samples whose review "
        "would do. `curate audit` measures how far the noise model is off and can narrow the interval.",
    )


def _best_promise(ascending: Probabilities, calibration: Calibration, confirmed: int) -> float | None:
    """The smallest noise that can be promised, rounded up to two digits; `None` where that would be all of them."""
    fewest = min(FEWEST_KEPT, confirmed + len(ascending)) - confirmed
    numbers = np.unique(np.geomspace(fewest, len(ascending), _GRID).astype(np.int64))
    means = np.cumsum(shifted(ascending, calibration.high))[numbers - 1] / numbers
    smallest = float((most_wrong(numbers, means) / (confirmed + numbers)).min())
    rounded = _rounded_up(smallest)
    return rounded if rounded < 1 else None


def _rounded_up(share: float) -> float:
    """`share` rounded up to two significant digits: a promise that a person would type."""
    if share <= 0:
        return 0.0
    unit = 10.0 ** (floor(log10(share)) - 1)
    return float(f"{ceil(share / unit - 1e-9) * unit:.2g}")


def reviews_needed(ascending: Probabilities, promise: float, calibration: Calibration, confirmed: int) -> int:
    """How many of these, most suspicious first, a perfect review must settle until the rest keeps the promise.

    `ascending`: noise probabilities, [0, 1], shape (N,); `confirmed`: samples that a person has confirmed already.
    """
    rest = np.arange(len(ascending) + 1)
    wrong_at_most = np.concatenate([[0.0], np.cumsum(shifted(ascending, calibration.high))])
    right_of_reviewed = np.cumsum((1 - shifted(ascending, calibration.middle))[::-1])
    totals = confirmed + rest + np.concatenate([[0.0], right_of_reviewed])[::-1]
    held = _holds(rest, wrong_at_most / np.maximum(rest, 1), totals, promise)
    return len(ascending) - int(rest[held][-1])

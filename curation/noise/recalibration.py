"""What people decided changes what the noise model says of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.special import expit

from curation.noise.probe import Codes
from curation.values import Decision, DecisionAction, FloatArray

# How far a review may move the transferred log-odds before it needs many decisions to do so: standard deviations of the
# priors, set by judgement and not tuned. 0.5 of log-odds turns a noise rate of 0.30 into 0.21 or 0.41.
_SHIFT, _CATEGORY_SHIFT, _SLOPE = 0.5, 0.5, 0.2
_ERROR = 0.05  # of the decisions: set by judgement too, and what the annotators of the benchmarks err by
_TINY = 1e-300  # no logarithm of 0, where every decision is taken for true

Parameters = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Decisions on some of N images: `rows` (R,), whether the web category is `wrong` (R,), and what stays `possible`
    of all images, (N, C + 1), the last column for none of the categories.
    """

    rows: NDArray[np.int64]
    wrong: NDArray[np.bool_]
    possible: NDArray[np.bool_]


def reviewed_samples(
    sample_ids: Sequence[str], codes: Codes, names: Sequence[str], decisions: Mapping[str, Decision]
) -> Reviewed | None:
    """The decisions on these samples that say something of the web category; `None` where there are none.

    keep: the web category is right. relabel: the given one is, or none of them where it is no novel category. drop: the
    web category is wrong. unsure says nothing.
    """
    column = {name: code for code, name in enumerate(names)}
    possible = np.ones((len(codes), len(names) + 1), dtype=bool)
    rows, wrong = [], []
    for row, sample_id in enumerate(sample_ids):
        decision = decisions.get(sample_id)
        if decision is None or decision.action in (DecisionAction.UNSURE, DecisionAction.UNDO):
            continue
        right = decision.action is DecisionAction.KEEP or decision.category == names[codes[row]]
        if decision.action is DecisionAction.DROP:
            possible[row, codes[row]] = False
        else:
            shown = codes[row] if right else column.get(str(decision.category), len(names))
            possible[row] = False
            possible[row, shown] = True
        rows.append(row)
        wrong.append(not right)
    return Reviewed(np.array(rows, dtype=np.int64), np.array(wrong, dtype=bool), possible) if rows else None


def recalibrate(log_odds: FloatArray, codes: Codes, categories: int, reviewed: Reviewed) -> FloatArray:
    """Log-odds (N,) with the shift, the slope and the shifts of the categories that the decisions make most probable.

    Maximum a posteriori of Platt scaling (Platt 1999), normal priors around "nothing to correct": few decisions change
    little, many outweigh what was transferred. A decision is an error with the probability `_ERROR`, whatever the image
    shows, so a single slip on an image that is surely wrong says little. `log_odds` must not contain the decision on
    the image itself.
    """
    known, own = log_odds[reviewed.rows].astype(np.float64), codes[reviewed.rows]
    signs = np.where(reviewed.wrong, 1.0, -1.0)

    def loss(parameters: Parameters, error: float) -> tuple[float, Parameters]:
        shift, slope, shifts = parameters[0], parameters[1], parameters[2:]
        agrees = expit(signs * (shift + slope * known + shifts[own]))
        told = error + (1 - 2 * error) * agrees
        prior = (shift / _SHIFT) ** 2 + ((slope - 1) / _SLOPE) ** 2 + ((shifts / _CATEGORY_SHIFT) ** 2).sum()
        pull = -signs * (1 - 2 * error) * agrees * (1 - agrees) / np.maximum(told, _TINY)
        gradient = np.empty_like(parameters)
        gradient[0] = pull.sum() + shift / _SHIFT**2
        gradient[1] = pull @ known + (slope - 1) / _SLOPE**2
        gradient[2:] = np.bincount(own, weights=pull, minlength=categories) + shifts / _CATEGORY_SHIFT**2
        return float(-np.log(np.maximum(told, _TINY)).sum() + prior / 2), gradient

    def lowest(start: Parameters, error: float) -> OptimizeResult:
        bounds = [(None, None), (0.1, None)] + [(None, None)] * categories
        return minimize(loss, start, (error,), jac=True, method="L-BFGS-B", bounds=bounds)

    nothing = np.zeros(categories + 2)
    nothing[1] = 1
    # With errors there may be two minima: near "nothing to correct", and where all decisions are taken for true.
    all_true = lowest(nothing, 0.0).x
    found = min((lowest(start, _ERROR) for start in (nothing, all_true)), key=lambda end: float(end.fun)).x
    corrected: FloatArray = (found[0] + found[1] * log_odds + found[2:][codes]).astype(np.float32)
    return corrected

"""What people decided changes what the noise model says of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from curation.noise.logistic import sigmoid
from curation.noise.probe import Codes
from curation.values import Decision, DecisionAction, FloatArray

# How far a review may move the transferred log-odds before it needs many decisions to do so: standard deviations of the
# priors, set by judgement and not tuned. 0.5 of log-odds turns a noise rate of 0.30 into 0.21 or 0.41.
_SHIFT, _CATEGORY_SHIFT, _SLOPE = 0.5, 0.5, 0.2


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
    little, many outweigh what was transferred. `log_odds` must not contain the decision on the image itself.
    """
    known, own, target = log_odds[reviewed.rows].astype(np.float64), codes[reviewed.rows], reviewed.wrong

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        shift, slope, shifts = parameters[0], parameters[1], parameters[2:]
        corrected = shift + slope * known + shifts[own]
        likelihood = np.logaddexp(0, np.where(target, -corrected, corrected)).sum()
        prior = (shift / _SHIFT) ** 2 + ((slope - 1) / _SLOPE) ** 2 + ((shifts / _CATEGORY_SHIFT) ** 2).sum()
        error = sigmoid(corrected.astype(np.float32)).astype(np.float64) - target
        gradient = np.empty_like(parameters)
        gradient[0] = error.sum() + shift / _SHIFT**2
        gradient[1] = error @ known + (slope - 1) / _SLOPE**2
        gradient[2:] = np.bincount(own, weights=error, minlength=categories) + shifts / _CATEGORY_SHIFT**2
        return float(likelihood + prior / 2), gradient

    start = np.zeros(categories + 2)
    start[1] = 1
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None), (0.1, None)] + [(None, None)] * categories
    ).x
    corrected: FloatArray = (found[0] + found[1] * log_odds + found[2:][codes]).astype(np.float32)
    return corrected

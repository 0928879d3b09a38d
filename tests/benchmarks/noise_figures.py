"""The figures of one method on one task: ranking, flags, calibration, noise rate, suggested categories."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.benchmarks.noise_sets import OUTLIER, Texts

_BINS = 15
_FOUND = (0.8, 0.9, 0.95)  # shares of the errors to be seen

Flags = NDArray[np.bool_]
Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a method says of N images; `None` where it says nothing of the kind.

    `suspicion` (N,): high = probably wrong; a probability where `is_probability`. `flagged` (N,): at the method's own
    threshold. `noise_rate`: where it states one itself; else the share it flags is taken for it. `suggested` (N,): the
    category it thinks right. `remarks`: what else it tells, for the JSON.
    """

    suspicion: Numbers | None = None
    is_probability: bool = False
    flagged: Flags | None = None
    noise_rate: float | None = None
    suggested: Texts | None = None
    remarks: dict[str, Any] | None = None


def figures_of(verdict: Verdict, listed: Texts, true: Texts) -> dict[str, float | None]:
    """All figures of a verdict on images under `listed` (N,) that show `true` (N,)."""
    wrong = listed != true
    return {
        **_ranking(verdict.suspicion, wrong),
        **_flags(verdict.flagged, wrong),
        "ece": expected_calibration_error(wrong, verdict.suspicion)
        if verdict.is_probability and verdict.suspicion is not None
        else None,
        "predicted_noise_rate": _noise_rate(verdict),
        "noise_rate": float(wrong.mean()),
        "suggestion_accuracy_on_flips": suggestion_accuracy(verdict.suggested, listed, true),
    }


def _ranking(suspicion: Numbers | None, wrong: Flags) -> dict[str, float | None]:
    names = ("auroc", "average_precision", "f1_best", "f1_as_many", *(f"open_for_{share:.0%}" for share in _FOUND))
    if suspicion is None:
        return dict.fromkeys(names)
    opened, found = review_curve(wrong, suspicion)
    return dict(
        zip(
            names,
            (
                float(roc_auc_score(wrong, suspicion)),
                float(average_precision_score(wrong, suspicion)),
                best_f1(opened, found),
                f1_as_many(opened, found),
                *(share_to_open(opened, found, share) for share in _FOUND),
            ),
            strict=True,
        )
    )


def _flags(flagged: Flags | None, wrong: Flags) -> dict[str, float | None]:
    if flagged is None:
        return dict.fromkeys(("f1_own", "precision_own", "recall_own"))
    hits = int((flagged & wrong).sum())
    return {
        "f1_own": 2 * hits / max(1, int(flagged.sum() + wrong.sum())),
        "precision_own": hits / max(1, int(flagged.sum())),
        "recall_own": hits / max(1, int(wrong.sum())),
    }


def _noise_rate(verdict: Verdict) -> float | None:
    if verdict.noise_rate is not None or verdict.flagged is None:
        return verdict.noise_rate
    return float(verdict.flagged.mean())


def review_curve(wrong: Flags, suspicion: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images opened and errors found, most suspicious first: (G + 1,) each, from 0, a step for each of G values."""
    order = np.argsort(-suspicion, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(suspicion[order])) + 1, len(order))
    found = np.cumsum(wrong[order])[ends - 1]
    return np.append(0, ends), np.append(0, found)


def best_f1(opened: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """F1 at the best threshold there is, chosen with the truth at hand."""
    return float((2 * found / np.maximum(1, opened + found[-1])).max())


def f1_as_many(opened: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """F1 when as many are flagged as are wrong; of images with equal suspicion a random part, on average."""
    errors = int(found[-1])
    return float(np.interp(errors, opened, found) / errors)


def share_to_open(opened: NDArray[np.int64], found: NDArray[np.int64], share: float) -> float:
    """Share of the images to open until `share` of the errors has been seen, on average over the order of ties.

    The t-th of e errors among g images in random order comes at place t (g + 1) / (e + 1) on average.
    """
    errors = math.ceil(share * int(found[-1]) - 1e-9)
    step = int(np.searchsorted(found, errors))
    images, among = opened[step] - opened[step - 1], found[step] - found[step - 1]
    place = (errors - found[step - 1]) * (images + 1) / (among + 1)
    return float((opened[step - 1] + place) / opened[-1])


def expected_calibration_error(wrong: Flags, probability: Numbers) -> float:
    """Mean distance between predicted and true share of wrong images over 15 equally wide bins, weighted by images."""
    bins = np.minimum((np.asarray(probability, dtype=np.float64) * _BINS).astype(np.int64), _BINS - 1)
    surplus = np.bincount(bins, weights=probability - wrong, minlength=_BINS)
    return float(np.abs(surplus).sum() / len(wrong))


def suggestion_accuracy(suggested: Texts | None, listed: Texts, true: Texts) -> float | None:
    """Share of the flips (wrong, but of a category of the task) for which the true category is suggested."""
    flips = (listed != true) & (true != OUTLIER)
    if suggested is None or not flips.any():
        return None
    return float((suggested == true)[flips].mean())

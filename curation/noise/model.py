"""The noise model: how sure the evidence makes us that a web category is wrong, and what it knows of its own errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.noise.evidence_table import EvidenceTable
from curation.noise.kinship import TaskGeometry
from curation.noise.logistic import Logistic, sigmoid
from curation.noise.probe import Codes
from curation.noise.suggestion import most_probable, other_category
from curation.noise.whitened import BaseView
from curation.values import FloatArray


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Images of made tasks whose predictions fell into one bin: mean prediction, share really wrong, count."""

    predicted: float
    wrong: float
    images: int


@dataclass(frozen=True, slots=True)
class NoiseCalibration:
    """What is known of the errors of the model, from made tasks whose categories it had not seen.

    `auroc`, `average_precision`: means over the tasks. `calibration_error`: expected calibration error over all images.
    `rate_error`: root mean square error of the predicted noise rate of a task. `category_spread`: standard deviation of
    the true noise rate of a category around the predicted one, beyond what drawing its images explains.
    """

    tasks: int
    images: int
    auroc: float
    average_precision: float
    calibration_error: float
    rate_error: float
    category_spread: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Everything that turns a task into probabilities; made by `curation.noise.training`."""

    view: BaseView
    wrong: Logistic
    other_right: Logistic
    neighbours: int
    geometry: TaskGeometry
    calibration: NoiseCalibration


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of N images: P(web category wrong) (N,), the most probable category (N,), -1 for none, and its probability (N,).

    `pieces` (N, F): what each column of evidence adds to the log-odds.
    """

    wrong: FloatArray
    suggested: Codes
    suggested_probability: FloatArray
    pieces: FloatArray


def judge(model: NoiseModel, table: EvidenceTable, codes: Codes, log_odds: FloatArray) -> Judgement:
    """Apply the model where `log_odds` (N,) of being wrong are its own, or corrected by people's decisions."""
    wrong = sigmoid(log_odds)
    other = other_category(table.posterior, codes)
    other_right = sigmoid(model.other_right.log_odds(other.columns))
    suggested, probability = most_probable(wrong, other, other_right, codes)
    return Judgement(wrong, suggested, probability, model.wrong.pieces(table.columns))


def calibration_error(wrong: NDArray[np.bool_], probability: FloatArray, bins: int = 15) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015) over `bins` equally wide bins of probability."""
    return sum(item.images * abs(item.predicted - item.wrong) for item in reliability(wrong, probability, bins)) / len(
        wrong
    )


def reliability(wrong: NDArray[np.bool_], probability: FloatArray, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """Predicted probability against the share really wrong, for the equally wide bins that have images."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    found = []
    for number in np.unique(place):
        members = place == number
        found.append(
            ReliabilityBin(float(probability[members].mean()), float(wrong[members].mean()), int(members.sum()))
        )
    return tuple(found)

"""How far the noise model can be trusted, measured on made tasks whose categories it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from curation.noise.model import NoiseCalibration, calibration_error, reliability
from curation.noise.tasks import PseudoTask
from curation.values import FloatArray

_KEPT_BELOW = 0.5
_KEPT_QUANTILE = 0.9


def measure_calibration(tasks: Sequence[PseudoTask], probabilities: Sequence[FloatArray]) -> NoiseCalibration:
    """Compare the probabilities (N,) of every task with what is really wrong in it."""
    wrong = np.concatenate([task.wrong for task in tasks])
    together = np.concatenate(probabilities)
    pairs = list(zip(tasks, probabilities, strict=True))
    both = [(task.wrong, predicted) for task, predicted in pairs if 0 < task.wrong.sum() < len(predicted)]
    rate_errors = [float(predicted.mean() - task.wrong.mean()) for task, predicted in pairs]
    return NoiseCalibration(
        tasks=len(tasks),
        images=len(wrong),
        auroc=float(np.mean([roc_auc_score(truth, predicted) for truth, predicted in both])),
        average_precision=float(np.mean([average_precision_score(truth, predicted) for truth, predicted in both])),
        calibration_error=calibration_error(wrong, together),
        rate_error=float(np.sqrt(np.mean(np.square(rate_errors)))),
        category_spread=_category_spread(pairs),
        kept_ratio=_kept_ratio([(task.wrong, predicted) for task, predicted in pairs]),
        bins=reliability(wrong, together),
    )


def _category_spread(pairs: Sequence[tuple[PseudoTask, FloatArray]]) -> float:
    """Standard deviation of true less predicted noise rate of a category, less what drawing its images explains."""
    squares, explained = [], []
    for task, predicted in pairs:
        for code in range(task.categories):
            members = task.codes == code
            if members.any():
                chance = predicted[members]
                squares.append(float(task.wrong[members].mean() - chance.mean()) ** 2)
                explained.append(float((chance * (1 - chance)).mean() / members.sum()))
    return float(np.sqrt(max(0.0, float(np.mean(squares)) - float(np.mean(explained)))))


def _kept_ratio(pairs: Sequence[tuple[NDArray[np.bool_], FloatArray]]) -> float:
    """90 % quantile over tasks of true over predicted noise among images that are more likely right than wrong.

    Half an image is added to both counts, so that a task without any error has a ratio.
    """
    ratios = []
    for wrong, predicted in pairs:
        kept = predicted < _KEPT_BELOW
        if kept.any():
            ratios.append((float(wrong[kept].sum()) + 0.5) / (float(predicted[kept].sum()) + 0.5))
    return float(max(1.0, np.quantile(ratios, _KEPT_QUANTILE))) if ratios else 1.0

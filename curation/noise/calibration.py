"""How far the noise model can be trusted, measured on made tasks whose categories it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from curation.noise.model import NoiseCalibration, calibration_error, reliability
from curation.noise.tasks import PseudoTask
from curation.values import FloatArray


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

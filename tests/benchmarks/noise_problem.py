"""A task as the methods want it, with the cross-validated probabilities that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.benchmarks.noise_sets import NoiseTask, Texts

FOLDS = 5
_FOLD_SEED = 0
_ITERATIONS = 2_000

Codes = NDArray[np.int64]
Matrix = NDArray[np.float64]
Probabilities = dict[str, Matrix]  # classifier -> cross-validated probabilities (N, categories)


@dataclass(frozen=True, slots=True)
class Problem:
    """A task as most methods want it: the N listed categories as `codes` in [0, C) of the sorted `names` (C,).

    `probabilities` are the cross-validated ones that several methods share; empty for those that do not ask for them.
    """

    task: NoiseTask
    names: Texts
    codes: Codes
    probabilities: Probabilities


def problem_of(task: NoiseTask, probabilities: Probabilities) -> Problem:
    names, codes = np.unique(task.listed, return_inverse=True)
    return Problem(task, names, codes, probabilities)


def cross_validated(task: NoiseTask, classifier: str) -> Matrix:
    """Probabilities (N, C) of a classifier that has not seen the image: the same five folds for everyone."""
    problem = problem_of(task, {})
    probabilities = np.zeros((len(problem.codes), len(problem.names)))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=_FOLD_SEED)
    for others, held_out in folds.split(task.novel, problem.codes):
        model = CLASSIFIERS[classifier]()
        model.fit(task.novel[others], problem.codes[others])
        probabilities[np.ix_(held_out, model.classes_)] = model.predict_proba(task.novel[held_out])
    return probabilities


def _logistic(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=_ITERATIONS)


def _scaled(strength: float) -> Any:
    return make_pipeline(StandardScaler(), _logistic(strength))


# On embeddings as they are, and scaled to unit variance in every dimension; from too stiff to too supple for both sets.
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    **{f"C={strength:g}": partial(_logistic, strength) for strength in (1, 2, 5, 20)},
    **{f"scaled, C={strength:g}": partial(_scaled, strength) for strength in (0.0003, 0.001, 0.003, 0.01)},
}

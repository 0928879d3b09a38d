"""What is said of a test set, on predictions small enough to count by hand."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from pipelines.classification.evaluation import ConfusedPair, evaluate

NAMES = ("crow", "robin", "wren", "swift")
TRUE = np.array([0, 0, 0, 1, 1, 2, 2, 2])
PREDICTED = np.array([0, 0, 1, 1, 1, 1, 1, 2])
PROBABILITIES = np.where(np.arange(4) == PREDICTED[:, None], 0.7, 0.1)


def test_evaluate__by_hand() -> None:
    found = evaluate(PROBABILITIES, TRUE, NAMES)
    assert (found.images, found.accuracy.value) == (8, 5 / 8)
    assert found.balanced_accuracy.value == pytest.approx((2 / 3 + 1 + 1 / 3) / 3)
    assert found.confused == (ConfusedPair("wren", "robin", 2), ConfusedPair("crow", "robin", 1))
    assert found.absent == ("swift",) and found.chance == 1 / 4 and found.top_accuracy is None
    assert found.calibration_error == pytest.approx(0.7 - 5 / 8, abs=1e-6)
    assert found.negative_log_likelihood == pytest.approx(-(5 * np.log(0.7) + 3 * np.log(0.1)) / 8)


def test_evaluate__categories_least_accurate_first() -> None:
    wren, crow, robin = evaluate(PROBABILITIES, TRUE, NAMES).categories
    assert (wren.category, wren.images, wren.right, wren.predicted) == ("wren", 3, 1, 1)
    assert (wren.taken_for, wren.times) == ("robin", 2)
    assert crow.accuracy.low < crow.accuracy.value == 2 / 3 < crow.accuracy.high
    assert (robin.category, robin.taken_for, robin.times, robin.predicted) == ("robin", None, 0, 5)


def test_evaluate__roles_where_there_are_both() -> None:
    found = evaluate(PROBABILITIES, TRUE, NAMES, novel=("wren", "swift"))
    assert found.by_role["base"].value == 4 / 5 and found.by_role["novel"].value == 1 / 3
    assert evaluate(PROBABILITIES, TRUE, NAMES, novel=NAMES).by_role == {}


def test_evaluate__counts_balance_and_fit_into_json() -> None:
    found = evaluate(PROBABILITIES, TRUE, NAMES)
    assert sum(item.right for item in found.categories) + sum(pair.images for pair in found.confused) == found.images
    assert json.loads(json.dumps(asdict(found)))["categories"][0]["accuracy"]["value"] == 1 / 3

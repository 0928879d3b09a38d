"""Leaving one out by formula is leaving one out by fitting again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.noise.ridge import LeaveOneOutRidge


def fitted_again(
    rows: np.ndarray, contrast: np.ndarray, targets: np.ndarray, penalty: float, left_out: int
) -> np.ndarray:
    """Ridge regression with a free intercept on everything but one image, in float64."""
    every = np.concatenate([np.delete(rows, left_out, axis=0), contrast]).astype(np.float64)
    wanted = np.concatenate([np.delete(targets, left_out, axis=0), np.zeros((len(contrast), targets.shape[1]))])
    design = np.column_stack([every, np.ones(len(every))])
    ridge = penalty * np.eye(design.shape[1])
    ridge[-1, -1] = 0
    slopes = np.linalg.solve(design.T @ design + ridge, design.T @ wanted)
    return np.append(rows[left_out], 1) @ slopes


@settings(max_examples=25)
@given(
    images=st.integers(3, 20),
    contrast=st.integers(0, 10),
    dimension=st.integers(2, 30),
    penalty=st.floats(0.1, 5),
    seed=st.integers(0, 1000),
)
def test_predictions__are_those_of_a_fit_without_the_image(
    images: int, contrast: int, dimension: int, penalty: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    rows, others = (
        generator.normal(size=(count, dimension)).astype(np.float32) / dimension**0.5 for count in (images, contrast)
    )
    targets = generator.uniform(size=(images, 3)).astype(np.float32)
    found = LeaveOneOutRidge(rows, others, penalty)(targets)
    for left_out in (0, images - 1):
        again = fitted_again(rows, others, targets, penalty, left_out)
        assert found[left_out] == pytest.approx(again, abs=2e-3)


def test_predictions__do_not_depend_on_the_image_s_own_target() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(12, 5)).astype(np.float32)
    targets = np.zeros((12, 2), dtype=np.float32)
    predict = LeaveOneOutRidge(rows, np.zeros((0, 5), dtype=np.float32), 1.0)
    before = predict(targets)[3]
    targets[3] = 1
    assert predict(targets)[3] == pytest.approx(before, abs=1e-5)

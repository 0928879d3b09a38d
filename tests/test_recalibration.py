"""What decisions of people do to log-odds: against plain loops, with slips, and where all of them disagree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.noise.recalibration import Reviewed, recalibrate
from tests import reference


def reviewed(wrong: list[bool], images: int) -> Reviewed:
    """Decisions on the first images of one category."""
    return Reviewed(np.arange(len(wrong)), np.array(wrong), np.ones((images, 2), dtype=np.bool_))


def corrected(log_odds: list[float], wrong: list[bool]) -> np.ndarray:
    """Log-odds of one category after decisions on the first of its images, (N,)."""
    codes = np.zeros(len(log_odds), dtype=np.int64)
    return recalibrate(np.array(log_odds, dtype=np.float32), codes, 1, reviewed(wrong, len(log_odds)))


@given(
    st.lists(st.tuples(st.floats(-6, 6), st.booleans()), min_size=1, max_size=12),
    st.floats(-0.5, 0.5),
    st.floats(-0.2, 0.2),
    st.floats(-0.5, 0.5),
)
def test_recalibrate__nothing_near_is_more_probable(
    decided: list[tuple[float, bool]], shift: float, slope: float, category_shift: float
) -> None:
    known, wrong = [value for value, _ in decided], [said for _, said in decided]
    zero, one = corrected([*known, 0.0, 1.0], wrong)[-2:].astype(float)  # a line: its height at 0, and its slope
    found = reference.recalibration_loss(known, wrong, zero / 2, one - zero, zero / 2)  # equal priors share the height
    other = reference.recalibration_loss(known, wrong, zero / 2 + shift, one - zero + slope, zero / 2 + category_shift)
    assert found <= other + 1e-3


def test_recalibrate__a_slip_on_a_surely_wrong_image_lets_no_others_in() -> None:
    surely, doubtful = [7.0] * 100, [0.5, -0.5]
    agreed = corrected(surely + doubtful, [True] * 100)[-2:]
    with_slips = corrected(surely + doubtful, [True] * 95 + [False] * 5)[-2:]
    assert (np.abs(with_slips - agreed) < 0.15).all()


def test_recalibrate__who_always_disagrees_is_believed_in_the_end() -> None:
    log_odds = [3.0] * 200
    few, many = (corrected(log_odds, [False] * count)[-1] for count in (3, 150))
    assert 0 < few < 3 and many < 0  # nobody slips 150 times of 150


def test_recalibrate__only_the_category_that_was_looked_at_moves_much() -> None:
    log_odds, codes = np.full(80, 1.0, dtype=np.float32), np.repeat([0, 1], 40)
    decisions = Reviewed(np.arange(30), np.zeros(30, dtype=np.bool_), np.ones((80, 3), dtype=np.bool_))
    found = recalibrate(log_odds, codes, 2, decisions)
    assert found[39] < found[79] < 1.0


def test_recalibrate__by_hand() -> None:
    # One image at log-odds 0 that is told to be wrong. Its agreement is 1/2, so the loss falls with the height h by
    # 0.9 * 0.25 / (0.05 + 0.9 * 0.5) = 0.45 at first; the priors, h / 2 each, add 2 h: h < 0.45 / 2.
    height = float(corrected([0.0], [True])[0])
    agrees = 1 / (1 + math.exp(-height))
    assert 0.9 * agrees * (1 - agrees) / (0.05 + 0.9 * agrees) == pytest.approx(2 * height, rel=1e-3)
    assert height == pytest.approx(0.204, abs=0.001)

"""What is claimed of the accuracies of the classification benchmark: rows, notes, tables."""

from __future__ import annotations

import pytest

from tests.benchmarks.classification import print_table
from tests.benchmarks.classification_figures import last_rows, notes_of, reviewed_rows, rows_of
from tests.benchmarks.classification_fits import CALIBRATED, LAST_EPOCH, RECIPES, Reviewed
from tests.benchmarks.classification_review import Changes
from tests.benchmarks.classification_toy import criteria, toy_rows


def _accuracies(**changed: list[float]) -> dict[str, list[float]]:
    """Two seeds of every row; plain 0.6, oracle 0.8."""
    means = {"plain": 0.6, "weighted": 0.65, "simtrans": 0.7, CALIBRATED: 0.7, "relabelled": 0.78, "oracle": 0.8}
    return {row: [means.get(row, 0.62) - 0.01, means.get(row, 0.62) + 0.01] for row in RECIPES} | changed


def test_rows__gain_is_paired_and_the_gap_is_a_share() -> None:
    rows = {row["method"]: row for row in rows_of("birds", _accuracies(), 892, 0.3)}
    assert list(rows) == list(RECIPES)
    assert rows["plain"]["gap closed"] == 0 and rows["oracle"]["gap closed"] == 1
    assert rows["weighted"]["gap closed"] == pytest.approx(0.25)
    gain = rows["relabelled"]["gain over plain"]
    assert gain["low"] == pytest.approx(gain["high"]) == pytest.approx(0.18)  # the same in both seeds
    assert rows["plain"]["accuracy"]["high"] > 0.65  # while two seeds tell little of the accuracy itself


def _last(**changed: list[float]) -> dict[str, list[float]]:
    """Two seeds of every row of the second table; plain 0.5, and what was learned 0.1 below the first table."""
    return {row: [value - 0.1 for value in _accuracies().get(row, [0.61, 0.63])] for row in LAST_EPOCH} | changed


def _reviews() -> dict[tuple[str, str, int], list[Reviewed]]:
    return {
        ("cleaned", "random", 300): [Reviewed(0.62, 90, Changes(10, 20, 5)), Reviewed(0.65, 90, Changes(20, 20, 5))],
        ("cleaned", "unsure suggestion", 300): [
            Reviewed(0.64, 200, Changes(40, 2, 3)),
            Reviewed(0.66, 210, Changes(41, 2, 3)),
        ],
    }


def test_reviewed_rows__gains_over_no_review_and_over_random_ones() -> None:
    drawn, row = reviewed_rows("birds", _accuracies(), _reviews())
    assert row["gain"]["value"] == pytest.approx(0.03)
    assert row["gain per 100 reviews"] == pytest.approx(0.01)
    assert row["more than at random"]["value"] == pytest.approx(0.015)
    assert drawn["more than at random"] == {"value": 0, "low": 0, "high": 0}
    assert (row["wrong seen"], row["added"], row["removed"], row["relabelled"]) == (205, 40.5, 2, 3)


def test_last_rows__gains_over_plain_and_weighted() -> None:
    rows = {row["method"]: row for row in last_rows("birds", _last())}
    assert list(rows) == list(LAST_EPOCH)
    assert rows["simtrans"]["accuracy"]["value"] == pytest.approx(0.6)
    assert rows["simtrans"]["gain over plain"]["value"] == pytest.approx(0.1)
    assert rows["simtrans"]["gain over weighted"]["low"] == pytest.approx(0.05)


def test_notes__what_holds() -> None:
    told = "\n".join(notes_of("birds", _accuracies(), _last()))
    assert told.count("holds in every seed") == 6 and "NOT" not in told and "MISSED" not in told
    assert "relabelled closes 90% of the gap to the oracle, wanted 60%: as wanted" in told
    assert told.count("the graph itself helps") == 4
    assert "birds: plain in the state that the held-out part chooses, against its last epoch: +10.0 points" in told


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"weighted": [0.5, 0.5]}, "plain < weighted: -10.0 points (-22.7 to +2.7): does NOT hold"),
        ({"simtrans": [0.6, 0.6]}, "weighted < simtrans: -5.0 points (-17.7 to +7.7): does NOT hold"),
        ({"weighted": [0.55, 0.68]}, "holds on average"),
        ({"simtrans, shuffled graph": [0.69, 0.71]}, "not shown to come from the graph"),
        ({"relabelled": [0.6, 0.61]}, "simtrans closes 50% of the gap to the oracle, wanted 60%: MISSED"),
        ({"cleanlab best filter": [0.79, 0.79]}, "NOT ahead"),
    ],
)
def test_notes__what_does_not_hold(changed: dict[str, list[float]], said: str) -> None:
    assert said in "\n".join(notes_of("birds", _accuracies(**changed), _last()))


def test_print_table__fits_120_columns(capsys: pytest.CaptureFixture[str]) -> None:
    accuracies = _accuracies()
    world = {"AUC of the weights": 0.9, "plain": 0.6, "weighted": 0.7, "both, mu -4": 0.7, "both, calibrated": 0.7}
    print_table(
        {
            "command": "x",
            "rows": [row for name in ("birds", "cifar") for row in rows_of(name, accuracies, 892, 0.3)],
            "last epoch": last_rows("birds", _last()),
            "reviewed": reviewed_rows("birds", accuracies, _reviews()),
            "world": {"rows": toy_rows([world, world]), "criteria": criteria([world, world])},
            "fine-tuning": "not run: no GPU",
            "notes": notes_of("birds", accuracies, _last()),
        }
    )
    lines = capsys.readouterr().out.splitlines()
    assert any("gain by the reviews" in line and "more than at random" in line for line in lines)
    rows = [line for line in lines if "│" in line]
    assert len(rows) >= 2 * len(RECIPES) + 1 + len(world)
    assert max(map(len, rows)) <= 120
    assert any("relabelled" in line and "90%" in line for line in rows)

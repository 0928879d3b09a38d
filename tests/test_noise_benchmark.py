"""The noise benchmark's figures, formulas and settings, on values made here: no real data, no cleanlab."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.noise.model import calibration_error
from tests.benchmarks import noise_simifeat as simifeat
from tests.benchmarks.noise import best_variant, print_table
from tests.benchmarks.noise_figures import (
    Verdict,
    best_f1,
    expected_calibration_error,
    f1_as_many,
    figures_of,
    review_curve,
    share_to_open,
)
from tests.benchmarks.noise_methods import METHODS, OURS, mistakenness
from tests.benchmarks.noise_notes import notes_of
from tests.benchmarks.noise_problem import CLASSIFIERS, cross_validated, problem_of
from tests.benchmarks.noise_sets import OUTLIER, Images, NoiseTask, load_task
from tests.benchmarks.noise_settings import SETTINGS, draw_noise, exchanged, natural, redrawn

_OWN = ("f1_own", "suggestion_accuracy_on_flips")
_FIVE = st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=5, max_size=5)


def test_review_curve__ties_are_one_step() -> None:
    opened, found = review_curve(np.array([True, False, True, False]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert opened.tolist() == [0, 1, 3, 4]
    assert found.tolist() == [0, 1, 2, 2]


def test_best_f1__by_hand() -> None:
    curve = review_curve(np.array([True, False, True, False]), np.array([0.9, 0.5, 0.4, 0.1]))
    assert best_f1(*curve) == pytest.approx(4 / 5)  # three flagged, both errors among them
    assert f1_as_many(*curve) == pytest.approx(1 / 2)  # two flagged, one error among them
    assert share_to_open(*curve, 0.5) == pytest.approx(1 / 4)
    assert share_to_open(*curve, 0.8) == pytest.approx(3 / 4)


@given(_FIVE)
def test_figures__equal_the_average_over_all_orders_of_ties(images: list[tuple[bool, int]]) -> None:
    wrong, suspicion = np.array([item[0] for item in images]), np.array([item[1] for item in images])
    if not wrong.any():
        return
    errors = int(wrong.sum())
    orders = [
        wrong[list(order)]
        for order in permutations(range(5))
        if all(suspicion[a] >= suspicion[b] for a, b in pairwise(order))
    ]
    hits = np.mean([order[:errors].sum() for order in orders])
    places = np.mean([1 + int(np.argmax(order.cumsum() == np.ceil(0.8 * errors))) for order in orders])
    curve = review_curve(wrong, suspicion)
    assert f1_as_many(*curve) == pytest.approx(hits / errors)
    assert share_to_open(*curve, 0.8) == pytest.approx(places / 5)


def test_expected_calibration_error__equals_the_products() -> None:
    generator = np.random.default_rng(0)
    probability = generator.uniform(size=500)
    wrong = generator.uniform(size=500) < probability**2
    error = expected_calibration_error(wrong, probability)
    assert error == pytest.approx(calibration_error(wrong, probability))
    assert error > 0.1
    assert expected_calibration_error(np.array([True, False]), np.array([1.0, 0.0])) == 0


def test_figures_of__a_perfect_method() -> None:
    listed, true = np.array(["a", "a", "b", "b"]), np.array(["a", "b", "b", OUTLIER])
    wrong = np.array([False, True, False, True])
    suggested = np.array(["a", "b", "b", ""])
    figures = figures_of(Verdict(wrong.astype(float), True, wrong, suggested=suggested), listed, true)
    assert {figures[name] for name in ("auroc", "average_precision", "f1_own", "f1_best", "f1_as_many")} == {1.0}
    assert figures["ece"] == 0
    assert figures["predicted_noise_rate"] == figures["noise_rate"] == 0.5
    assert figures["suggestion_accuracy_on_flips"] == 1  # the outlier is no flip


def test_figures_of__a_method_that_only_flags() -> None:
    listed, true = np.array(["a", "a", "b", "b"]), np.array(["a", "b", "b", "a"])
    figures = figures_of(Verdict(flagged=np.array([True, True, True, False])), listed, true)
    assert figures["f1_own"] == pytest.approx(2 / 5)
    assert figures["precision_own"] == pytest.approx(1 / 3)
    assert figures["predicted_noise_rate"] == 0.75
    assert figures["auroc"] is figures["ece"] is figures["suggestion_accuracy_on_flips"] is None


def test_figures_of__a_stated_noise_rate_goes_before_the_share_flagged() -> None:
    verdict = Verdict(flagged=np.array([True, False]), noise_rate=0.1)
    assert figures_of(verdict, np.array(["a", "b"]), np.array(["a", "a"]))["predicted_noise_rate"] == 0.1


@pytest.mark.parametrize("classifier", ["C=20", "scaled, C=0.01"])
def test_cross_validated__an_image_is_judged_by_the_others(classifier: str) -> None:
    assert classifier in CLASSIFIERS
    generator = np.random.default_rng(0)
    true = np.repeat(["a", "b", "c"], 20)
    rows = (np.eye(3)[np.repeat(range(3), 20)] + 0.1 * generator.normal(size=(60, 3))).astype(np.float32)
    listed = true.copy()
    listed[0] = "b"
    probabilities = cross_validated(NoiseTask(rows, true, rows, listed, true), classifier)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(60))
    assert np.array(["a", "b", "c"])[probabilities.argmax(axis=1)].tolist() == true.tolist()


def _clusters() -> NoiseTask:
    """Three tight clusters of 30, six images of each listed under the next one."""
    generator = np.random.default_rng(0)
    true = np.repeat(["a", "b", "c"], 30)
    rows = np.eye(3)[np.repeat(range(3), 30)] + 0.1 * generator.normal(size=(90, 3))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    listed = np.where(np.arange(90) % 30 < 6, np.roll(true, -30), true)
    return NoiseTask(rows, true, rows, listed, true)


@pytest.mark.parametrize(
    "method", [name for name, method in METHODS.items() if "cleanlab" not in name and not method.uses_base]
)
def test_methods__every_variant_finds_what_is_obvious(method: str) -> None:
    task = _clusters()
    problem = problem_of(task, {name: cross_validated(task, name) for name in ("C=5", "scaled, C=0.01")})
    judged = 0
    for variant in METHODS[method].variants.values():
        if variant.classifier is None or variant.classifier in problem.probabilities:
            figures = figures_of(variant.judge(problem), task.listed, task.true)
            assert figures["auroc"] is not None
            assert figures["auroc"] > 0.95
            assert all(figures[name] is None or figures[name] > 0.8 for name in _OWN)
            judged += 1
    assert judged


def test_best_variant__by_the_figure_of_the_method() -> None:
    variants = [{"variant": "x", "auroc": 0.9, "f1_own": 0.5}, {"variant": "y", "auroc": 0.8, "f1_own": 0.7}]
    assert best_variant(variants, "auroc")["variant"] == "x"
    assert best_variant(variants, "f1_own")["variant"] == "y"


def test_mistakenness__by_hand() -> None:
    probabilities, codes = np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1])
    assert mistakenness(probabilities, codes, logits=False) == pytest.approx([0.1, 0.9])
    sure = np.exp(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    assert mistakenness(probabilities, codes, logits=True) == pytest.approx([(1 - sure) / 2, (1 + sure) / 2])
    certain = np.array([[1.0, 0.0]])
    assert mistakenness(certain, np.array([0]), logits=True) == pytest.approx([0.0])


def test_soft_labels__by_hand() -> None:
    neighbours = np.array([[1, 2], [0, 2], [1, 0]])
    cosine = np.array([[0.8, 0.4], [0.8, 0.6], [0.6, 0.4]], dtype=np.float32)
    codes = np.array([0, 0, 1])
    plain = simifeat.soft_labels(neighbours, cosine, codes, itself=False, weighted=False)
    assert plain == pytest.approx(np.array([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]))
    weighted = simifeat.soft_labels(neighbours, cosine, codes, itself=False, weighted=True)
    assert weighted[0] == pytest.approx([0.4, 0.2])
    itself = simifeat.soft_labels(neighbours, cosine, codes, itself=True, weighted=False)
    assert itself[2] == pytest.approx([0.5, 0.5])
    assert simifeat.agreement(plain, codes) == pytest.approx([2**-0.5, 2**-0.5, 0.0])


def test_votes__break_ties_at_random_and_nothing_else() -> None:
    labels = np.array([[0.5, 0.5, 0.0], [0.6, 0.4, 0.0]], dtype=np.float32)
    epochs = simifeat.votes(labels, np.random.default_rng(0))
    assert set(epochs[:, 0].tolist()) == {0, 1}
    assert set(epochs[:, 1].tolist()) == {0}
    assert simifeat.flag_by_vote(epochs, np.array([2, 0])).tolist() == [True, False]


def test_flag_by_ranking__takes_the_share_of_each_category() -> None:
    codes = np.repeat([0, 1], 100)
    score = np.tile(np.arange(100.0), 2).astype(np.float32)
    shares = np.array([0.5, 0.0], dtype=np.float32)  # no category is without suspects: at least 5 %
    flagged = simifeat.flag_by_ranking(score, codes, shares, np.random.default_rng(0))
    assert flagged[:40].all()
    assert not flagged[60:100].any()
    assert 5 <= flagged[100:].sum() <= 10
    assert flagged[100:].argmin() == flagged[100:].sum()  # the lowest scores, no gap


def test_estimated_wrong_share__finds_what_was_drawn() -> None:
    generator = np.random.default_rng(0)
    true = np.repeat(np.arange(3), 3000)
    codes = np.where(generator.uniform(size=len(true)) < 0.3, (true + generator.integers(1, 3, len(true))) % 3, true)
    neighbours = true[:, None] * 3000 + generator.integers(0, 3000, (len(true), 2))
    assert simifeat.estimated_wrong_share(neighbours, codes) == pytest.approx(np.full(3, 0.3), abs=0.03)


@given(st.floats(0.05, 0.55), st.integers(0, 1000))
def test_draw_noise__has_the_rate_and_the_kinds_asked_for(rate: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    clean = np.repeat(["a", "b", "c", "d"], 50)
    embeddings = generator.normal(size=(200, 5)).astype(np.float32)
    outliers = np.full((80, 5), 7, dtype=np.float32)
    rows, listed, true = draw_noise(embeddings, clean, outliers, rate, generator)
    assert (listed != true).mean() == pytest.approx(rate, abs=0.01)
    assert (true == OUTLIER).sum() / (listed != true).sum() == pytest.approx(1 / 3, abs=0.06)
    assert (rows[true == OUTLIER] == 7).all()
    assert (true != OUTLIER).sum() == 200  # every clean image is still there, with its own category
    order, drawn = np.lexsort(embeddings.T), rows[true != OUTLIER]
    assert np.array_equal(drawn[np.lexsort(drawn.T)], embeddings[order])
    assert np.array_equal(true[true != OUTLIER][np.lexsort(drawn.T)], clean[order])


def test_draw_noise__half_of_the_flips_go_to_the_nearest() -> None:
    generator = np.random.default_rng(0)
    centres = {"a": [1, 0, 0], "b": [1, 0.3, 0], "c": [0, 0, 1], "d": [0, 0.3, 1]}
    clean = np.repeat(list(centres), 300)
    embeddings = np.array([centres[name] for name in clean], dtype=np.float32)
    _, listed, true = draw_noise(embeddings, clean, np.ones((300, 3), dtype=np.float32), 0.4, generator)
    flips = (listed != true) & (true != OUTLIER)
    nearest = np.array([{"a": "b", "b": "a", "c": "d", "d": "c"}.get(name, "") for name in true])
    assert (listed == nearest)[flips].mean() == pytest.approx(1 / 2 + 1 / 2 / 3, abs=0.06)


def test_draw_noise__too_few_outliers() -> None:
    with pytest.raises(ValueError, match="outliers"):
        draw_noise(
            np.eye(9, dtype=np.float32), np.repeat(["a", "b", "c"], 3), np.empty((0, 9)), 0.5, np.random.default_rng(0)
        )


def _images() -> Images:
    """20 base categories of 12 images, 3 novel ones of 6 with one flip and one outlier, one test image of each."""
    generator = np.random.default_rng(0)
    base = [(f"base{number:02}", f"base{number:02}", "base") for number in range(20) for _ in range(12)]
    novel = [(f"novel{number}", f"novel{number}", "novel") for number in range(3) for _ in range(6)]
    novel[0] = ("novel0", "novel1", "novel")
    novel[1] = ("novel0", OUTLIER, "novel")
    test = [(f"novel{number}", f"novel{number}", "test") for number in range(3)]
    listed, true, roles = (np.array(column) for column in zip(*base, *novel, *test, strict=True))
    return Images("encoder", generator.normal(size=(len(listed), 4)).astype(np.float32), roles, listed, true)


def test_natural__takes_the_set_as_it_is() -> None:
    task = natural(_images())
    assert (len(task.base), len(task.novel), int(task.wrong.sum())) == (240, 18, 2)


def test_redrawn__base_novel_and_outliers_are_other_categories() -> None:
    images = _images()
    ten, fifty = redrawn(images, 0.1), redrawn(images, 0.5)
    assert np.array_equal(ten.base, fifty.base)  # the rates differ, the split does not
    assert not set(ten.base_categories) & set(ten.listed)
    assert not set(ten.listed) & {"novel0", "novel1", "novel2"}
    assert fifty.wrong.mean() == pytest.approx(0.5, abs=0.02)
    category = {row.tobytes(): name for row, name in zip(images.embeddings, images.true, strict=True)}
    strangers = {category[row.tobytes()] for row in fifty.novel[fifty.true == OUTLIER]}
    assert strangers
    assert not strangers & ({*fifty.listed} | {*fifty.base_categories})


def test_exchanged__novel_categories_play_base_with_their_true_labels() -> None:
    task = exchanged(_images(), 0.3)
    assert sorted(set(task.base_categories)) == ["novel0", "novel1", "novel2"]
    assert len(task.base) == 18 + 3 - 1  # the novel and test images without the outlier
    assert (task.base_categories == "novel1").sum() == 6 + 1 + 1  # the flip counts for what it shows
    assert task.wrong.mean() == pytest.approx(0.3, abs=0.02)


def test_noise_task__survives_its_file(tmp_path: Any) -> None:
    task = natural(_images())
    task.save(tmp_path / "task.npz")
    again = load_task(tmp_path / "task.npz")
    for name in NoiseTask.__dataclass_fields__:
        assert np.array_equal(getattr(again, name), getattr(task, name))


def _row(method: str, auroc: float | None, **figures: Any) -> dict[str, Any]:
    known = {
        "f1_own": 0.9,
        "ece": 0.01,
        "predicted_noise_rate": 0.3,
        "noise_rate": 0.3,
        "seconds": 1.0,
        "peak_mib": 99.0,
    }
    missing = ("f1_as_many", "open_for_80%", "open_for_90%", "open_for_95%", "suggestion_accuracy_on_flips")
    ranking = dict.fromkeys(("auroc", "average_precision", "f1_best"), auroc)
    values = known | dict.fromkeys(missing) | ranking | {"variant": ""} | figures
    facts = {"set": "birds", "setting": "natural", "images": 10, "categories": 2, "base_images": 20}
    return facts | {"base_categories": 3, "method": method, "uses_base": method == OURS, "variants": [values]} | values


def test_notes__ours_is_first() -> None:
    first, targets = notes_of([_row("peer", 0.9), _row("flags only", None), _row(OURS, 0.99, f1_best=0.91)])
    assert first == (
        "birds, natural: ours is first: AUROC 0.9900 before 0.9000 of peer; AP 0.9900 before 0.9000 of peer"
    )
    assert targets == "birds, natural: all targets met"


def test_notes__a_variant_that_is_not_shown_counts() -> None:
    peer = _row("peer", 0.9)
    peer["variants"].append({**peer["variants"][0], "variant": "C=5", "average_precision": 0.995})
    first, _ = notes_of([peer, _row(OURS, 0.99, f1_best=0.91)])
    assert "ours is NOT first: AP 0.9900 behind 0.9950 of peer C=5; first in AUROC" in first


def test_notes__every_missed_target_is_named() -> None:
    ours = _row(OURS, 0.9, f1_own=0.7, f1_best=0.8, ece=0.2, predicted_noise_rate=0.2)
    _, targets = notes_of([_row("peer", 0.8), ours])
    for part in ("AUROC 0.900, wanted 0.98", "F1 0.700", "0.100 below the best", "ECE 0.200", "off by 0.100"):
        assert part in targets


def test_print_table__fits_160_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [_row(name, None if "filter" in name else 0.9) for name in METHODS]
    print_table({"command": "x", "rows": rows, "notes": notes_of(rows)})
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if "│" in line]
    assert len(table) >= len(METHODS)
    assert max(map(len, table)) <= 160
    assert any("ours" in line and " yes " in line for line in table)
    assert any(line.startswith("birds, natural: ours is NOT first") for line in lines) or "first" in lines[-2]


def test_settings__begin_with_the_sets_as_they_are() -> None:
    assert next(iter(SETTINGS)) == "natural"

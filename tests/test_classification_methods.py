"""What each method believes of the samples, which samples judge, and what each epoch does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError, TrainingError
from curation.values import CleanedSample, Role
from pipelines.classification.config import ClassificationConfig, MethodName, new_config
from pipelines.classification.methods import (
    METHODS,
    Columns,
    category_names,
    find_targets,
    learned_targets,
    make_targets,
    method_summary,
    read_columns,
)
from pipelines.classification.schedule import EpochPlan, epoch_batches, plan_epochs, rate_at, with_epochs
from pipelines.classification.splitting import hold_out
from tests.training_factory import coloured_samples, export_samples

# Five samples of two categories: right, wrong and a sure suggestion, wrong and an unsure one, doubtful, outlier.
COLUMNS = Columns(
    n_categories=2,
    category=np.array([0, 0, 0, 1, 1]),
    web_category=np.array([0, 0, 1, 1, 1]),  # a person has moved the third
    weight=np.array([1.5, 0.5, 1.0, 1.0, 0.0], dtype=np.float32),
    noise_probability=np.array([0.0, 0.9, 0.6, 0.4, 1.0], dtype=np.float32),
    suggested=np.array([0, 1, 1, 1, -1]),
    suggested_probability=np.array([1.0, 0.8, 0.5, 0.6, 0.0], dtype=np.float32),
    kept=np.array([True, False, False, True, False]),
    barred=np.zeros(5, dtype=np.bool_),
)

# method -> (category by sample, -1 where it is not used; weights relative to each other)
EXPECTED: dict[MethodName, tuple[list[int], list[float]]] = {
    "plain": ([0, 0, 1, 1, 1], [1, 1, 1, 1, 1]),
    "graph": ([0, 0, 1, 1, 1], [1, 1, 1, 1, 1]),
    "weighted": ([0, 0, 0, 1, -1], [1.5, 0.5, 1, 1, 0]),
    "simtrans": ([0, 0, 0, 1, -1], [1.5, 0.5, 1, 1, 0]),
    "cleaned": ([0, -1, -1, 1, -1], [1, 0, 0, 1, 0]),
    "soft": ([0, 0, 0, 1, -1], [1, 0.1, 0.4, 0.6, 0]),
    "hybrid": ([0, 0, 0, 1, -1], [1.5, 0.5, 1, 1, 0]),
    "relabelled": ([0, 1, -1, 1, -1], [1, 0.8, 0, 1, 0]),
}


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({"method": "weighted"}, [1.5, 0.5, 1, 1, 0]),
        ({"method": "hybrid", "hybrid_weights": "samples"}, [1.5, 0.5, 1, 1, 0]),
        ({"method": "hybrid", "hybrid_weights": "equal"}, [1, 1, 1, 1, 0]),
        ({"method": "hybrid"}, [1, 1, 1, 1, 0]),  # self-paced: a mean of 1 in every category
        ({"method": "hybrid", "hybrid_parts": "v", "hybrid_weights": "samples"}, [0, 0, 0, 0, 0]),
    ],
)
def test_learned_targets__as_they_count_in_training(options: dict[str, Any], weights: list[float]) -> None:
    config = ClassificationConfig(**options)
    found = learned_targets(find_targets(config.method, COLUMNS), config)
    np.testing.assert_allclose(found.weights, np.array(weights) / max(np.mean(weights[:4]), 1e-9), atol=1e-6)
    assert found.used.tolist() == [weight > 0 for weight in weights]


def test_method_summary__of_each_part_of_the_hybrid() -> None:
    told = {parts: method_summary(ClassificationConfig(method="hybrid", hybrid_parts=parts)) for parts in ("v", "h")}
    assert "zero-shot" in told["v"] and "every" not in told["v"] and "base" not in told["h"]
    for method in METHODS:
        assert method_summary(ClassificationConfig(method=method)) == METHODS[method].summary


@pytest.mark.parametrize("method", METHODS)
def test_find_targets__by_hand(method: MethodName) -> None:
    codes, weights = EXPECTED[method]
    found = find_targets(method, COLUMNS)
    assert found.used.tolist() == [code >= 0 for code in codes]
    assert [int(row.argmax()) if row.any() else -1 for row in found.targets] == codes
    np.testing.assert_allclose(found.targets.max(axis=1), found.used)  # one-hot
    np.testing.assert_allclose(found.weights, np.array(weights) * found.used.sum() / sum(weights), rtol=1e-5)


def test_methods__registry_and_configuration_name_the_same() -> None:
    assert set(METHODS) == set(get_args(MethodName)) == set(EXPECTED)


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 5))
def test_make_targets__rows_sum_to_one_and_weights_average_one(seed: int, samples: int, categories: int) -> None:
    random = np.random.default_rng(seed)
    targets = (random.random((samples, categories)) * random.integers(0, 2, (samples, 1))).astype(np.float32)
    weights = (random.random(samples) * random.integers(0, 2, samples)).astype(np.float32)
    found = make_targets(targets, weights)
    np.testing.assert_allclose(found.targets.sum(axis=1), found.used, rtol=1e-5)
    assert (found.used == ((weights > 0) & (targets.sum(axis=1) > 0))).all()
    assert not found.weights[~found.used].any()
    if found.used.any():
        assert found.weights[found.used].mean() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_find_targets__test_images_and_foreign_categories_are_never_used(method: MethodName) -> None:
    barred = replace(COLUMNS, barred=np.array([True, False, False, False, False]))
    foreign = replace(COLUMNS, category=np.array([-1, 0, 0, 1, 1]), web_category=np.array([-1, 0, 1, 1, 1]))
    assert not find_targets(method, barred).used[0]
    assert not find_targets(method, foreign).used[0]


@pytest.mark.parametrize("method", ["soft", "relabelled"])
def test_find_targets__without_noise_probabilities_says_so(method: MethodName) -> None:
    unknown = replace(COLUMNS, noise_probability=np.full(5, np.nan, dtype=np.float32))
    with pytest.raises(TrainingError, match="5 of 5 have none") as caught:
        find_targets(method, unknown)
    assert "--everything" in caught.value.hint
    for other in ("plain", "weighted", "cleaned"):
        assert find_targets(other, unknown).used.any()


def test_find_targets__nothing_left_says_so() -> None:
    with pytest.raises(TrainingError, match="leaves no sample"):
        find_targets("cleaned", replace(COLUMNS, kept=np.zeros(5, dtype=np.bool_)))


def test_read_columns__from_an_export(tmp_path: Path) -> None:
    samples = coloured_samples(tmp_path / "in", per_category=3, wrong=1, base=1)
    samples[4] = replace(samples[4], category="red", category_id=2, noise_probability=0.0)  # a person has moved it
    samples[5] = replace(samples[5], flags=("leak",))
    exported = export_samples(samples, tmp_path / "out")
    names = category_names(exported.samples, generalized=False)
    assert names == ("blue", "green", "red")
    by_id = {sample.sample_id: row for row, sample in enumerate(exported.samples)}
    rows = [by_id[sample.sample_id] for sample in samples]
    columns = read_columns(exported, names)
    assert columns.category[rows].tolist() == [0, 0, 0, 1, 2, 1, 2, 2, 2, -1, -1]
    assert columns.web_category[rows].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1]
    assert columns.suggested[rows].tolist() == [1, 0, 0, 2, 1, 1, 0, 2, 2, -1, -1]
    assert columns.kept[rows].tolist() == [False, True, True, False, True, True, False, True, True, True, True]
    assert columns.barred[rows].tolist() == [False] * 5 + [True] + [False] * 5
    np.testing.assert_allclose(columns.noise_probability[rows][[0, 1, 9]], [0.95, 0.05, 0.0])
    assert category_names(exported.samples, generalized=True) == ("black", "blue", "green", "red", "white")


# ---- the validation part


def columns_of(samples: list[CleanedSample]) -> Columns:
    names = sorted({sample.web_category for sample in samples})
    noise = [0.0 if sample.noise_probability is None else sample.noise_probability for sample in samples]
    codes = np.array([names.index(sample.category) for sample in samples])
    return Columns(
        n_categories=len(names),
        category=codes,
        web_category=codes,
        weight=np.ones(len(samples), dtype=np.float32),
        noise_probability=np.array(noise, dtype=np.float32),
        suggested=codes,
        suggested_probability=np.ones(len(samples), dtype=np.float32),
        kept=np.array([sample.set_aside is None for sample in samples]),
        barred=np.array(["leak" in sample.flags for sample in samples]),
    )


def held_out(samples: list[CleanedSample], share: float = 0.2) -> tuple[set[int], set[int]]:
    """(rows that judge, rows that may be trained on)."""
    columns = columns_of(samples)
    validation, allowed = hold_out(samples, columns, np.ones(len(samples), dtype=np.bool_), share)
    assert (validation.codes == columns.category[validation.rows]).all()
    return set(validation.rows.tolist()), set(np.flatnonzero(allowed).tolist())


def test_hold_out__no_picture_on_both_sides(tmp_path: Path) -> None:
    samples = coloured_samples(tmp_path, per_category=20)
    samples = [replace(sample, copies_group=f"group {row // 4}") for row, sample in enumerate(samples)]
    judging, training = held_out(samples)
    assert judging and training and judging.isdisjoint(training)
    assert {row // 4 for row in judging}.isdisjoint(row // 4 for row in training)


def test_hold_out__every_category_judges_and_is_learned(tmp_path: Path) -> None:
    samples = coloured_samples(tmp_path, per_category=4, wrong=0)
    judging, training = held_out(samples, share=0.1)
    assert {samples[row].category for row in judging} == {samples[row].category for row in training}


def test_hold_out__an_export_that_was_split_keeps_its_parts(tmp_path: Path) -> None:
    samples = coloured_samples(tmp_path, per_category=4, wrong=0)
    parts = ["train", "val", "test", "train"] * 3
    judging, training = held_out([replace(sample, split=part) for sample, part in zip(samples, parts, strict=True)])
    assert judging == {1, 5, 9} and training == {0, 3, 4, 7, 8, 11}


def test_hold_out__of_an_export_with_a_test_part_only_the_rest_is_cut(tmp_path: Path) -> None:
    samples = coloured_samples(tmp_path, per_category=10, wrong=0)
    samples = [replace(sample, split="test" if row % 2 else "train") for row, sample in enumerate(samples)]
    judging, training = held_out(samples)
    assert judging and training
    assert all(row % 2 == 0 for row in training | judging)


def test_hold_out__weights_are_probabilities_of_being_right(tmp_path: Path) -> None:
    samples = coloured_samples(tmp_path, per_category=4, wrong=0)
    samples = [replace(sample, split="val" if row % 2 else "train") for row, sample in enumerate(samples)]
    samples[1] = replace(samples[1], noise_probability=0.75)
    samples[3] = replace(samples[3], noise_probability=1.0)  # surely wrong: it judges nothing
    samples[5] = replace(samples[5], flags=("leak",))
    columns = columns_of(samples)
    validation, _ = hold_out(samples, columns, np.ones(12, dtype=np.bool_), 0.1)
    assert validation.rows.tolist() == [1, 7, 9, 11]
    np.testing.assert_allclose(validation.weights, [0.25, 0.95, 0.95, 0.95])


def test_hold_out__nothing_at_share_zero_and_nothing_left_says_so(tmp_path: Path) -> None:
    samples = coloured_samples(tmp_path, per_category=2, wrong=0)
    assert held_out(samples, share=0) == (set(), set(range(6)))
    with pytest.raises(TrainingError, match="no sample is left to train on"):
        held_out([replace(sample, split="val") for sample in samples])


# ---- the schedule


@pytest.mark.parametrize(("samples", "epochs"), [(50, 60), (2_100, 60), (6_400, 20), (1_000_000, 10)])
def test_with_epochs__many_samples_take_fewer(samples: int, epochs: int) -> None:
    assert with_epochs(ClassificationConfig(), samples).epochs == epochs
    assert with_epochs(ClassificationConfig(epochs=7), samples).epochs == 7


def test_plan_epochs__two_phases_take_turns() -> None:
    plain, large = EpochPlan(8, regularised=False), EpochPlan(32, regularised=True)
    settings: dict[str, Any] = {"epochs": 8, "batch_size": 8, "large_batch": 32}
    beginning = EpochPlan(8, regularised=False, may_be_kept=False)
    assert plan_epochs(ClassificationConfig(method="simtrans", finetune=True, **settings)) == [beginning] * 3 + [
        large, plain, large, plain, large,
    ]  # fmt: skip
    assert plan_epochs(ClassificationConfig(method="simtrans", **settings)) == [large, plain] * 4
    assert plan_epochs(ClassificationConfig(method="graph", **settings)) == [large] * 8
    assert plan_epochs(ClassificationConfig(method="weighted", **settings)) == [plain] * 8


def test_epoch_batches__generalized_draws_categories_evenly() -> None:
    targets = make_targets(np.repeat(np.eye(2, dtype=np.float32), [90, 10], axis=0), np.ones(100, dtype=np.float32))
    rows = np.arange(100)
    for generalized, share in ((False, 0.1), (True, 0.5)):
        config = ClassificationConfig(generalized=generalized)
        drawn = np.concatenate(
            [np.concatenate(epoch_batches(EpochPlan(50, False), rows, targets, config, epoch)) for epoch in range(20)]
        )
        assert (drawn >= 90).mean() == pytest.approx(share, abs=0.05)


def test_rate_at__rises_then_falls_to_nothing() -> None:
    rates = [rate_at(step, 100, 0.1) for step in range(100)]
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[10] == 1 and rates[0] == pytest.approx(1 / 11) and 0 < rates[-1] < 0.01
    assert rate_at(0, 100, 0) == 1


# ---- options


def test_new_config__settings_by_name() -> None:
    config = new_config(["alpha=0.1", "validation=0"], method="graph", seed=3)
    assert (config.alpha, config.validation, config.method, config.seed) == (0.1, 0, "graph", 3)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("alpa=1", "Did you mean alpha"),
        ("alpha", "NAME=VALUE"),
        ("dropout=2", "Give another"),
        ("mu=x", "Give another"),
    ],
)
def test_new_config__refuses(setting: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        new_config([setting])
    assert told in caught.value.hint


def test_columns__roles_of_base_samples(tmp_path: Path) -> None:
    samples = coloured_samples(tmp_path / "in", per_category=2, wrong=0, base=2)
    exported = export_samples(samples, tmp_path / "out")
    columns = read_columns(exported, category_names(exported.samples, generalized=True))
    base = np.array([sample.role is Role.BASE for sample in exported.samples])
    assert (columns.noise_probability[base] == 0).all() and (columns.category >= 0).all()
    assert find_targets("soft", columns).used.all()

"""The noise model, learned on made noise of one small world, judges the novel images of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from curation.errors import NoiseModelError
from curation.noise.checkpoint import (
    load_noise_model,
    read_noise_calibration,
    save_noise_model,
)
from curation.noise.estimation import NoiseReport, estimate_noise
from curation.noise.evidence_table import COLUMNS
from curation.noise.explanation import ExplainedSample, explain, how_loud
from curation.noise.groups import similar_groups
from curation.noise.model import NoiseModel, calibration_error, reliability
from curation.noise.tasks import TaskShape
from curation.noise.training import train_noise_model
from curation.values import Decision, DecisionAction
from tests.noise_worlds import CONFIG, World, base_world, clean_world, novel_world, plain_evidence


@pytest.fixture(scope="module")
def model() -> NoiseModel:
    base = base_world()
    return train_noise_model(base.embeddings, base.categories, TaskShape(4, (24,)), CONFIG)


def judged(model: NoiseModel, world: World, decisions: dict[str, Decision] | None = None) -> NoiseReport:
    return estimate_noise(
        model, world.sample_ids, world.categories, world.embeddings, plain_evidence(world), decisions or {}
    )


def probabilities(report: NoiseReport) -> np.ndarray:
    return np.array([item.noise_probability for item in report.estimates])


def test_model__finds_the_wrong_images_of_categories_it_never_saw(model: NoiseModel) -> None:
    world = novel_world()
    report = judged(model, world)
    assert roc_auc_score(world.wrong, probabilities(report)) > 0.95
    assert calibration_error(world.wrong, probabilities(report)) < 0.12  # 120 images: 0.06 is chance alone
    assert report.total.low <= world.wrong.mean() <= report.total.high
    assert [item.category for item in report.categories] == sorted(set(world.categories))
    assert report.transfer.trusted


@pytest.mark.parametrize("noise", [0.05, 0.6])
def test_model__follows_the_noise_rate(model: NoiseModel, noise: float) -> None:
    world = novel_world(noise=noise, seed=5)
    assert judged(model, world).total.noise_rate == pytest.approx(world.wrong.mean(), abs=0.12)


def test_model__suggests_the_category_that_flips_show(model: NoiseModel) -> None:
    world = novel_world(categories=5, noise=0.4)
    report = judged(model, world)
    flips = [row for row in np.flatnonzero(world.wrong) if world.true[row] in world.categories]
    right = [report.estimates[row].suggested_category == world.true[row] for row in flips]
    assert np.mean(right) > 0.7
    outliers = [row for row in np.flatnonzero(world.wrong) if world.true[row] == "outlier"]
    said_to_be_none = [report.estimates[row].suggested_category is None for row in (*outliers, *flips)]
    assert np.mean(said_to_be_none[: len(outliers)]) > 2 * np.mean(said_to_be_none[len(outliers) :])
    for item, listed in zip(report.estimates, world.categories, strict=True):
        assert (item.suggested_category == listed) == (item.noise_probability < 0.5)
        assert 0 <= item.suggested_probability <= 1 and item.explanation.endswith(".")


def test_model__one_category_three_images_and_a_single_one(model: NoiseModel) -> None:
    alone = novel_world(categories=1, size=40, noise=0.3)
    assert roc_auc_score(alone.wrong, probabilities(judged(model, alone))) > 0.8
    tiny = novel_world(categories=5, size=3, noise=0.3)
    assert np.isfinite(probabilities(judged(model, tiny))).all()
    single = clean_world(["novel"], 1, seed=3)
    (estimate,) = judged(model, single).estimates
    assert 0 < estimate.noise_probability < 1


def test_transfer__far_novel_images_are_not_trusted(model: NoiseModel) -> None:
    world = novel_world()
    generator = np.random.default_rng(0)
    random = generator.normal(size=world.embeddings.shape).astype(np.float32)
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    far = judged(model, World(random, world.categories, world.true))
    assert not far.transfer.trusted and "Do not trust" in far.transfer.sentence
    shuffled = World(world.embeddings, list(generator.permutation(world.categories)), world.true)
    mixed = judged(model, shuffled)
    assert not mixed.transfer.trusted and "hardly differ" in mixed.transfer.sentence
    assert mixed.calibration_error > judged(model, world).calibration_error


def test_groups__many_more_categories_than_were_made_are_judged_in_groups(model: NoiseModel) -> None:
    world = novel_world(categories=50, size=12, noise=0.15)
    codes = np.array([int(name.removeprefix("novel ")) for name in world.categories])
    groups = similar_groups(world.embeddings, codes, 50, 12)
    assert sorted(len(group.members) for group in groups) == [10] * 5
    assert sorted(np.concatenate([group.rows for group in groups]).tolist()) == list(range(len(codes)))
    report = judged(model, world)
    assert roc_auc_score(world.wrong, probabilities(report)) > 0.85
    assert report.total.noise_rate == pytest.approx(world.wrong.mean(), abs=0.2)
    first = world.sample_ids[0]
    told = judged(model, world, {first: Decision(first, DecisionAction.RELABEL, "ada", "novel 49")})
    assert told.reviewed == 1 and np.isfinite(probabilities(told)).all()


def test_groups__few_categories_are_one_group() -> None:
    world = novel_world(categories=3)
    (group,) = similar_groups(world.embeddings, np.zeros(len(world.true), dtype=np.int64), 1, 5)
    assert group.members.tolist() == [0] and len(group.rows) == len(world.true)


def test_decisions__change_the_others_and_not_their_own_sample_s_estimate(model: NoiseModel) -> None:
    world = novel_world(noise=0.4, seed=2)
    before = judged(model, world)
    rows = np.argsort(np.abs(probabilities(before) - 0.5))[:12]
    decisions = {}
    for row in rows.tolist():
        name = world.sample_ids[row]
        action = DecisionAction.DROP if world.wrong[row] else DecisionAction.KEEP
        decisions[name] = Decision(name, action, "ada")
    after = judged(model, world, decisions)
    assert after.reviewed == 12
    rest = np.setdiff1d(np.arange(len(world.true)), rows)
    assert np.abs(probabilities(after) - probabilities(before))[rest].max() > 0.01
    transferred = [item.transferred_probability for item in after.estimates]
    assert transferred == pytest.approx(probabilities(before).tolist(), abs=1e-6)
    one = rows[0]
    flipped = dict(decisions)
    opposite = DecisionAction.KEEP if world.wrong[one] else DecisionAction.DROP
    flipped[world.sample_ids[one]] = Decision(world.sample_ids[one], opposite, "ada")
    # Its own estimate changes only through what others are told of it, not by the decision being put in its place.
    other = probabilities(judged(model, world, flipped))[one]
    assert 0.02 < other < 0.98


def test_decisions__many_of_them_correct_a_wrong_noise_rate(model: NoiseModel) -> None:
    world = novel_world(categories=5, size=24, noise=0.3, seed=4)
    kept = {name: Decision(name, DecisionAction.KEEP, "ada") for name in world.sample_ids[::2]}
    dropped = {name: Decision(name, DecisionAction.DROP, "ada") for name in world.sample_ids[::2]}
    rest = np.arange(len(world.true)) % 2 == 1
    trusting, doubting = (probabilities(judged(model, world, decided))[rest].mean() for decided in (kept, dropped))
    assert trusting < probabilities(judged(model, world))[rest].mean() < doubting


def test_decisions__unsure_says_nothing(model: NoiseModel) -> None:
    world = novel_world()
    unsure = {name: Decision(name, DecisionAction.UNSURE, "ada") for name in world.sample_ids}
    report = judged(model, world, unsure)
    assert report.reviewed == 0 and probabilities(report) == pytest.approx(probabilities(judged(model, world)))


def test_training__too_few_base_categories_say_what_still_works() -> None:
    base = base_world(categories=5)
    with pytest.raises(NoiseModelError, match="at least 6 base categories") as raised:
        train_noise_model(base.embeddings, base.categories, TaskShape(3, (10,)), CONFIG)
    assert "noise.enabled = false" in raised.value.hint and "exports still work" in raised.value.hint


def test_training__six_categories_are_enough_and_the_seed_decides() -> None:
    base = base_world(categories=6, size=8)
    once, again = (train_noise_model(base.embeddings, base.categories, TaskShape(2, (6,)), CONFIG) for _ in range(2))
    assert once.wrong.coefficients.tolist() == again.wrong.coefficients.tolist()
    assert once.calibration == again.calibration


def test_checkpoint__comes_back_bit_by_bit(model: NoiseModel, tmp_path: Path) -> None:
    path = tmp_path / "models" / "noise.safetensors"
    identity = save_noise_model(path, model, encoder_identity="e")
    assert save_noise_model(path, model, encoder_identity="e") == identity
    loaded = load_noise_model(path, encoder_identity="e")
    world = novel_world()
    assert judged(loaded, world).estimates == judged(model, world).estimates
    assert read_noise_calibration(path) == model.calibration


def test_checkpoint__refuses_what_it_should(model: NoiseModel, tmp_path: Path) -> None:
    path = tmp_path / "noise.safetensors"
    with pytest.raises(NoiseModelError, match="no noise model"):
        load_noise_model(path, encoder_identity="e")
    save_noise_model(path, model, encoder_identity="e")
    with pytest.raises(NoiseModelError, match="learned on embeddings of e"):
        load_noise_model(path, encoder_identity="other")
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(NoiseModelError, match="damaged"):
        load_noise_model(path, encoder_identity="e")
    path.write_bytes(b"nothing")
    with pytest.raises(NoiseModelError, match="damaged"):
        load_noise_model(path, encoder_identity="e")


def test_reliability__bins_add_up() -> None:
    probability = np.array([0.05, 0.06, 0.5, 1.0], dtype=np.float32)
    wrong = np.array([False, True, True, True])
    bins = reliability(wrong, probability, bins=10)
    assert [item.images for item in bins] == [2, 1, 1]
    assert [item.wrong for item in bins] == [0.5, 1.0, 1.0]
    assert calibration_error(wrong, probability, bins=10) == pytest.approx((2 * 0.445 + 0.5 + 0) / 4, abs=1e-6)


def test_explanation__names_the_loudest_evidence() -> None:
    pieces = np.zeros(len(COLUMNS), dtype=np.float32)
    pieces[COLUMNS.index("vote")], pieces[COLUMNS.index("weight")] = 2.0, 1.0
    sample = ExplainedSample("Wren", 0.87, "Robin", 0.6, 0.41, 9, 10, how_loud(pieces[None])[0].tolist())
    assert explain(sample) == (
        "Probably wrong (87%): 9 of the 10 images most like it are listed under other categories, and its similarity "
        "to the other Wren images is 41% of what is usual there."
    )
    right = replace(sample, noise_probability=0.02, strangers=1, spoken=how_loud(-pieces[None])[0].tolist())
    assert explain(right).startswith("Probably right (98%): 9 of the 10 images most like it are also listed under Wren")
    silent = replace(sample, spoken=[0.0, 0.0, 0.0])
    assert "all the evidence" in explain(silent)

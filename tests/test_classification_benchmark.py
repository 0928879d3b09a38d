"""The benchmark of classifiers: who believes what, what is trained on it, which images are reviewed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from curation.config import Config, NoiseConfig, SimilarityConfig
from curation.noise.recalibration import reviewed_samples
from curation.similarity.scoring import pair_similarities
from curation.values import DecisionAction, FloatArray
from pipelines.classification.fitting import Fitted
from pipelines.classification.frozen import fit_head
from pipelines.classification.methods import Columns, TrainingTargets, find_targets
from tests.benchmarks import classification_gpu
from tests.benchmarks.classification_fits import (
    LAST_EPOCH,
    OURS,
    RECIPES,
    TRUTH,
    Recipe,
    Setup,
    accuracy,
    reviewed_accuracy,
    without_opinion,
)
from tests.benchmarks.classification_judges import Believed, f1, learn, ours, told_wrong, truth
from tests.benchmarks.classification_review import ORDERS, RIGHT, Changes, changes, decide, order_of
from tests.benchmarks.noise_sets import OUTLIER, NoiseTask
from tests.toy_world import NOVEL, make_world


@pytest.fixture(scope="module")
def setup() -> Setup:
    """The small known world as a set: 24 base and 10 novel categories, half of the novel images wrong."""
    world = make_world(0)
    base, web, test = world.base(20), world.web(20, 0.5, np.random.default_rng(0)), world.test(20)
    few = base.true < 24
    names = np.array([f"novel{code}" for code in range(NOVEL)] + [OUTLIER])
    task = NoiseTask(
        base=base.embeddings[few],
        base_categories=np.array([f"base{code:02}" for code in base.true[few]]),
        novel=web.embeddings,
        listed=names[web.listed],
        true=names[web.true],
    )
    judge = learn(task, Config(similarity=SimilarityConfig(batches=100), noise=NoiseConfig(made_images=600)))
    believed = ours(task, judge)
    return Setup("toy", task, test.embeddings, test.true, judge, {OURS: believed, TRUTH: truth(believed, task)})


def test_ours__drops_what_the_noise_model_suspects(setup: Setup) -> None:
    believed = setup.believed[OURS]
    assert np.array_equal(believed.columns.kept, believed.columns.noise_probability < 0.5)
    assert f1(~believed.columns.kept, setup.task.wrong) > 0.75  # flagging all of them would give 0.67
    assert np.array_equal(believed.rows, np.arange(200))


def test_truth__knows_what_is_wrong_and_what_it_is(setup: Setup) -> None:
    columns = setup.believed[TRUTH].columns
    assert np.array_equal(columns.kept, ~setup.task.wrong)
    corrected = find_targets("relabelled", columns)
    assert np.array_equal(corrected.used, setup.task.true != OUTLIER)
    names = np.unique(setup.task.listed)
    assert (names[corrected.targets.argmax(axis=1)] == setup.task.true)[corrected.used].all()
    assert np.array_equal(find_targets("cleaned", columns).used, ~setup.task.wrong)


def test_told_wrong__without_suggestions_nothing_is_relabelled(setup: Setup) -> None:
    columns = told_wrong(setup.believed[OURS], setup.task.wrong).columns
    cleaned, relabelled = (find_targets(method, columns) for method in ("cleaned", "relabelled"))
    assert np.array_equal(cleaned.weights, relabelled.weights)


def test_accuracy__what_is_known_helps(setup: Setup) -> None:
    plain, oracle = (accuracy(setup, RECIPES[row], 0) for row in ("plain", "oracle"))
    assert plain + 0.05 < oracle
    assert accuracy(setup, RECIPES["plain"], 0) == plain


@pytest.mark.parametrize("graph", ["own", "shuffled"])
def test_accuracy__a_shuffled_graph_compares_other_images(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, graph: Any
) -> None:
    compared = []

    def watched(embeddings: FloatArray, *arguments: Any, network_embeddings: FloatArray, **options: Any) -> Fitted:
        compared.append((embeddings == network_embeddings).all(axis=1))
        assert np.array_equal(np.sort(embeddings, axis=0), np.sort(network_embeddings, axis=0))
        return fit_head(embeddings, *arguments, network_embeddings=network_embeddings, **options)

    monkeypatch.setattr("tests.benchmarks.classification_fits.fit_head", watched)
    accuracy(setup, Recipe(OURS, "graph", graph, {"epochs": 1}), 0)
    (same,) = compared
    assert same.mean() < 0.1 if graph == "shuffled" else same.all()


def test_without_opinion__all_pairs_are_alike(setup: Setup) -> None:
    network = without_opinion(setup.judge.network)
    similarity = pair_similarities(network, setup.test[:8], setup.test[:8])
    assert similarity[0, 1] > 0 and (similarity == similarity[0, 1]).all()
    assert len(np.unique(pair_similarities(setup.judge.network, setup.test[:8], setup.test[:8]))) > 8


def test_last_epoch__holds_nothing_out(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_on = []

    def watched(embeddings: FloatArray, targets: TrainingTargets, *arguments: Any, **options: Any) -> Fitted:
        trained_on.append((int(targets.used.sum()), options["validation"]))
        return fit_head(embeddings, targets, *arguments, **options)

    monkeypatch.setattr("tests.benchmarks.classification_fits.fit_head", watched)
    for recipes in (RECIPES, LAST_EPOCH):
        accuracy(setup, replace(recipes["plain"], options={**recipes["plain"].options, "epochs": 1}), 0)
    (selected, part), (all_of_them, nothing) = trained_on
    assert selected < all_of_them == 200
    assert len(part.rows) and not len(nothing.rows)


def test_reviewed_accuracy__everything_reviewed_is_nearly_the_truth(setup: Setup) -> None:
    reviewed = reviewed_accuracy(setup, "random", 200, "cleaned", 0)
    assert reviewed.wrong == 100
    assert reviewed.accuracy > accuracy(setup, RECIPES["plain"], 0)
    dropped = int((~setup.believed[OURS].columns.kept).sum())
    assert 0 < reviewed.changes.added <= dropped
    assert 0 < reviewed.changes.total < 200


def _kept_as(rows: list[int], category: list[int], kept: list[int]) -> Believed:
    columns = Columns(
        n_categories=2,
        category=np.array(category),
        web_category=np.zeros(len(rows), dtype=np.int64),
        weight=np.ones(len(rows), dtype=np.float32),
        noise_probability=np.zeros(len(rows), dtype=np.float32),
        suggested=np.full(len(rows), -1),
        suggested_probability=np.zeros(len(rows), dtype=np.float32),
        kept=np.array(kept, dtype=np.bool_),
        barred=np.zeros(len(rows), dtype=np.bool_),
    )
    return Believed((), np.array(rows), columns)


def test_changes__counted_by_hand() -> None:
    before = _kept_as([0, 1, 2, 3, 4, 5], category=[0, 0, 0, 0, 0, 0], kept=[1, 1, 1, 0, 0, 0])
    # Image 1 is moved, 2 dropped by a person, 3 kept, 4 moved and so kept, 5 dropped, which the set had done already.
    after = _kept_as([0, 1, 3, 4], category=[0, 1, 0, 1], kept=[1, 1, 1, 1])
    assert changes("cleaned", before, after, 6) == Changes(added=2, removed=1, relabelled=1)
    assert changes("cleaned", before, before, 6).total == 0


def test_ours__decisions_count_for_their_own_images(setup: Setup) -> None:
    decisions = decide(np.arange(40), setup.task, 0)
    believed = ours(setup.task, setup.judge, decisions)
    dropped = {name for name, decision in decisions.items() if decision.action is DecisionAction.DROP}
    assert dropped
    assert {sample.sample_id for sample in believed.samples} == {f"{row:06}" for row in range(200)} - dropped
    for name, sample in ((sample.sample_id, sample) for sample in believed.samples if sample.sample_id in decisions):
        assert (sample.noise_probability, sample.set_aside) == (0.0, None)
        assert sample.category == (decisions[name].category or sample.web_category)


@pytest.mark.parametrize("order", ORDERS)
def test_order_of__every_image_once(setup: Setup, order: Any) -> None:
    rows = order_of(order, setup.believed[OURS].columns, setup.task, 0)
    assert np.array_equal(np.sort(rows), np.arange(200))


def test_order_of__budget_begins_with_the_most_doubtful_of_the_kept(setup: Setup) -> None:
    columns = replace(setup.believed[OURS].columns, noise_probability=np.linspace(0, 1, 200, dtype=np.float32))
    rows = order_of("budget", columns, setup.task, 0)
    assert rows[:3].tolist() == [99, 98, 97]
    assert set(rows[100:]) == set(range(100, 200))


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("budget", [1, 0, 2, 3, 4]),
        ("least certain", [2, 1, 3, 0, 4]),  # 0.03, 0.1, 0.2, 0.4 and 0.49 from the threshold
        ("unsure suggestion", [3, 4, 2, 1, 0]),  # the suggestion of image 4 is sure, that of image 3 is not
        ("likely change", [3, 4, 2, 1, 0]),  # 0.3 + 0.6, 0.01 + 0.8, 0.47, 0.4, 0.1
    ],
)
def test_order_of__by_hand(setup: Setup, order: Any, first: list[int]) -> None:
    columns = setup.believed[OURS].columns
    five = replace(
        columns,
        noise_probability=np.array([0.1, 0.4, 0.53, 0.7, 0.99], dtype=np.float32),
        suggested=np.array([0, 0, -1, 2, 3]),
        suggested_probability=np.array([0.9, 0.6, 0.5, 0.6, 0.8], dtype=np.float32),
    )
    assert order_of(order, five, setup.task, 0).tolist() == first


def test_order_of__queue_gives_pages_of_one_category(setup: Setup) -> None:
    probability = setup.believed[OURS].columns.noise_probability
    rows = order_of("queue", setup.believed[OURS].columns, setup.task, 0)
    errors = {name: probability[setup.task.listed == name].sum() for name in np.unique(setup.task.listed)}
    first = setup.task.listed[rows[0]]
    assert first == max(errors, key=lambda name: errors[name])
    assert (setup.task.listed[rows[:12]] == first).all()
    assert (np.diff(probability[rows[:12]]) <= 0).all()


def test_decide__answers_are_right_as_often_as_said() -> None:
    listed = np.repeat(["a", "b"], 2_000)
    true = listed.copy()
    true[:500], true[500:1_000] = "b", OUTLIER
    task = NoiseTask(np.zeros((1, 2)), np.array(["c"]), np.zeros((4_000, 2), dtype=np.float32), listed, true)
    decisions = decide(np.arange(4_000), task, 0)
    said = [decision.action for decision in decisions.values()]
    wanted = [DecisionAction.RELABEL] * 500 + [DecisionAction.DROP] * 500 + [DecisionAction.KEEP] * 3_000
    right = np.array([action is other for action, other in zip(said, wanted, strict=True)])
    assert right.mean() == pytest.approx(RIGHT, abs=0.015)
    assert {action for action, is_right in zip(said[:1_000], right[:1_000], strict=True) if not is_right} == {
        DecisionAction.KEEP
    }
    learned = reviewed_samples(list(decisions), np.repeat([0, 1], 2_000), ["a", "b"], decisions)
    assert learned is not None and len(learned.rows) == 4_000


def test_fine_tuning__no_figure_is_made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert classification_gpu.figures(tmp_path, tmp_path, "cuda") == "not run: no GPU"
    assert classification_gpu.figures(tmp_path, tmp_path, "cpu") == "not run: it takes --device cuda"


def test_believed__travels_to_a_worker(setup: Setup) -> None:
    believed: Believed = setup.believed[OURS]
    assert len(believed.samples) == len(believed.rows) == len(believed.columns.kept)

"""The hybrid of web images and category vectors: its losses, its crossover in a known world, its files."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from app.cli import app
from curation.errors import EncoderError, TrainingError
from curation.export.reading import ExportedSet
from pipelines.classification.checkpoint import MODEL, load_classifier
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.hybrid import (
    BaseKnowledge,
    HybridNetwork,
    HybridParts,
    compatibility,
    domain_loss,
    no_knowledge,
    self_paced_weights,
)
from pipelines.classification.hybrid_fitting import cycled_batches, fit_hybrid
from pipelines.classification.methods import make_targets
from pipelines.classification.training import STATE, train
from pipelines.training.metrics import Interval
from tests import reference
from tests.benchmarks.hybrid import PARTS, accuracies_of, crossover, mean_interval
from tests.training_factory import CATEGORIES, coloured_samples, coloured_test_set, export_samples

SEEDS = st.integers(0, 10_000)


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (5, 4), V (4, 3), category vectors (6, 3)."""
    random = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=random) for shape in ((5, 4), (4, 3), (6, 3)))  # type: ignore[return-value]


# ---- losses


@given(SEEDS)
def test_compatibility__agrees_with_plain_loops(seed: int) -> None:
    features, matrix, vectors = drawn(seed)
    expected = reference.compatibility(features.tolist(), matrix.tolist(), vectors.tolist())
    np.testing.assert_allclose(compatibility(features, matrix, vectors), expected, rtol=1e-4, atol=1e-5)


@given(SEEDS)
def test_domain_loss__agrees_with_plain_loops(seed: int) -> None:
    features, matrix, _ = drawn(seed)
    base, web = features[:3], features[3:]
    expected = reference.domain_loss(base.tolist(), web.tolist(), matrix.tolist())
    assert float(domain_loss(base.mean(0) - web.mean(0), matrix)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0.01, 10), st.integers(0, 2)), min_size=1, max_size=9))
def test_self_paced_weights__agree_with_plain_loops(images: list[tuple[float, int]]) -> None:
    losses, codes = [loss for loss, _ in images], [code for _, code in images]
    weights = self_paced_weights(torch.tensor(losses), torch.tensor(codes))
    np.testing.assert_allclose(weights, reference.self_paced_weights(losses, codes), rtol=1e-4, atol=1e-6)
    for code in set(codes):
        assert float(weights[torch.tensor(codes) == code].mean()) == pytest.approx(1, rel=1e-4)
    doubled = self_paced_weights(2 * torch.tensor(losses), torch.tensor(codes))
    np.testing.assert_allclose(doubled, weights, rtol=1e-4, atol=1e-6)  # the median is the unit of a loss


def test_self_paced_weights__by_hand_and_where_all_is_learned() -> None:
    weights = self_paced_weights(torch.tensor([1.0, 2.0, 3.0, 7.0]), torch.tensor([0, 0, 0, 1]))
    expected = [np.exp(-loss / 2) / sum(np.exp(-other / 2) for other in (1, 2, 3)) * 3 for loss in (1, 2, 3)]
    np.testing.assert_allclose(weights, [*expected, 1], rtol=1e-6)
    assert self_paced_weights(torch.zeros(3), torch.zeros(3, dtype=torch.int64)).tolist() == [1, 1, 1]


# ---- the network and its fitting


def knowledge_of(base: int = 6) -> BaseKnowledge:
    """`base` samples of two base categories behind eight of the web; vectors of the plane."""
    codes = np.arange(base) % 2
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    return BaseKnowledge(8 + np.arange(base), codes, vectors[:2], vectors)


def problem(seed: int = 0) -> tuple[Any, Any]:
    """Embeddings (14, 5) and targets of three novel categories for the first eight."""
    embeddings = np.random.default_rng(seed).normal(size=(14, 5)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    targets = np.zeros((14, 3), dtype=np.float32)
    targets[np.arange(8), np.arange(8) % 3] = 1
    return embeddings, make_targets(targets, np.ones(14, dtype=np.float32))


def config_of(**options: Any) -> ClassificationConfig:
    return ClassificationConfig(**{"method": "hybrid", "device": "cpu", "epochs": 6, "batch_size": 4, **options})


def test_as_classifier__has_the_same_logits() -> None:
    network = HybridNetwork(5, knowledge_of(), "both")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    inputs = torch.from_numpy(problem()[0])
    torch.testing.assert_close(network.as_classifier()(inputs)[0], network.novel_logits(inputs))


@pytest.mark.parametrize("parts", PARTS)
def test_fit_hybrid__a_part_learns_from_its_own_side_alone(parts: HybridParts) -> None:
    embeddings, targets = problem()

    def weights(changed: Any, knowledge: BaseKnowledge) -> torch.Tensor:
        return fit_hybrid(changed, targets, knowledge, config_of(hybrid_parts=parts)).classifier.last.weight.detach()

    usual = weights(embeddings, knowledge_of())
    assert torch.equal(usual, weights(embeddings, knowledge_of())) and usual.any()
    other = knowledge_of()
    other = BaseKnowledge(other.rows, 1 - other.codes, other.base_vectors, other.novel_vectors)
    assert torch.equal(usual, weights(embeddings, other)) == (parts == "h")
    swapped = embeddings.copy()
    swapped[[0, 1]] = embeddings[[1, 0]]  # the mean of the web, all that V alone sees, stays
    assert torch.allclose(usual, weights(swapped, knowledge_of()), atol=1e-6) == (parts == "v")


def test_fit_hybrid__v_moves_along_differences_of_base_vectors_and_h_needs_none() -> None:
    embeddings, targets = problem()
    by_vectors = fit_hybrid(embeddings, targets, knowledge_of(), config_of(hybrid_parts="v")).classifier.last
    along = torch.tensor([1.0, -1.0, 0.6 - 0.8])  # how far each novel vector goes from one base vector to the other
    torch.testing.assert_close(by_vectors.weight, torch.outer(along, by_vectors.weight[0]))
    assert by_vectors.weight.any() and not by_vectors.bias.any()
    by_web = fit_hybrid(embeddings, targets, no_knowledge(3), config_of(hybrid_parts="h")).classifier.last
    assert by_web.weight.any(dim=1).all() and by_web.bias.any()


def test_fit_hybrid__weights_of_the_samples_count_where_asked_for() -> None:
    embeddings, targets = problem()
    uneven = make_targets(targets.targets, np.where(targets.used, np.arange(1, 15), 0).astype(np.float32))

    def bias(choice: str, of: Any) -> list[float]:
        fitted = fit_hybrid(embeddings, of, knowledge_of(), config_of(hybrid_weights=choice))
        found: list[float] = fitted.classifier.last.bias.tolist()
        return found

    assert bias("equal", uneven) == bias("equal", targets) == bias("samples", targets)
    assert bias("self-paced", uneven) == bias("self-paced", targets) != bias("equal", targets)
    assert bias("samples", uneven) != bias("samples", targets)


@given(rows=st.integers(1, 30), steps=st.integers(1, 20), epoch=st.integers(0, 3))
def test_cycled_batches__go_through_all_rows_before_one_comes_again(rows: int, steps: int, epoch: int) -> None:
    batches = cycled_batches(np.arange(rows), steps, config_of(), epoch)
    assert len(batches) == steps
    per_pass = max(1, rows // 4)
    for start in range(0, steps, per_pass):
        shown = np.concatenate(batches[start : start + per_pass])
        assert len(set(shown.tolist())) == len(shown)
    assert cycled_batches(np.arange(0), 2, config_of(), epoch)[1].size == 0


# ---- the crossover


def test_crossover__category_vectors_help_until_there_is_enough_web_data() -> None:
    few, many = ([accuracies_of(size, seed, epochs=15) for seed in (0, 1)] for size in (5, 80))
    for found in few:
        assert found["v"] > 0.4 and found["both"] > found["h"] + 0.03  # chance is 0.1
    for found in many:
        assert abs(found["both"] - found["h"]) < 0.02 and found["h"] > found["v"]


def test_crossover__by_hand() -> None:
    helps, does_not = Interval(0.1, 0.05, 0.15), Interval(0.01, -0.01, 0.03)
    assert crossover([(5, helps), (10, does_not), (20, does_not)]) == 10
    assert crossover([(5, does_not), (10, helps), (20, does_not)]) == 20
    assert crossover([(5, does_not), (10, helps)]) is None


def test_mean_interval__is_students() -> None:
    found = mean_interval(np.array([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert (found.value, found.high) == (pytest.approx(0.3), pytest.approx(0.3 + 2.776 * 0.1581 / 5**0.5, abs=1e-3))


# ---- from an export to a file


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedSet:
    folder = tmp_path_factory.mktemp("hybrid")
    return export_samples(coloured_samples(folder / "in", base=8), folder / "out")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """How red, green and blue every category is."""
    path = tmp_path_factory.mktemp("vectors") / "colours.csv"
    rows = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1), "black": (-1, -1, -1)}
    path.write_text("category,r,g,b\n" + "".join(f"{name},{r},{g},{b}\n" for name, (r, g, b) in rows.items()))
    assert rows.keys() == CATEGORIES.keys()
    return path


def test_verb__trains_judges_and_predicts(exported: ExportedSet, vectors: Path, tmp_path: Path) -> None:
    test = coloured_test_set(tmp_path / "test")
    run = CliRunner()
    done = run.invoke(
        app,
        f"train classification {exported.folder} --out {tmp_path / 'model'} --test {test} "
        f"--method hybrid --category-vectors {vectors} --device cpu --json",
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["test"]["accuracy"] == 1.0
    figures = told["training"]
    assert figures["base_categories"] == 2 and figures["base_samples"] > 8
    assert figures["used"] + figures["base_samples"] + figures["held_out"] + figures["left_out"] == figures["samples"]
    facts = load_classifier(tmp_path / "model" / MODEL, "cpu").facts
    assert facts.categories == ("blue", "green", "red") and facts.config.hybrid_parts == "both"
    predicted = run.invoke(app, ["predict", str(tmp_path / "model"), str(test), "--json"], catch_exceptions=False)
    assert predicted.exit_code == 0 and '"green"' in predicted.stdout


def test_train__a_resumed_hybrid_is_an_undisturbed_one(exported: ExportedSet, vectors: Path, tmp_path: Path) -> None:
    config, steps = config_of(category_vectors=str(vectors)), []

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "training":
            steps.append(done)
            if done == 20:
                os.kill(os.getpid(), signal.SIGINT)

    whole = train(exported, config, tmp_path / "whole", embeddings=tmp_path / "embeddings")
    with pytest.raises(KeyboardInterrupt):
        train(exported, config, tmp_path / "cut", embeddings=tmp_path / "embeddings", progress=interrupt)
    assert (tmp_path / "cut" / STATE).exists() and 20 <= steps[-1] < len(whole.history) * steps[-1]
    resumed = train(exported, config, tmp_path / "cut", embeddings=tmp_path / "embeddings", progress=interrupt)
    assert steps == list(range(1, len(steps) + 1))  # no step twice, none left out
    for name, tensor in whole.classifier.state_dict().items():
        assert torch.equal(resumed.classifier.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"category_vectors": None}, "needs a vector of every category"),
        ({"finetune": True}, "--finetune does not go with it"),
        ({"generalized": True}, "--generalized does not go with it"),
        ({"head": "mlp"}, "--head mlp does not go with it"),
        ({"method": "plain"}, "plain uses no category vectors"),
        ({"category_vectors": "nowhere.csv"}, "nowhere.csv cannot be read"),
    ],
)
def test_train__refuses(
    options: dict[str, Any], told: str, exported: ExportedSet, vectors: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=told) as caught:
        train(exported, config_of(**{"category_vectors": str(vectors), **options}), tmp_path)
    assert caught.value.hint


def test_train__an_encoder_that_reads_no_names_says_so(exported: ExportedSet, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no text"):
        train(exported, config_of(category_vectors="text"), tmp_path)


def test_train__without_base_samples_there_is_h_alone(vectors: Path, tmp_path: Path) -> None:
    bare = export_samples(coloured_samples(tmp_path / "in"), tmp_path / "out")
    with pytest.raises(TrainingError, match="0 base categories") as caught:
        train(bare, config_of(category_vectors=str(vectors)), tmp_path / "both")
    assert "--with-base" in caught.value.hint
    trained = train(bare, config_of(hybrid_parts="h"), tmp_path / "h")
    assert trained.facts.figures["base_samples"] == 0 and trained.classifier.last.weight.any()

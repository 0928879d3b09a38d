from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from curation.config import SimilarityConfig
from curation.errors import SimilarityError
from curation.similarity.checkpoint import load_network, save_network
from curation.similarity.network import HEADS, Head
from curation.similarity.pair_metrics import average_precision, pair_loss, pair_metrics
from curation.similarity.scoring import both_orders, pair_similarities
from curation.similarity.training import TrainedNetwork, similarity_loss, train_network
from curation.values import FloatArray
from tests import reference

DIMENSION = 16


def _images(categories: int, each: int, seed: int = 0, prefix: str = "base") -> tuple[FloatArray, list[str]]:
    """Unit-norm embeddings of categories that differ in half of the directions, with strong noise in the others."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((categories, DIMENSION))
    centres[:, DIMENSION // 2 :] = 0
    noise = generator.standard_normal((categories, each, DIMENSION))
    noise[..., : DIMENSION // 2] *= 0.4
    noise[..., DIMENSION // 2 :] *= 2
    rows = (centres[:, None] + noise).reshape(-1, DIMENSION)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), [f"{prefix}{code}" for code in range(categories) for _ in range(each)]


def _config(head: Head = "metric", **changes: Any) -> SimilarityConfig:
    values = {"head": head, "batches": 40, "batch_size": 24, "categories_per_batch": 6, "evaluations": 4}
    return SimilarityConfig.model_validate(values | {"projection": 8, "device": "cpu"} | changes)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


def _state(trained: TrainedNetwork) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in trained.network.state_dict().items()}


@pytest.mark.parametrize("head", HEADS)
def test_train_network__transfers_to_categories_it_has_not_seen(head: Head) -> None:
    base, categories = _images(60, 8)
    trained = train_network(base, categories, _config(head, batches=150, learning_rate=0.05))
    novel, codes = _images(6, 15, seed=9, prefix="novel")
    same = np.array(codes)[:, None] == np.array(codes)[None, :]
    off_diagonal = ~np.eye(len(codes), dtype=bool)
    similarity = both_orders(trained.network, novel, novel)
    learned = average_precision(similarity[off_diagonal], same[off_diagonal])
    cosine = average_precision((novel @ novel.T)[off_diagonal], same[off_diagonal])
    assert learned > cosine + 0.1
    assert not trained.network.training
    assert len(trained.held_out_categories) == 12
    assert sorted(trained.training_categories + trained.held_out_categories) == sorted(set(categories))
    with_self, without = trained.pair_metrics["with_diagonal"], trained.pair_metrics["without_diagonal"]
    assert without.average_precision > 0.4
    assert with_self.recall >= without.recall


@pytest.mark.parametrize("head", HEADS)
def test_train_network__same_seed_same_bits(head: Head) -> None:
    base, categories = _images(8, 6)
    first, second = (_state(train_network(base, categories, _config(head, batches=12))) for _ in range(2))
    assert first == second
    assert first != _state(train_network(base, categories, _config(head, batches=12, seed=1)))


def test_train_network__leaves_the_global_random_state_alone() -> None:
    base, categories = _images(6, 6)
    torch.manual_seed(5)
    expected = torch.rand(3).tolist()
    torch.manual_seed(5)
    train_network(base, categories, _config("concat2", batches=2))
    assert torch.rand(3).tolist() == expected


def test_train_network__order_of_categories_does_not_matter() -> None:
    base, categories = _images(8, 6)
    order = np.concatenate([np.arange(code, 48, 6) for code in range(6)])  # interleaved, each category in its own order
    shuffled = train_network(base[order], [categories[at] for at in order], _config())
    assert _state(shuffled) == _state(train_network(base, categories, _config()))


@pytest.mark.parametrize("head", HEADS)
def test_train_network__adversarial_loss_runs_and_changes_the_network(head: Head) -> None:
    base, categories = _images(8, 6)
    novel, novel_categories = _images(3, 6, seed=2, prefix="novel")
    seen: list[dict[str, float]] = []
    trained = train_network(
        base,
        categories,
        _config(head, beta=0.1),
        novel_embeddings=novel,
        novel_categories=novel_categories,
        progress=lambda _done, _total, figures: seen.append(figures),
    )
    assert all(np.isfinite(figures["domain_loss"]) for figures in seen)
    assert _state(trained) != _state(train_network(base, categories, _config(head)))


def test_train_network__adversarial_loss_needs_novel_images() -> None:
    base, categories = _images(8, 6)
    with pytest.raises(SimilarityError, match=r"beta is 0\.1.*novel images"):
        train_network(base, categories, _config(beta=0.1))


@pytest.mark.parametrize(("categories", "held_out"), [(4, 2), (5, 2), (6, 2)])
def test_train_network__few_base_categories(categories: int, held_out: int) -> None:
    trained = train_network(*_images(categories, 5), _config(batches=5))
    assert len(trained.held_out_categories) == held_out


@pytest.mark.parametrize("categories", [0, 1, 3])
def test_train_network__too_few_base_categories(categories: int) -> None:
    with pytest.raises(SimilarityError, match=rf"at least 4 base categories.*got {categories}"):
        train_network(*_images(categories, 5), _config())


def test_train_network__single_images_are_never_held_out() -> None:
    base, categories = _images(8, 5)
    kept = [at for at, name in enumerate(categories) if name in {"base0", "base1", "base2", "base3"} or at % 5 == 0]
    trained = train_network(base[kept], [categories[at] for at in kept], _config(batches=3))
    assert set(trained.held_out_categories) <= {"base0", "base1", "base2", "base3"}


def test_train_network__divergence_says_what_to_change() -> None:
    base, categories = _images(8, 6)
    with pytest.raises(SimilarityError, match=r"diverged.*learning_rate \(now 1e\+30\)"):
        train_network(base, categories, _config("concat2", learning_rate=1e30))


def test_train_network__refuses_rows_without_category_and_broken_embeddings() -> None:
    base, categories = _images(8, 6)
    with pytest.raises(SimilarityError, match="one category for every row"):
        train_network(base, categories[1:], _config())
    base[3, 2] = np.nan
    with pytest.raises(SimilarityError, match="not finite"):
        train_network(base, categories, _config())


def test_train_network__reports_progress() -> None:
    seen: list[tuple[int, int, dict[str, float]]] = []
    train_network(*_images(6, 6), _config(batches=8, evaluations=2), progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(1, 9))
    assert {total for _, total, _ in seen} == {8}
    assert "held_out_loss" not in seen[2][2]
    assert {"loss", "held_out_loss"} <= set(seen[-1][2])


def test_train_network__keeps_the_best_evaluation() -> None:
    """With a rate that spoils the network in the end, the state kept is an earlier, better one."""
    base, categories = _images(12, 10)
    losses: list[float] = []
    config = _config("concat2", batches=60, evaluations=6, learning_rate=0.5)
    trained = train_network(
        base, categories, config, progress=lambda _d, _t, figures: losses.append(figures.get("held_out_loss", np.inf))
    )
    names = sorted(trained.held_out_categories)
    held_out = [at for at, name in enumerate(categories) if name in names]
    codes = np.array([names.index(categories[at]) for at in held_out])
    similarity = pair_similarities(trained.network, base[held_out], base[held_out])
    assert pair_loss(similarity, codes, 0.0) == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.parametrize("similar_weight", [0.0, 1.0, 3.0])
def test_similarity_loss__equals_plain_loops(similar_weight: float) -> None:
    torch.manual_seed(0)
    outputs, similar = torch.randn(12, 2), torch.tensor([1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0])
    expected = reference.similarity_loss(outputs.tolist(), similar.tolist(), similar_weight)
    assert float(similarity_loss(outputs, similar, similar_weight)) == pytest.approx(expected, rel=1e-5)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=20))
@settings(max_examples=60)
def test_average_precision__equals_plain_loops(pairs: list[tuple[float, bool]]) -> None:
    values = np.array([value for value, _ in pairs], dtype=np.float32)
    relevant = np.array([is_relevant for _, is_relevant in pairs])
    expected = reference.average_precision(values, relevant) if relevant.any() else 0.0
    assert average_precision(values, relevant) == pytest.approx(expected, abs=1e-9)


def test_pair_metrics__by_hand() -> None:
    """Images 0 and 1 alike, 2 different; found off the diagonal: (0, 1) rightly, (0, 2) wrongly; (1, 0) is missed."""
    similarity = np.array([[1, 0.9, 0.7], [0.4, 1, 0.1], [0.2, 0.3, 1]], dtype=np.float32)
    codes = np.array([0, 0, 1])
    without = pair_metrics(similarity, codes, self_pairs=False)
    assert (without.precision, without.recall, without.f1) == pytest.approx((1 / 2, 1 / 2, 1 / 2))
    assert without.average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)
    with_self = pair_metrics(similarity, codes, self_pairs=True)
    assert (with_self.precision, with_self.recall) == pytest.approx((4 / 5, 4 / 5))


def _trained(head: Head = "metric") -> TrainedNetwork:
    return train_network(*_images(6, 6), _config(head, batches=3))


@pytest.mark.parametrize("head", HEADS)
def test_checkpoint__comes_back_the_same(head: Head, tmp_path: Path) -> None:
    trained, images = _trained(head), _images(3, 4, seed=5)[0]
    identity = save_network(tmp_path / "n.safetensors", trained, encoder_identity="a/1", config=_config(head))
    loaded = load_network(tmp_path / "n.safetensors", encoder_identity="a/1")
    expected = pair_similarities(trained.network, images, images)
    assert pair_similarities(loaded.network, images, images).tobytes() == expected.tobytes()
    facts = loaded.metadata
    assert (facts.head, facts.dimension, facts.encoder_identity) == (head, DIMENSION, "a/1")
    assert facts.config == _config(head)
    assert facts.training_categories == trained.training_categories
    assert facts.held_out_categories == trained.held_out_categories
    assert facts.pair_metrics == trained.pair_metrics
    assert facts.network_identity == identity
    assert [file.name for file in tmp_path.iterdir()] == ["n.safetensors"]


def test_checkpoint__identity_depends_on_weights_and_description(tmp_path: Path) -> None:
    trained, file = _trained(), tmp_path / "n.safetensors"
    first = save_network(file, trained, encoder_identity="a/1", config=_config())
    assert save_network(file, trained, encoder_identity="a/1", config=_config()) == first
    assert save_network(file, trained, encoder_identity="b/2", config=_config()) != first
    with torch.no_grad():
        trained.network.centre.add_(1)
    assert save_network(file, trained, encoder_identity="a/1", config=_config()) != first


def test_checkpoint__refuses_embeddings_of_another_encoder(tmp_path: Path) -> None:
    save_network(tmp_path / "n.safetensors", _trained(), encoder_identity="a/1", config=_config())
    with pytest.raises(SimilarityError, match=r"trained on embeddings of a/1, these embeddings are of b/2"):
        load_network(tmp_path / "n.safetensors", encoder_identity="b/2")


def test_checkpoint__missing_file(tmp_path: Path) -> None:
    with pytest.raises(SimilarityError, match=r"no similarity network at .*train-similarity"):
        load_network(tmp_path / "n.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 100, 2000, -1])
def test_checkpoint__truncated_file(keep: int, tmp_path: Path) -> None:
    file = tmp_path / "n.safetensors"
    save_network(file, _trained(), encoder_identity="a/1", config=_config())
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(SimilarityError, match="damaged or not a similarity network"):
        load_network(file)


def test_checkpoint__one_flipped_bit(tmp_path: Path) -> None:
    file = tmp_path / "n.safetensors"
    save_network(file, _trained(), encoder_identity="a/1", config=_config())
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    with pytest.raises(SimilarityError, match="do not belong to its description"):
        load_network(file)


@pytest.mark.parametrize("metadata", [None, {"similarity_network": "{"}, {"similarity_network": "[]"}])
def test_checkpoint__foreign_safetensors(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "n.safetensors", metadata=metadata)
    with pytest.raises(SimilarityError, match="damaged or not a similarity network"):
        load_network(tmp_path / "n.safetensors")


def test_checkpoint__another_schema_version(tmp_path: Path) -> None:
    description = {"similarity_network": json.dumps({"schema_version": 99})}
    save_file({"x": torch.zeros(2)}, tmp_path / "n.safetensors", metadata=description)
    with pytest.raises(SimilarityError, match="schema version 99"):
        load_network(tmp_path / "n.safetensors")


def test_checkpoint__description_that_does_not_fit_the_weights(tmp_path: Path) -> None:
    trained = _trained()
    trained.network.projected = 4  # the weights have 8
    save_network(tmp_path / "n.safetensors", trained, encoder_identity="a/1", config=_config())
    with pytest.raises(SimilarityError, match="damaged or not a similarity network"):
        load_network(tmp_path / "n.safetensors")


def test_checkpoint__failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "n.safetensors"
    save_network(file, _trained(), encoder_identity="a/1", config=_config())
    before = file.read_bytes()

    def no_space(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(SimilarityError, match="No space left"):
        save_network(file, _trained(), encoder_identity="b/2", config=_config())
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["n.safetensors"]

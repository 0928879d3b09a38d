from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import SimilarityError
from curation.similarity import scoring
from curation.similarity.folded import FoldedConcat
from curation.similarity.network import HEADS, Head, SimilarityNetwork
from curation.similarity.scoring import both_orders, mean_similarities, pair_similarities
from curation.values import FloatArray
from tests import reference

DIMENSION = 5


def _network(head: Head) -> SimilarityNetwork:
    torch.manual_seed(1)
    network = SimilarityNetwork(head, DIMENSION, projected=3)
    network.centre.uniform_(-0.1, 0.1)
    network.whitening += 0.3 * torch.randn(DIMENSION, 3)
    network.train()
    network.pair_outputs(network.standardise(torch.randn(1, 12, DIMENSION)))
    return network.eval()


def _embeddings(count: int, seed: int = 0) -> FloatArray:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    unit: FloatArray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 4 images a side, so that a few images take several of them."""
    monkeypatch.setattr(scoring, "_tile_side", lambda *_: 4)


@pytest.mark.parametrize("head", HEADS)
def test_pair_similarities__equals_plain_loops(head: Head, small_tiles: None) -> None:
    network, rows, columns = _network(head), _embeddings(6), _embeddings(9, seed=1)
    expected = reference.pair_similarities(network, rows, columns)
    np.testing.assert_allclose(pair_similarities(network, rows, columns), expected, atol=1e-5)


def test_pair_similarities__concat2_through_torch_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    network, rows = _network("concat2"), _embeddings(7)
    fused = pair_similarities(network, rows, rows)
    monkeypatch.setattr(scoring, "fold", lambda network, _device, precision: FoldedConcat(network, precision))
    np.testing.assert_allclose(pair_similarities(network, rows, rows), fused, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_pair_similarities__bfloat16_is_close(head: Head) -> None:
    network, rows = _network(head), _embeddings(20)
    exact = pair_similarities(network, rows, rows)
    rough = pair_similarities(network, rows, rows, precision="bfloat16")
    assert np.abs(exact - rough).max() <= 0.01


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("threads", [1, 2])
def test_pair_similarities__many_rows_on_threads(head: Head, threads: int) -> None:
    """More rows than one band: a value does not depend on the images beside it, torch's threads stay."""
    network, rows = _network(head), _embeddings(90)
    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = pair_similarities(network, rows, rows[:10])
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(usual)
    np.testing.assert_allclose(whole[77:78], pair_similarities(network, rows[77:78], rows[:10]), atol=1e-5)


@given(order=st.permutations(range(7)), head=st.sampled_from(HEADS))
@settings(max_examples=15)
def test_pair_similarities__permutation_equivariant(order: list[int], head: Head) -> None:
    network, rows = _network(head), _embeddings(7)
    whole = pair_similarities(network, rows, rows)
    shuffled = pair_similarities(network, rows[order], rows[order])
    np.testing.assert_allclose(shuffled, whole[np.ix_(order, order)], atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_pair_similarities__nothing_to_compare(head: Head) -> None:
    assert pair_similarities(_network(head), _embeddings(0), _embeddings(3)).shape == (0, 3)
    assert pair_similarities(_network(head), _embeddings(3), _embeddings(0)).shape == (3, 0)


@pytest.mark.parametrize("head", HEADS)
def test_pair_similarities__a_nan_stays_one(head: Head) -> None:
    rows = _embeddings(3)
    rows[1] = np.nan
    similarity = pair_similarities(_network(head), rows, _embeddings(6))
    assert np.isnan(similarity[1]).all()
    assert not np.isnan(similarity[[0, 2]]).any()


def test_pair_similarities__refuses_another_dimension() -> None:
    with pytest.raises(SimilarityError, match=r"5 dimensions, got shape \(2, 4\)"):
        pair_similarities(_network("metric"), np.zeros((2, 4), dtype=np.float32), _embeddings(2))


def test_pair_similarities__refuses_a_network_in_training() -> None:
    with pytest.raises(SimilarityError, match="training mode"):
        pair_similarities(_network("concat2").train(), _embeddings(2), _embeddings(2))


def test_pair_similarities__float32_products_stay_float32_and_the_setting_is_restored() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        pair_similarities(_network("concat4"), _embeddings(3), _embeddings(3))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("head", HEADS)
def test_both_orders__is_the_mean_of_both(head: Head) -> None:
    network, rows, columns = _network(head), _embeddings(4), _embeddings(6, seed=1)
    one, other = pair_similarities(network, rows, columns), pair_similarities(network, columns, rows)
    np.testing.assert_allclose(both_orders(network, rows, columns), (one + other.T) / 2, atol=1e-6)
    own = both_orders(network, rows, rows)
    np.testing.assert_allclose(own, own.T, atol=1e-6)


def _mean_similarities(network: SimilarityNetwork, *arguments: Any, **options: Any) -> FloatArray:
    samples, members, categories, self_index, count = arguments
    return mean_similarities(
        network, samples, members, categories, self_index=self_index, n_categories=count, **options
    )


@pytest.mark.parametrize("head", HEADS)
def test_mean_similarities__samples_are_the_members(head: Head, small_tiles: None) -> None:
    network, members = _network(head), _embeddings(10)
    categories = np.array([2, 0, 1, 0, 2, 2, 0, 4, 1, 0])  # category 3 is empty, category 4 has one image
    arguments = (members, members, categories, np.arange(10), 5)
    means = _mean_similarities(network, *arguments)
    np.testing.assert_allclose(means, reference.mean_similarities(network, *arguments), atol=1e-5)
    assert np.isnan(means[:, 3]).all()
    assert np.isnan(means[7, 4])
    assert not np.isnan(means[:7, 4]).any()


@pytest.mark.parametrize("head", HEADS)
def test_mean_similarities__samples_beside_the_members(head: Head, small_tiles: None) -> None:
    network, members, samples = _network(head), _embeddings(7), _embeddings(6, seed=3)
    samples[2] = members[5]
    arguments = (samples, members, np.array([1, 0, 1, 0, 1, 0, 0]), np.array([-1, -1, 5, -1, -1, -1]), 2)
    means = _mean_similarities(network, *arguments)
    np.testing.assert_allclose(means, reference.mean_similarities(network, *arguments), atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_mean_similarities__same_result_in_any_memory(head: Head) -> None:
    network, members = _network(head), _embeddings(700)
    categories = np.random.default_rng(0).integers(0, 6, 700)
    arguments = (members, members, categories, np.arange(700), 6)
    np.testing.assert_allclose(
        _mean_similarities(network, *arguments, memory_mib=1),
        _mean_similarities(network, *arguments, memory_mib=256),
        atol=1e-6,
    )


def test_mean_similarities__reports_progress_to_the_end(small_tiles: None) -> None:
    for head, samples in (("concat2", _embeddings(6)), ("concat2", _embeddings(4)), ("metric", _embeddings(6))):
        seen: list[tuple[int, int]] = []
        self_index = np.arange(6) if len(samples) == 6 else np.full(len(samples), -1)
        _mean_similarities(
            _network(head),  # type: ignore[arg-type]
            samples,
            _embeddings(6),
            np.zeros(6, dtype=np.int64),
            self_index,
            1,
            progress=lambda done, total, seen=seen: seen.append((done, total)),
        )
        done, total = seen[-1]
        assert done == total
        assert [step[0] for step in seen] == sorted({step[0] for step in seen})


def test_mean_similarities__nothing_there() -> None:
    none = np.zeros(0, dtype=np.int64)
    means = _mean_similarities(_network("concat2"), _embeddings(2), _embeddings(0), none, np.array([-1, -1]), 3)
    assert means.shape == (2, 3)
    assert np.isnan(means).all()
    assert _mean_similarities(_network("metric"), _embeddings(0), _embeddings(0), none, none, 2).shape == (0, 2)

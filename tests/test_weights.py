from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from curation.values import FloatArray
from curation.weights import normalise_weights, own_similarity, sample_weights, sampled_own_similarity
from tests import reference

# A worked example (computed independently of any released code): three images alike, the fourth like none of them.
PUBLISHED = np.array([[1, 0.9, 0.8, 0.1], [0.7, 1, 0.9, 0], [0.8, 0.7, 1, 0.2], [0.1, 0.2, 0, 1]], dtype=np.float32)


def _squares(low: float) -> st.SearchStrategy[FloatArray]:
    def of_size(size: int) -> st.SearchStrategy[Any]:
        return arrays.arrays(np.float32, (size, size), elements=st.floats(low, 1, width=32))

    return st.integers(2, 8).flatmap(of_size)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"symmetric": False, "self_pairs": True}, [0.7, 0.65, 0.675, 0.325]),
        ({"symmetric": True, "self_pairs": True}, [0.675, 0.675, 0.675, 0.325]),
        ({"symmetric": False, "top_share": 0.5, "self_pairs": True}, [0.95, 0.95, 0.9, 0.6]),
        ({"symmetric": True, "top_share": 0.5, "self_pairs": True}, [0.925, 0.95, 0.925, 0.6]),
        ({"symmetric": True, "self_pairs": False}, [0.56667, 0.56667, 0.56667, 0.1]),
    ],
)
def test_own_similarity__published_variants(options: dict[str, Any], expected: list[float]) -> None:
    np.testing.assert_allclose(own_similarity(PUBLISHED, **options), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"symmetric": False, "self_pairs": True}, [1.1915, 1.1064, 1.1489, 0.5532]),
        ({"symmetric": True, "self_pairs": True}, [1.1489, 1.1489, 1.1489, 0.5532]),
        ({}, [1.2593, 1.2593, 1.2593, 0.2222]),
    ],
)
def test_sample_weights__published_variants(options: dict[str, Any], expected: list[float]) -> None:
    np.testing.assert_allclose(sample_weights(PUBLISHED, **options), expected, atol=1e-4)


def test_sample_weights__single_image_category() -> None:
    assert sample_weights(np.array([[0.3]], dtype=np.float32)).tolist() == [1.0]
    assert sample_weights(np.array([[0.3]], dtype=np.float32), self_pairs=True).tolist() == [1.0]


def test_sample_weights__empty_category() -> None:
    assert sample_weights(np.zeros((0, 0), dtype=np.float32)).shape == (0,)


def test_sample_weights__no_similarity_at_all() -> None:
    assert sample_weights(np.zeros((3, 3), dtype=np.float32)).tolist() == [1.0, 1.0, 1.0]


def test_sample_weights__refuses_a_rectangle_and_an_impossible_share() -> None:
    with pytest.raises(ValueError, match="square"):
        sample_weights(np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="top_share"):
        sample_weights(PUBLISHED, top_share=0.0)


@given(_squares(0.0), st.booleans(), st.sampled_from([1.0, 0.5, 0.3]), st.booleans())
@settings(max_examples=60)
def test_own_similarity__equals_plain_loops(
    similarity: FloatArray, symmetric: bool, top_share: float, self_pairs: bool
) -> None:
    options: dict[str, Any] = {"symmetric": symmetric, "top_share": top_share, "self_pairs": self_pairs}
    expected = reference.own_similarity(similarity, **options)
    np.testing.assert_allclose(own_similarity(similarity, **options), expected, atol=1e-6)


@given(_squares(0.015625), st.booleans(), st.sampled_from([1.0, 0.5]), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_sample_weights__mean_one_and_permutation_equivariant(
    similarity: FloatArray, symmetric: bool, top_share: float, self_pairs: bool, random: Any
) -> None:
    options: dict[str, Any] = {"symmetric": symmetric, "top_share": top_share, "self_pairs": self_pairs}
    weights = sample_weights(similarity, **options)
    assert weights.mean() == pytest.approx(1, abs=1e-5)
    assert (weights >= 0).all()
    order = list(range(len(similarity)))
    random.shuffle(order)
    shuffled = sample_weights(similarity[np.ix_(order, order)], **options)
    np.testing.assert_allclose(shuffled, weights[order], rtol=1e-5)


@given(_squares(0.0), st.booleans(), st.sampled_from([1.0, 0.5]))
@settings(max_examples=40)
def test_sample_weights__duplicates_weigh_the_same(similarity: FloatArray, symmetric: bool, top_share: float) -> None:
    with_copy = np.pad(similarity, (0, 1), mode="edge")  # the last image twice
    weights = sample_weights(with_copy, symmetric=symmetric, top_share=top_share)
    assert weights[-1] == pytest.approx(weights[-2], rel=1e-6)


def test_normalise_weights__keeps_ratios() -> None:
    np.testing.assert_allclose(normalise_weights(np.array([0.2, 0.4, 0.6], dtype=np.float32)), [0.5, 1, 1.5], rtol=1e-6)
    assert normalise_weights(np.zeros(0, dtype=np.float32)).shape == (0,)


def test_sampled_own_similarity__is_exact_when_all_are_drawn() -> None:
    sampled = sampled_own_similarity(lambda rows, drawn: PUBLISHED[rows, drawn], size=4, partners=9, seed=0)
    np.testing.assert_allclose(sampled.mean, own_similarity(PUBLISHED, symmetric=False), atol=1e-6)
    assert sampled.standard_error.tolist() == [0, 0, 0, 0]


def test_sampled_own_similarity__is_unbiased_and_knows_its_error() -> None:
    similarity = np.random.default_rng(1).random((60, 60), dtype=np.float32)
    exact = own_similarity(similarity, symmetric=False)
    draws = [sampled_own_similarity(lambda rows, drawn: similarity[rows, drawn], 60, 20, seed) for seed in range(400)]
    means = np.array([draw.mean for draw in draws])
    errors = np.array([draw.standard_error for draw in draws])
    spread = means.std(axis=0)
    assert (abs(means.mean(axis=0) - exact) < 5 * spread / 20).all()
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), spread, rtol=0.2)


def test_sampled_own_similarity__same_seed_same_estimate() -> None:
    similarity = np.random.default_rng(1).random((30, 30), dtype=np.float32)
    first, second = (sampled_own_similarity(lambda rows, drawn: similarity[rows, drawn], 30, 5, 3) for _ in range(2))
    assert first.mean.tolist() == second.mean.tolist()


def test_sampled_own_similarity__tiny_categories_and_too_few_partners() -> None:
    assert sampled_own_similarity(lambda rows, drawn: PUBLISHED[rows, drawn], 1, 3, 0).mean.tolist() == [0.0]
    with pytest.raises(ValueError, match="at least 3 partners"):
        sampled_own_similarity(lambda rows, drawn: PUBLISHED[rows, drawn], 4, 2, 0)


def test_sampled_own_similarity__does_not_depend_on_how_rows_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    similarity = np.random.default_rng(1).random((30, 30), dtype=np.float32)
    whole = sampled_own_similarity(lambda rows, drawn: similarity[rows, drawn], 30, 5, seed=3)
    monkeypatch.setattr("curation.weights._ANSWER_BYTES", 4 * 5 * 7)  # seven rows at once
    cut = sampled_own_similarity(lambda rows, drawn: similarity[rows, drawn], 30, 5, seed=3)
    assert cut.mean.tolist() == whole.mean.tolist() and cut.standard_error.tolist() == whole.standard_error.tolist()

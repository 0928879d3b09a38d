"""Evidence against plain loops over pairs, and the laws it must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.config import ScoringConfig, WeightsConfig
from curation.evidence import find_evidence, mean_cosine
from curation.noise.evidence_table import similarity_evidence
from curation.similarity.network import SimilarityNetwork
from curation.similarity.scoring import both_orders
from curation.values import Evidence, FloatArray

CATEGORIES = ["Wren"] * 5 + ["Robin"] * 4 + ["Owl"]


def unit(count: int, seed: int = 0) -> FloatArray:
    rows = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def network() -> SimilarityNetwork:
    torch.manual_seed(0)
    return SimilarityNetwork("concat2", 6).eval()  # random, and not symmetric: the order of a pair matters


def find(
    network: SimilarityNetwork, embeddings: FloatArray, categories: list[str], scoring: ScoringConfig | None = None
) -> dict[str, Evidence]:
    names = [f"{category}-{number}" for number, category in enumerate(categories)]
    found = find_evidence(
        network, names, categories, embeddings, scoring=scoring or ScoringConfig(), weights=WeightsConfig()
    )
    return {item.sample_id: item for item in found.rows()}


def test_evidence__equals_plain_loops(network: SimilarityNetwork) -> None:
    embeddings = unit(10)
    similarity = both_orders(network, embeddings, embeddings)
    for row, item in enumerate(find(network, embeddings, CATEGORIES).values()):
        means = {}
        for category in set(CATEGORIES):
            others = [similarity[row, i] for i, name in enumerate(CATEGORIES) if name == category and i != row]
            if others:
                means[category] = sum(others) / len(others)
        assert {near.category: near.similarity for near in item.nearest} == pytest.approx(means, abs=1e-5)
        assert [near.similarity for near in item.nearest] == sorted((n.similarity for n in item.nearest), reverse=True)
        own = CATEGORIES[row]
        cosines = [embeddings[row] @ embeddings[i] for i, name in enumerate(CATEGORIES) if name == own and i != row]
        if cosines:
            assert item.own_similarity == pytest.approx(means[own], abs=1e-5)
            assert item.own_cosine == pytest.approx(sum(cosines) / len(cosines), abs=1e-5)


def test_evidence__weights_average_one_and_a_single_image_weighs_one(network: SimilarityNetwork) -> None:
    found = find(network, unit(10), CATEGORIES)
    for category in ("Wren", "Robin"):
        weights = [item.weight for name, item in found.items() if name.startswith(category)]
        assert np.mean(weights) == pytest.approx(1, abs=1e-6)
    owl = found["Owl-9"]
    assert (owl.weight, owl.own_similarity, owl.own_cosine) == (1.0, None, None)


def test_evidence__copies_of_an_image_get_the_same(network: SimilarityNetwork) -> None:
    embeddings = unit(10)
    embeddings[3] = embeddings[1]
    found = list(find(network, embeddings, CATEGORIES).values())
    assert found[1].weight == pytest.approx(found[3].weight, abs=1e-6)
    assert [near.category for near in found[1].nearest] == [near.category for near in found[3].nearest]


@settings(max_examples=15)
@given(st.permutations(range(10)))
def test_evidence__follows_a_permutation(order: list[int]) -> None:
    torch.manual_seed(0)
    network = SimilarityNetwork("concat2", 6).eval()
    embeddings = unit(10)
    straight = list(find(network, embeddings, CATEGORIES).values())
    turned = list(find(network, embeddings[order], [CATEGORIES[i] for i in order]).values())
    assert [item.weight for item in turned] == pytest.approx([straight[i].weight for i in order], abs=1e-5)


def test_evidence__large_categories_are_estimated_and_say_how_well(network: SimilarityNetwork) -> None:
    embeddings, categories = unit(400), ["Wren"] * 300 + ["Robin"] * 100
    exact = find(network, embeddings, categories)
    sampled = find(network, embeddings, categories, ScoringConfig(exact_up_to=150, partners=50))
    assert all(item.weight_error is None for name, item in sampled.items() if name.startswith("Robin"))
    wrens = [name for name in sampled if name.startswith("Wren")]
    errors = np.array([sampled[name].weight_error for name in wrens], dtype=np.float64)
    difference = np.array([sampled[name].weight - exact[name].weight for name in wrens])
    assert (errors > 0).all() and np.abs(difference).mean() < 2 * errors.mean()


def test_evidence__does_not_depend_on_other_categories(network: SimilarityNetwork) -> None:
    embeddings = unit(10)
    alone = find(network, embeddings[:5], CATEGORIES[:5])
    among = find(network, embeddings, CATEGORIES)
    for name, item in alone.items():
        assert item.weight == pytest.approx(among[name].weight, abs=1e-6)


def test_mean_cosine__known_angles() -> None:
    angles = np.deg2rad([0, 60, 120])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert mean_cosine(embeddings) == pytest.approx([0.0, 0.5, 0.0], abs=1e-6)
    assert np.isnan(mean_cosine(embeddings[:1])).all()


def test_similarity_evidence__equals_plain_loops(network: SimilarityNetwork) -> None:
    scoring, categories = ScoringConfig(), [f"c{number % 12:02}" for number in range(36)] + ["alone"]
    embeddings = unit(len(categories))
    found = find_evidence(network, categories, categories, embeddings, scoring=scoring, weights=WeightsConfig())
    for among in ({"c00", "c01", "c02"}, {"c03"}, {"alone", "c04"}, set(categories)):
        rows = [row for row, name in enumerate(categories) if name in among]
        columns = similarity_evidence(found.of(rows), [categories[row] for row in rows])
        items = found.of(rows).rows()
        usual = np.mean([item.own_similarity for item in items if item.own_similarity is not None])
        for place, (row, item) in enumerate(zip(rows, items, strict=True)):
            own = usual if item.own_similarity is None else item.own_similarity
            others = [n.similarity for n in item.nearest if n.category in among and n.category != categories[row]]
            best = others[0] if others else item.nearest[-1].similarity
            margin = 0.0 if len(among) == 1 else (best - own) / usual
            assert columns.category_margin[place] == pytest.approx(margin, abs=1e-6)
            assert columns.weight[place] == pytest.approx(1 - item.weight, abs=1e-6)

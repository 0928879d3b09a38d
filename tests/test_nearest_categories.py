"""Comparing with the nearest categories only: the same numbers as comparing with all, for those that are compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curation.config import ScoringConfig, WeightsConfig
from curation.evidence import find_evidence
from curation.similarity import nearest_categories
from curation.similarity.metric_view import MetricView
from curation.similarity.nearest_categories import nearest_category_similarities
from curation.similarity.network import SimilarityNetwork
from curation.similarity.scoring import mean_similarities
from curation.values import FloatArray


def network_of(dimension: int) -> SimilarityNetwork:
    torch.manual_seed(0)
    network = SimilarityNetwork("metric", dimension)
    torch.nn.init.normal_(network.projection.weight)
    return network.eval()


def clusters(categories: int, size: int, dimension: int = 16) -> tuple[FloatArray, np.ndarray]:
    generator = np.random.default_rng(1)
    codes = np.arange(categories * size) % categories
    rows = generator.normal(size=(categories, dimension))[codes] + 0.5 * generator.normal(size=(len(codes), dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), codes


@pytest.mark.parametrize("compared", [1, 4, 12])
def test_nearest__as_if_all_had_been_compared(compared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_categories, "_BLOCK_ROWS", 7)
    embeddings, codes = clusters(12, 9)
    codes[codes == 11] = 3
    codes[:1] = 11  # a category of a single image
    network = network_of(16)
    partners = [np.flatnonzero(codes == code)[:6] for code in range(12)]
    drawn = np.concatenate(partners)
    places = np.full(len(codes), -1)
    places[drawn] = np.arange(len(drawn))
    everything = mean_similarities(
        network, embeddings, embeddings[drawn], codes[drawn], self_index=places, n_categories=12
    )
    told: list[tuple[int, int]] = []
    found = nearest_category_similarities(
        MetricView(network, embeddings), codes, partners, compared, progress=lambda *step: told.append(step)
    )
    known = ~np.isnan(found)
    assert (known.sum(axis=1) >= compared - 1).all() and (known.sum(axis=1) <= compared).all()
    np.testing.assert_allclose(found[known], everything[known], atol=1e-6)
    assert told[-1] == (12, 12)
    if compared == 12:
        np.testing.assert_array_equal(np.isnan(found), np.isnan(everything))
    if compared == 4:  # clusters lie apart: hardly anybody's most similar category is missed
        likeliest = np.nanargmax(everything, axis=1)
        assert known[np.arange(len(codes)), likeliest].mean() > 0.97


def test_evidence__of_many_categories_names_the_same_nearest_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, codes = clusters(40, 5)
    names = [f"c{code:02d}" for code in codes]
    ids = [f"s{row}" for row in range(len(codes))]

    def nearest() -> list[list[str]]:
        found = find_evidence(network_of(16), ids, names, embeddings, scoring=ScoringConfig(), weights=WeightsConfig())
        return [[near.category for near in item.nearest[:3]] for item in found.rows()]

    some = nearest()
    monkeypatch.setattr("curation.evidence._COMPARED_CATEGORIES", 40)
    assert some == nearest()

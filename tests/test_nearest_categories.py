"""Comparing with the nearest categories only: the same numbers as comparing with all, for those that are compared."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.config import ScoringConfig, WeightsConfig
from curation.evidence import find_evidence
from curation.similarity import nearest_categories
from curation.similarity.compared import KeptCompared
from curation.similarity.metric_view import Indices, MetricView
from curation.similarity.nearest_categories import nearest_category_similarities
from curation.similarity.network import SimilarityNetwork
from curation.similarity.scoring import mean_similarities
from curation.values import Evidence, FloatArray


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
        MetricView(network, embeddings),
        [str(row) for row in range(len(codes))],
        codes,
        [f"{code:02}" for code in range(12)],
        partners,
        compared,
        progress=lambda *step: told.append(step),
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


def similarities(view: MetricView, numbers: list[int], most: int, kept: KeptCompared | None) -> FloatArray:
    """Of samples that have their vectors and categories by their numbers, drawn from `most` partners a category."""
    order = sorted(numbers, key=str)
    codes_of_all = np.array([number % 7 for number in order])
    names = sorted({f"category {code}" for code in codes_of_all})
    codes = np.array([names.index(f"category {code}") for code in codes_of_all], dtype=np.int64)
    partners = [np.flatnonzero(codes == code)[-most:] for code in range(len(names))]
    chosen = copy.copy(view)
    chosen.vectors = view.vectors[order]
    return nearest_category_similarities(
        chosen,
        [str(number) for number in order],
        codes,
        names,
        partners,
        min(3, len(names)),
        kept=kept,
        progress=lambda *_: None,
    )


numbers_of_samples = st.lists(st.integers(0, 120), unique=True, min_size=1, max_size=90)


@given(before=numbers_of_samples, after=numbers_of_samples, most=st.integers(2, 20))
@settings(max_examples=60)
def test_kept__the_same_bits_as_compared_anew(before: list[int], after: list[int], most: int) -> None:
    embeddings, _ = clusters(11, 11)
    view = MetricView(network_of(16), embeddings)
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptCompared(Path(folder), "a version")
        for numbers in (before, sorted({*before, *after[:3]}), after, after):
            expected = similarities(view, numbers, most, None)
            np.testing.assert_array_equal(similarities(view, numbers, most, kept), expected)


def test_kept__only_pairs_with_those_that_came_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, _ = clusters(11, 11)
    view = MetricView(network_of(16), embeddings)
    kept = KeptCompared(tmp_path, "a version")
    similarities(view, list(range(119)), 50, kept)
    pairs = 0
    sums = MetricView.sums

    def counted(self: MetricView, rows: Indices, members: Indices, starts: Indices) -> FloatArray:
        nonlocal pairs
        pairs += len(rows) * len(members)
        return sums(self, rows, members, starts)

    monkeypatch.setattr(MetricView, "sums", counted)
    similarities(view, list(range(120)), 50, None)
    anew, pairs = pairs, 0
    similarities(view, list(range(120)), 50, kept)
    assert 0 < pairs < 0.3 * anew
    pairs = 0
    similarities(view, list(range(120)), 50, KeptCompared(tmp_path, "another version"))
    assert pairs == anew


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_view__vectors_and_sums_are_the_same_in_any_company(seed: int) -> None:
    embeddings, _ = clusters(30, 20, dimension=48)
    network, random = network_of(48), np.random.default_rng(seed)
    order = random.permutation(len(embeddings))[: random.integers(1, len(embeddings))]
    whole, some = MetricView(network, embeddings), MetricView(network, embeddings[order])
    assert torch.equal(some.vectors, whole.vectors[order])
    members = np.sort(random.choice(len(order), random.integers(1, len(order) + 1), replace=False))
    parts = np.unique([0, *random.integers(0, len(members), 3)])
    sums = some.sums(np.arange(len(order)), members, parts)
    expected = whole.sums(order, order[members], np.zeros(1, dtype=np.int64))
    np.testing.assert_array_equal(sums.sum(axis=1, keepdims=True), expected)
    similarity = whole.similarities(order, order[members])
    similarity[members, np.arange(len(members))] = 0
    np.testing.assert_allclose(expected[:, 0], similarity.sum(axis=1, dtype=np.float64), atol=1e-6 * len(members))


def test_evidence__of_a_night_is_that_of_a_rebuild(tmp_path: Path) -> None:
    embeddings, codes = clusters(40, 9)
    kept = KeptCompared(tmp_path, "a version")

    def found(rows: list[int], kept: KeptCompared | None) -> list[Evidence]:
        ids, names = [f"{row:04}" for row in rows], [f"c{codes[row]:02}" for row in rows]
        scoring = ScoringConfig(partners=8)  # of nine: whoever comes changes who is drawn
        return find_evidence(
            network_of(16), ids, names, embeddings[rows], scoring=scoring, weights=WeightsConfig(), kept=kept
        ).rows()

    found([row for row in range(360) if row % 50], kept)
    assert found(list(range(360)), kept) == found(list(range(360)), None)
    without_one = [row for row in range(360) if row != 77]
    assert found(without_one, kept) == found(without_one, None)

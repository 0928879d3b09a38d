"""Neighbours against plain loops, for every kind of index; changing, saving, loading, and the recall self-check."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.build import NeighborIndex, build_index, load_index
from indexes.choice import choose_index
from indexes.exact import exact_neighbors
from indexes.faiss_index import faiss_device, list_count
from indexes.neighbors import FloatArray, IdArray, IndexKind, NeighborIndexError, Neighbors
from indexes.recall import LEAST_RECALL, recall_of

KINDS = list(IndexKind)
EVERYTHING = 100_000  # an effort at which nothing is left out: every list probed, every vector queued


def unit_vectors(count: int, dimension: int = 16, seed: int = 0) -> FloatArray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    unit: FloatArray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def scattered_ids(count: int, seed: int = 0) -> IdArray:
    """Distinct ids, in no order, that are no positions."""
    return np.random.default_rng(seed).permutation(count).astype(np.int64) * 1_000_003 + 7


def full_index(vectors: FloatArray, ids: IdArray, kind: IndexKind | None = None) -> NeighborIndex:
    effort = None if kind is None or kind is IndexKind.FLAT else EVERYTHING
    return build_index(vectors, ids, version="v", kind=kind, effort=effort, device="cpu")


def slow_neighbors(
    queries: FloatArray, vectors: FloatArray, ids: IdArray, k: int, excluded: IdArray | None = None
) -> Neighbors:
    """The truth: one pair after the other, in float64."""
    found = np.full((len(queries), k), -1, dtype=np.int64)
    cosine = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for row, query in enumerate(queries):
        pairs = [
            (-sum(float(a) * float(b) for a, b in zip(query, vector, strict=True)), int(name))
            for vector, name in zip(vectors, ids, strict=True)
            if excluded is None or name != excluded[row]
        ]
        for place, (negative, name) in enumerate(sorted(pairs)[:k]):
            found[row, place], cosine[row, place] = name, -negative
    return Neighbors(found, cosine)


def assert_same_up_to_ties(found: Neighbors, true: Neighbors, vectors: FloatArray, ids: IdArray) -> None:
    """The same cosines; and where the ids differ, distinct ids whose vectors have the cosine that is stated."""
    np.testing.assert_array_equal(found.ids < 0, true.ids < 0)
    np.testing.assert_allclose(found.cosine, true.cosine, atol=2e-6)
    for row in found.ids:
        held = row[row >= 0]
        assert len(set(held.tolist())) == len(held)
        assert set(held.tolist()) <= set(ids.tolist())


def assert_equal(one: Neighbors, other: Neighbors) -> None:
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.cosine, other.cosine)


@pytest.mark.parametrize("kind", KINDS)
def test_search__agrees_with_plain_loops(kind: IndexKind) -> None:
    vectors, ids = unit_vectors(150), scattered_ids(150)
    queries = np.concatenate([vectors[:6], unit_vectors(6, seed=1)])
    excluded = np.concatenate([ids[:5], np.full(7, -1)])
    index = full_index(vectors, ids, kind)
    true = slow_neighbors(queries, vectors, ids, 10, excluded)
    found = index.search(queries, 10, exclude_ids=excluded)
    assert index.facts.kind is kind
    assert found.ids.dtype == np.int64
    assert found.cosine.dtype == np.float32
    assert_same_up_to_ties(found, true, vectors, ids)
    np.testing.assert_array_equal(found.ids, true.ids)  # random vectors do not tie


def test_search__hand_made_angles() -> None:
    angles = np.radians([0, 20, 90, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = full_index(vectors, np.array([40, 30, 20, 10])).search(vectors[:1], 4)
    assert found.ids.tolist() == [[40, 30, 20, 10]]
    np.testing.assert_allclose(found.cosine, [[1, np.cos(np.radians(20)), 0, -1]], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@given(count=st.integers(1, 60), seed=st.integers(0, 99), copies=st.integers(1, 4))
@settings(max_examples=12)
def test_search__order_of_rows_changes_nothing(kind: IndexKind, count: int, seed: int, copies: int) -> None:
    vectors, ids = np.repeat(unit_vectors(count, 8, seed), copies, axis=0), scattered_ids(count * copies, seed)
    shuffled = np.random.default_rng(seed).permutation(len(ids))
    one = full_index(vectors, ids, kind).search(vectors, 5)
    other = full_index(vectors[shuffled], ids[shuffled], kind).search(vectors, 5)
    assert_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
@given(count=st.integers(2, 80), seed=st.integers(0, 99), share=st.floats(0.1, 0.9))
@settings(max_examples=12)
def test_add_and_remove__as_built_without(kind: IndexKind, count: int, seed: int, share: float) -> None:
    vectors, ids = unit_vectors(count, 8, seed), scattered_ids(count, seed)
    first = max(1, int(count * share))
    k = count if kind is IndexKind.IVF_SQ8 else 6  # bytes for the range of a few vectors are coarse for more of them
    index = full_index(vectors[:first], ids[:first], kind)
    index.add(vectors[first:], ids[first:])
    assert_equal(index.search(vectors, k), full_index(vectors, ids, kind).search(vectors, k))
    index.remove(ids[:first])
    assert len(index) == count - first
    np.testing.assert_array_equal(index.ids, np.sort(ids[first:]))
    assert_equal(index.search(vectors, k), full_index(vectors[first:], ids[first:], kind).search(vectors, k))


@given(tied=st.integers(1, 80), k=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_exact__ties_go_to_the_lowest_ids(tied: int, k: int, seed: int) -> None:
    vectors = np.concatenate([np.repeat(unit_vectors(1, 8, seed), tied, axis=0), unit_vectors(30, 8, seed + 1)])
    ids = scattered_ids(len(vectors), seed)
    found = full_index(vectors, ids).search(vectors[:1], k)
    expected = np.sort(ids[:tied])[:k]
    np.testing.assert_array_equal(found.ids[0, : len(expected)], expected)
    assert len(set(found.cosine[0, : len(expected)].tolist())) == 1


def test_exact__blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, ids = unit_vectors(90), np.sort(scattered_ids(90))
    nobody, held = np.full(90, -1), torch.from_numpy(vectors)
    whole = exact_neighbors(vectors, vectors, ids, 5, excluded=nobody, on_device=held)
    monkeypatch.setitem(exact_neighbors.__globals__["_BLOCK_BYTES"], "cpu", 4 * 90 * 7)
    assert_equal(exact_neighbors(vectors, vectors, ids, 5, excluded=nobody, on_device=held), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_search__duplicates_are_all_found(kind: IndexKind) -> None:
    vectors, ids = np.repeat(unit_vectors(20), 5, axis=0), scattered_ids(100)
    found = full_index(vectors, ids, kind).search(vectors, 4, exclude_ids=ids)
    for row in range(100):
        same = set(ids[row // 5 * 5 : row // 5 * 5 + 5].tolist()) - {int(ids[row])}
        assert found.ids[row].tolist() == sorted(same)


@pytest.mark.parametrize("kind", KINDS)
@given(count=st.integers(1, 40), k=st.integers(1, 8), share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_search_among__agrees_with_plain_loops_over_these(
    kind: IndexKind, count: int, k: int, share: float, seed: int
) -> None:
    vectors, ids = unit_vectors(count, 8, seed), scattered_ids(count, seed)
    queries, chosen = unit_vectors(3, 8, seed + 1), np.random.default_rng(seed).permutation(count)[: int(share * count)]
    index = build_index(vectors, ids, version="v", kind=kind, effort=1, device="cpu")
    asked = np.concatenate([ids[chosen], ids[chosen][:2], [3]])  # twice, and one that is not held
    true = slow_neighbors(queries, vectors[chosen], ids[chosen], k)
    assert_same_up_to_ties(index.search_among(queries, k, asked), true, vectors, ids)


def test_search_among__blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, ids = np.repeat(unit_vectors(30), 3, axis=0), scattered_ids(90)
    index = full_index(vectors, ids)
    whole = index.search_among(vectors[:5], 7, ids)
    monkeypatch.setitem(NeighborIndex.search_among.__globals__, "_ROWS_AT_ONCE", 8)
    assert_equal(index.search_among(vectors[:5], 7, ids), whole)
    assert_equal(whole, index.search(vectors[:5], 7))
    with pytest.raises(NeighborIndexError, match="k must"):
        index.search_among(vectors[:5], 0, ids)


@pytest.mark.parametrize("kind", KINDS)
def test_search__fewer_vectors_than_asked(kind: IndexKind) -> None:
    vectors, ids = unit_vectors(3), np.array([5, 3, 9])
    found = full_index(vectors, ids, kind).search(vectors, 6, exclude_ids=ids)
    assert_same_up_to_ties(found, slow_neighbors(vectors, vectors, ids, 6, ids), vectors, ids)
    assert (found.ids[:, 2:] == -1).all()
    assert np.isneginf(found.cosine[:, 2:]).all()


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_empty_index__answers_and_grows(kind: IndexKind | None) -> None:
    index = build_index(np.empty((0, 16), np.float32), np.empty(0, np.int64), version="v", kind=kind, device="cpu")
    found = index.search(unit_vectors(2), 3, exclude_ids=np.array([4, -1]))
    assert (found.ids == -1).all()
    assert found.ids.shape == found.cosine.shape == (2, 3)
    vectors, ids = unit_vectors(5), scattered_ids(5)
    index.add(vectors, ids)
    assert index.facts.kind is (kind or IndexKind.EXACT)
    np.testing.assert_array_equal(index.search(vectors, 1).ids[:, 0], ids)
    index.remove(ids)
    assert len(index) == 0
    assert (index.search(vectors, 1).ids == -1).all()


def test_search__no_queries() -> None:
    assert full_index(unit_vectors(5), scattered_ids(5)).search(unit_vectors(5)[:0], 3).ids.shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows * 1.01, "norm 1"),
        (lambda rows: np.where(np.arange(len(rows))[:, None] == 3, np.float32(np.nan), rows), "first row 3"),
        (lambda rows: np.where(np.arange(len(rows))[:, None] == 2, np.float32(np.inf), rows), "first row 2"),
        (lambda rows: np.zeros_like(rows), "norm 0"),
        (lambda rows: rows.astype(np.float64), "float64"),
        (lambda rows: rows[0], "shape"),
    ],
)
def test_vectors__that_are_not_unit_rows_are_refused(change: Callable[[FloatArray], FloatArray], message: str) -> None:
    vectors, ids = unit_vectors(5), scattered_ids(5)
    wrong = change(vectors)
    index = full_index(vectors, ids)
    with np.errstate(invalid="ignore"):
        for attempt in (
            lambda: build_index(wrong, ids, version="v"),
            lambda: index.search(wrong, 2),
            lambda: index.add(wrong, ids + 1),
        ):
            with pytest.raises(NeighborIndexError, match=message):
                attempt()
    assert len(index) == 5


def test_ids__that_cannot_be_are_refused() -> None:
    vectors = unit_vectors(3)
    for ids in (np.array([1, 1, 2]), np.array([-1, 0, 1]), np.array([1, 2]), np.array([1.0, 2.0, 3.0])):
        with pytest.raises(NeighborIndexError, match="ids"):
            build_index(vectors, ids, version="v")
    index = full_index(vectors, np.array([1, 2, 3]))
    with pytest.raises(NeighborIndexError, match="in the index already, such as 3"):
        index.add(vectors[:1], np.array([3]))
    with pytest.raises(NeighborIndexError, match="1 of 2 ids are not in the index, such as 9"):
        index.remove(np.array([1, 9]))
    with pytest.raises(NeighborIndexError, match="4 components, these have 16"):
        full_index(unit_vectors(3, 4), np.array([1, 2, 3])).search(vectors, 1)
    with pytest.raises(NeighborIndexError, match="exclude_ids"):
        index.search(vectors, 1, exclude_ids=np.array([1]))
    with pytest.raises(NeighborIndexError, match="k must"):
        index.search(vectors, 0)
    assert index.ids.tolist() == [1, 2, 3]


@pytest.mark.parametrize("kind", [IndexKind.HNSW, IndexKind.IVF, IndexKind.IVF_SQ8])
def test_add__does_not_train_again_until_doubled(kind: IndexKind, caplog: pytest.LogCaptureFixture) -> None:
    vectors, ids = unit_vectors(400), scattered_ids(400)
    index = full_index(vectors[:150], ids[:150], kind)
    with caplog.at_level(logging.INFO, logger="indexes"):
        index.add(vectors[150:200], ids[150:200])
        assert not caplog.messages
        assert index.facts.built_count == 150
        index.add(vectors[200:], ids[200:])
    assert "for 400 vectors" in caplog.text
    assert index.facts.built_count == 400
    assert_equal(index.search(vectors, 3), full_index(vectors, ids, kind).search(vectors, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_index__comes_back(kind: IndexKind, tmp_path: Path) -> None:
    vectors, ids = unit_vectors(120), scattered_ids(120)
    index = full_index(vectors, ids, kind)
    index.save(tmp_path / "index")
    index.remove(ids[:20])
    index.add(unit_vectors(5, seed=3), np.arange(5))
    index.save(tmp_path / "index")
    loaded = load_index(tmp_path / "index", version="v", device="cpu")
    assert loaded.facts == index.facts
    assert_equal(loaded.search(vectors, 4), index.search(vectors, 4))
    loaded.add(vectors[:20], ids[:20])  # what was loaded can be changed, and saved where it came from
    loaded.save(tmp_path / "index")
    again = load_index(tmp_path / "index", version="v", device="cpu")
    assert_equal(again.search(vectors, 4), loaded.search(vectors, 4))
    assert len(again) == 125
    assert len(list((tmp_path / "index").iterdir())) == (3 if kind in (IndexKind.EXACT, IndexKind.FLAT) else 4)


def test_saved_index__of_another_version_is_refused(tmp_path: Path) -> None:
    full_index(unit_vectors(5), scattered_ids(5)).save(tmp_path)
    with pytest.raises(NeighborIndexError, match=r"was made from v, wanted is one made from w\. Build it anew"):
        load_index(tmp_path, version="w")


def test_saved_index__that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NeighborIndexError, match="there is no index"):
        load_index(tmp_path / "nowhere", version="v")


@pytest.mark.parametrize("part", ["vectors", "ids", "index-"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_saved_index__damaged_is_refused(part: str, damage: str, tmp_path: Path) -> None:
    full_index(unit_vectors(50), scattered_ids(50), IndexKind.IVF).save(tmp_path)
    (path,) = tmp_path.glob(f"{part}*")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flipped" else content[:-8])
    with pytest.raises(NeighborIndexError, match=r"is damaged .*Delete the folder"):
        load_index(tmp_path, version="v")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 1, "files": {}, "x": 1}']
)
def test_saved_index__without_its_facts_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(NeighborIndexError, match="damaged"):
        load_index(tmp_path, version="v")


def test_saved_index__of_a_later_program_is_refused(tmp_path: Path) -> None:
    full_index(unit_vectors(5), scattered_ids(5)).save(tmp_path)
    facts = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**facts, "schema_version": 99}))
    with pytest.raises(NeighborIndexError, match="schema version 99"):
        load_index(tmp_path, version="v")


def test_save__where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NeighborIndexError, match="cannot be written"):
        full_index(unit_vectors(5), scattered_ids(5)).save(tmp_path / "file")


def test_recall__fires_when_the_search_is_starved(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    vectors, ids = unit_vectors(3000, 32), scattered_ids(3000)  # without clusters: one list holds few neighbours
    with caplog.at_level(logging.WARNING, logger="indexes"):
        starved = build_index(vectors, ids, version="v", kind=IndexKind.IVF, effort=1, device="cpu")
    assert starved.facts.recall is not None
    assert not starved.facts.recall.sufficient
    assert "recall@10" in caplog.text
    starved.save(tmp_path)
    assert load_index(tmp_path, version="v").facts.recall == starved.facts.recall


def test_recall__widens_the_search_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    vectors, ids = unit_vectors(3000, 32), scattered_ids(3000)
    with caplog.at_level(logging.INFO, logger="indexes"):
        index = build_index(vectors, ids, version="v", kind=IndexKind.IVF_SQ8, device="cpu")
    assert "widened" in caplog.text
    assert index.facts.effort > 16
    assert index.facts.recall is not None
    assert index.facts.recall.recall >= LEAST_RECALL
    found = index.search(vectors[:100], 10)
    true = build_index(vectors, ids, version="v", kind=IndexKind.EXACT, device="cpu").search(vectors[:100], 10)
    assert recall_of(found, true) == pytest.approx(index.facts.recall.recall, abs=0.05)


def test_recall_of__counts_by_hand() -> None:
    true = Neighbors(np.array([[1, 2], [3, -1], [-1, -1]]), np.array([[0.9, 0.5], [0.7, -np.inf], [-np.inf] * 2], "f4"))
    found = Neighbors(
        np.array([[1, 9], [-1, -1], [-1, -1]]), np.array([[0.9, 0.5], [-np.inf] * 2, [-np.inf] * 2], "f4")
    )
    assert recall_of(true, true) == 1
    near = Neighbors(true.ids, true.cosine - np.float32(5e-7))  # the same pairs as another device sums them
    assert recall_of(near, true) == 1
    assert recall_of(found, true) == 0.5  # 9 ties with 2; 3 is missed; the last query has no neighbour to find


@pytest.mark.parametrize(
    ("count", "device", "kind"),
    [
        (0, "cpu", IndexKind.EXACT),
        (20_000, "cpu", IndexKind.EXACT),
        (20_001, "cpu", IndexKind.IVF_SQ8),
        (1_000_000, "cuda", IndexKind.EXACT),
        (10_000_000, "cuda", IndexKind.IVF_SQ8),
    ],
)
def test_choose_index__by_size_and_device(count: int, device: str, kind: IndexKind) -> None:
    assert choose_index(count, 512, device) is kind


def test_build__says_what_was_chosen(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="indexes"):
        build_index(unit_vectors(5), scattered_ids(5), version="v", device="cpu")
    assert caplog.messages == ["neighbour index: exact for 5 vectors of 16 on cpu, chosen by size and device"]


def test_list_count__enough_rows_for_every_list() -> None:
    assert [list_count(count) for count in (1, 38, 100, 10_000, 1_000_000)] == [1, 1, 2, 256, 4096]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device__without_a_gpu_is_refused() -> None:
    with pytest.raises(NeighborIndexError, match="no GPU"):
        build_index(unit_vectors(5), scattered_ids(5), version="v", device="cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_faiss_device__without_gpu_support_is_the_cpu_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="indexes"):
        assert faiss_device("cuda") == "cpu"
    assert "install faiss-gpu" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_gpu__same_neighbors_as_the_cpu(kind: IndexKind) -> None:
    vectors, ids = unit_vectors(2000, 64), scattered_ids(2000)
    on_cpu = build_index(vectors, ids, version="v", kind=kind, effort=EVERYTHING, device="cpu").search(vectors, 10)
    on_gpu = build_index(vectors, ids, version="v", kind=kind, effort=EVERYTHING, device="cuda").search(vectors, 10)
    assert_same_up_to_ties(on_gpu, on_cpu, vectors, ids)

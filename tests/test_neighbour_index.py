"""The saved index of a workspace: built once, kept in step, and never wrong about who is near."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import neighbour_index
from curation.embedding_shards import Shards, drop_images, read_embeddings, shards_of, write_shard
from curation.errors import EmbeddingError
from curation.neighbour_index import EmbeddingIndex, IndexState, current_index, image_numbers
from curation.values import FloatArray
from indexes.build import build_index
from indexes.neighbors import IndexKind

ENCODER = "test#1"


def digests(count: int, start: int = 0) -> list[str]:
    return [sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


def unit(count: int, seed: int = 0) -> FloatArray:
    rows = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    unit_rows: FloatArray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit_rows


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    """Embeddings of 40 images."""
    made = shards_of(tmp_path / "embeddings", ENCODER)
    write_shard(made, digests(40), unit(40))
    return made


def index_of(shards: Shards, wanted: Sequence[str]) -> EmbeddingIndex:
    return current_index(shards.folder.parent.parent / "indexes" / "test-1", shards, ENCODER, wanted, device="cpu")


def assert_right(index: EmbeddingIndex, shards: Shards, held: Sequence[str]) -> None:
    """The index answers as plain loops over the stored embeddings of `held` do."""
    queries, vectors = unit(3, seed=9), read_embeddings(shards, held)
    for query, found in zip(queries, index.nearest(queries, 6), strict=True):
        ranked = sorted((-float(query @ vector), digest) for vector, digest in zip(vectors, held, strict=True))[:6]
        assert [near.sha256 for near in found] == [digest for _, digest in ranked]
        assert [near.cosine for near in found] == pytest.approx([-cosine for cosine, _ in ranked], abs=1e-6)


def test_index__is_built_once_and_then_loaded(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    first = index_of(shards, digests(40))
    assert first.state.built and (first.state.images, first.state.added, first.state.kind) == (40, 40, "exact")
    assert_right(first, shards, digests(40))
    forbid_building(monkeypatch)
    again = index_of(shards, digests(40))
    assert not again.state.built and (again.state.added, again.state.removed) == (0, 0)
    assert_right(again, shards, digests(40))


def test_index__takes_what_is_new_and_lets_go_what_is_gone(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    index_of(shards, digests(40))
    write_shard(shards, digests(3, start=40), unit(3, seed=1))
    forbid_building(monkeypatch)
    changed = index_of(shards, digests(33, start=10))
    assert not changed.state.built and (changed.state.added, changed.state.removed) == (3, 10)
    assert_right(changed, shards, digests(33, start=10))
    assert_right(index_of(shards, digests(33, start=10)), shards, digests(33, start=10))


def test_index__a_nightly_addition_trains_nothing_anew(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    def lists(*arguments: object) -> IndexKind:
        return IndexKind.IVF_SQ8

    monkeypatch.setattr("indexes.build.choose_index", lists)
    assert index_of(shards, digests(40)).state.kind == "ivf_sq8"
    write_shard(shards, digests(2, start=40), unit(2, seed=1))
    monkeypatch.setattr("indexes.build.train_faiss", None)
    grown = index_of(shards, digests(42))
    assert (grown.state.added, grown.state.images) == (2, 42)
    assert_right(grown, shards, digests(42))


def test_index__holds_only_images_that_have_an_embedding(shards: Shards) -> None:
    assert index_of(shards, digests(50)).state.images == 40
    with pytest.raises(EmbeddingError, match=r"none of the 5 images has an embedding by test#1.*curate embed"):
        index_of(shards, digests(5, start=90))


@pytest.mark.parametrize("part", ["vectors-*", "index.json"])
def test_index__a_damaged_one_is_built_anew_and_said(
    shards: Shards, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    index_of(shards, digests(40))
    (path,) = (shards.folder.parent.parent / "indexes" / "test-1").glob(part)
    path.write_bytes(path.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        rebuilt = index_of(shards, digests(40))
    assert rebuilt.state.built and "is damaged" in caplog.text and "built anew" in caplog.text
    assert_right(rebuilt, shards, digests(40))
    assert not index_of(shards, digests(40)).state.built


def test_index__asked_for_by_several_at_once_is_built_once(shards: Shards) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: index_of(shards, digests(40)), range(6)))
    assert sum(index.state.built for index in found) == 1
    for index in found:
        assert_right(index, shards, digests(40))


def test_index__where_nothing_can_be_written(shards: Shards) -> None:
    (shards.folder.parent.parent / "indexes").write_text("a file in the way")
    with pytest.raises(EmbeddingError, match=r"the index in .* cannot be used"):
        index_of(shards, digests(40))


def test_nearest__among_some_images(shards: Shards) -> None:
    index, some = index_of(shards, digests(40)), digests(4, start=20)
    queries = unit(2, seed=5)
    for found, all_found in zip(
        index.nearest(queries, 9, [*some, *digests(1, start=99)]), index.nearest(queries, 40), strict=True
    ):
        assert found == [near for near in all_found if near.sha256 in some]
    assert index.nearest(queries, 3, []) == [[], []]


def test_nearest__is_never_short_where_few_lists_are_searched(shards: Shards) -> None:
    held = sorted(digests(40))
    lists = build_index(
        read_embeddings(shards, held), image_numbers(held), version="v", kind=IndexKind.IVF, effort=1, device="cpu"
    )
    lists.remove(image_numbers(held[:1]))
    state = IndexState("ivf", "cpu", 39, built=True, added=39, removed=0, seconds=0.0, recall=None)
    starved = EmbeddingIndex(lists, held[1:], state)
    for found in starved.nearest(unit(5, seed=2), 60):
        assert sorted(near.sha256 for near in found) == held[1:]
        assert all(one.cosine >= other.cosine for one, other in pairwise(found))


def test_nearest__of_very_many_is_exact(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(shards, digests(40))
    exact = index.nearest(unit(1), 30)
    monkeypatch.setattr(neighbour_index, "_LISTS_KNOW", 29)
    monkeypatch.setattr(index._index, "search", None)
    assert index.nearest(unit(1), 30) == exact


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=20, unique=True))
def test_image_numbers__ascend_as_the_digests_do(contents: list[bytes]) -> None:
    names = sorted(content.hex() for content in contents)
    numbers = image_numbers(names)
    assert numbers.dtype == np.int64 and (numbers >= 0).all() and (np.diff(numbers) >= 0).all()
    assert numbers.tolist() == [int(name, 16) >> 193 for name in names]


def test_image_numbers__two_images_that_begin_alike_are_told(shards: Shards) -> None:
    twins = ["ab" * 8 + "00" * 24, "ab" * 8 + "11" * 24]
    write_shard(shards, twins, unit(2, seed=3))
    with pytest.raises(EmbeddingError, match=f"begin alike, {twins[0]} and {twins[1]}"):
        index_of(shards, [*digests(3), *twins])


def forbid_building(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a call to `build_index` fails."""
    monkeypatch.setattr(neighbour_index, "build_index", None)


def test_current_index__images_are_removed_as_it_is_built(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    read = neighbour_index.read_embeddings

    def dropped_before(of: Shards, wanted: Sequence[str]) -> FloatArray:
        drop_images(of, set(digests(30)))
        return read(of, wanted)

    monkeypatch.setattr(neighbour_index, "read_embeddings", dropped_before)
    assert_right(index_of(shards, digests(40)), shards, digests(30))

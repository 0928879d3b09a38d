"""Neighbours brought up to date are those that would be found anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import nearest
from curation.kept_nearest import KeptNearest
from curation.nearest import Nearest, find_nearest, update_nearest
from curation.values import FloatArray


def vectors_of(names: list[int]) -> FloatArray:
    """A vector a name, the same whenever it is asked for."""
    rows = [np.random.default_rng(name).standard_normal(4) for name in names]
    vectors = np.array(rows, dtype=np.float32).reshape(-1, 4)
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def found(names: list[int], count: int) -> Nearest:
    return find_nearest([str(name) for name in names], vectors_of(names), count)


def assert_same(one: Nearest, other: Nearest) -> None:
    assert one.names == other.names
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.cosine, other.cosine)  # the same numbers, not merely close


names_lists = st.lists(st.integers(0, 60), unique=True, max_size=50)


@given(before=names_lists, after=names_lists, count=st.integers(1, 5), block=st.integers(1, 500))
def test_update_nearest__is_as_found_anew(before: list[int], after: list[int], count: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_BLOCK_BYTES", block)
        patch.setattr(nearest, "_MOST_CHANGED", 2.0)  # never anew
        updated = update_nearest(found(before, count), [str(name) for name in after], vectors_of(after), count)
    assert_same(updated, found(after, count))


def test_update_nearest__compares_only_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, names = found(list(range(100)), 3), list(range(2, 105))
    searched: list[int] = []
    search = nearest._search

    def noted(found: Nearest, rows: nearest.Rows, *given: FloatArray, **told: nearest.Rows) -> None:
        searched.append(len(rows))
        search(found, rows, *given, **told)

    monkeypatch.setattr(nearest, "_search", noted)
    updated = update_nearest(kept, [str(name) for name in names], vectors_of(names), 3)
    lost_a_neighbour = int((kept.rows[2:] < 2).any(axis=1).sum())
    assert searched == [lost_a_neighbour, 5] and 0 < lost_a_neighbour < 15
    assert_same(updated, found(names, 3))


def test_find_nearest__of_few_vectors() -> None:
    assert found([], 3).rows.shape == (0, 3)
    assert found([1], 3).rows.tolist() == [[-1, -1, -1]]
    assert found([1, 2], 3).rows.tolist() == [[1, -1, -1], [0, -1, -1]]
    assert found([1, 2], 3).pairs(-1.0).tolist() == [[0, 1], [1, 0]]


def test_kept_nearest__are_used_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(range(30))
    kept = KeptNearest(tmp_path, "encoder 1")
    assert_same(kept.find("embeddings", [str(name) for name in names], vectors_of(names), 2), found(names, 2))
    more = [*names, 77]
    with monkeypatch.context() as patch:
        patch.setattr("curation.kept_nearest.find_nearest", None)  # not asked
        assert_same(kept.find("embeddings", [str(name) for name in more], vectors_of(more), 2), found(more, 2))
        assert_same(kept.find("embeddings", [str(name) for name in more], vectors_of(more), 2), found(more, 2))


def test_kept_nearest__of_another_version_or_damaged_are_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [str(name) for name in range(30)]
    KeptNearest(tmp_path, "encoder 1").find("embeddings", names, vectors_of(list(range(30))), 2)
    others = vectors_of(list(range(100, 130)))
    again = KeptNearest(tmp_path, "encoder 2").find("embeddings", names, others, 2)
    assert_same(again, find_nearest(names, others, 2))
    assert not caplog.records
    path = tmp_path / "nearest-embeddings.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert_same(KeptNearest(tmp_path, "encoder 2").find("embeddings", names, others, 2), again)
    assert "cannot be used" in caplog.text

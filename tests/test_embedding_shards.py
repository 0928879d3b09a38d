from __future__ import annotations

import errno
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from curation.embedding_shards import (
    Shards,
    drop_images,
    listed_digests,
    read_embedding,
    read_embeddings,
    shards_of,
    stored_digests,
    write_shard,
)
from curation.errors import EmbeddingError
from curation.values import FloatArray


def digests(count: int, start: int = 0) -> list[str]:
    return [sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


def unit(count: int, seed: int = 0) -> FloatArray:
    rows = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return shards_of(tmp_path, "timm/some net@x.safetensors#0123")


def test_shards__rows_come_back_in_the_order_asked(shards: Shards) -> None:
    rows = unit(5)
    write_shard(shards, digests(3), rows[:3])
    write_shard(shards, digests(2, start=3), rows[3:])
    assert stored_digests(shards) == listed_digests(shards) == set(digests(5))
    asked = [4, 0, 2, 0]  # one image may be two samples
    found = read_embeddings(shards, [digests(5)[number] for number in asked])
    assert np.allclose(found, rows[asked], atol=5e-4)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_shards__encoders_do_not_share_a_folder(tmp_path: Path) -> None:
    write_shard(shards_of(tmp_path, "builtin#a"), digests(1), unit(1))
    assert stored_digests(shards_of(tmp_path, "builtin#b")) == set()


def test_shards__a_flipped_bit_costs_its_shard_and_is_kept_aside(shards: Shards) -> None:
    write_shard(shards, digests(2), unit(2))
    path = write_shard(shards, digests(2, start=2), unit(2, seed=1))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert stored_digests(shards) == set(digests(2))
    assert path.with_suffix(".damaged").is_file()
    with pytest.raises(EmbeddingError, match="2 of 4 images have no embedding"):
        read_embeddings(shards, digests(4))


def test_shards__a_killed_writer_leaves_nothing_that_is_read(shards: Shards) -> None:
    (shards.folder / ".abc.safetensors.99.partial").write_bytes(b"half a shard")
    assert stored_digests(shards) == set()
    with pytest.raises(EmbeddingError, match="curate embed"):
        read_embeddings(shards, digests(1))


def test_shards__one_that_is_cut_short_lists_nothing_and_is_put_aside(shards: Shards) -> None:
    path = write_shard(shards, digests(2), unit(2))
    for length in (0, 5, 200):
        path.write_bytes(path.read_bytes()[:length])
        assert listed_digests(shards) == set()
    assert stored_digests(shards) == set()
    assert path.with_suffix(".damaged").is_file()


def test_shards__values_that_are_not_finite_are_refused(shards: Shards) -> None:
    rows = unit(2)
    rows[1, 3] = np.nan
    with pytest.raises(EmbeddingError, match="1 values that are not finite"):
        write_shard(shards, digests(2), rows)
    with pytest.raises(EmbeddingError, match="3 images gave embeddings of shape"):
        write_shard(shards, digests(3), unit(2))


def test_shards__a_full_disk_leaves_no_part_and_says_so(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(EmbeddingError, match="No space left on device"):
        write_shard(shards, digests(2), unit(2))
    assert list(shards.folder.iterdir()) == []


def test_reading__while_images_are_dropped(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader has listed the shards, and before it opens one, that has gone: what it held is in another one."""
    rows = unit(6)
    listed = Shards.paths.fget
    assert listed is not None
    looks_left = 0

    def listed_then_dropped(of: Shards) -> list[Path]:
        nonlocal looks_left
        found: list[Path] = listed(of)
        looks_left -= 1
        if looks_left == 0:
            drop_images(of, set(digests(6)[:4]))
        return found

    reads: list[tuple[int, Callable[[], object]]] = [  # each with the look by which it goes
        (1, lambda: read_embeddings(shards, digests(4)).tobytes()),
        (2, lambda: read_embedding(shards, digests(4)[3]).tobytes()),
        (1, lambda: listed_digests(shards)),
    ]
    for look, read in reads:
        for path in shards.paths:
            path.unlink()
        write_shard(shards, digests(6), rows)
        with monkeypatch.context() as patched:
            looks_left = look
            patched.setattr(Shards, "paths", property(listed_then_dropped))
            beside = read()
        assert beside == read()
    assert listed_digests(shards) == set(digests(4))

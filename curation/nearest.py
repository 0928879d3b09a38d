"""The nearest neighbours of many vectors: found anew, or brought up to date for the few that came or went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from curation.values import FloatArray
from indexes.build import build_index

Rows = NDArray[np.int64]

_BLOCK_BYTES = 128 << 20  # of cosines held at once
_EXACT_UP_TO = 50_000  # vectors of 512: 36 s on one core; an index finds 0.99999 of the same pairs in 11 s
_PAIRS_AT_ONCE = 4096  # measured together: 32 MiB of 512 dimensions
_MOST_CHANGED = 0.2  # share of vectors; beyond, to bring up to date is hardly cheaper than to begin anew


@dataclass(frozen=True, slots=True)
class Nearest:
    """Of N vectors called `names` the k nearest others each, nearest first.

    `rows` (N, k) are positions in `names`, -1 where there are fewer than k; `cosine` (N, k) is -inf there.
    """

    names: tuple[str, ...]
    rows: Rows
    cosine: FloatArray

    def pairs(self, min_cosine: float) -> Rows:
        """(i, one of the nearest of i) of at least this cosine, shape (P, 2)."""
        row, rank = ((self.rows >= 0) & (self.cosine >= min_cosine)).nonzero()
        return np.stack([row, self.rows[row, rank]], axis=1).astype(np.int64)


# (a name for the kind of vectors, their names, vectors (N, D), k) -> the k nearest of each.
FindNearest = Callable[[str, Sequence[str], FloatArray, int], Nearest]


def find_nearest(names: Sequence[str], vectors: FloatArray, count: int) -> Nearest:
    """The `count` nearest of each of the unit-norm float32 `vectors` (N, D); rows of zeros have cosine 0, or none.

    Exact for up to 50,000 vectors; beyond, an index finds what is near, and a few of the far neighbours may be missing.
    """
    found = _nothing(names, count)
    if count >= 1 and len(vectors) >= 2:
        if len(vectors) <= _EXACT_UP_TO:
            _search(found, np.arange(len(vectors)), vectors)
        else:
            _search_index(found, vectors)
        _measure(found, found.rows >= 0, vectors)
    return found


def find_anew(space: str, names: Sequence[str], vectors: FloatArray, count: int) -> Nearest:  # noqa: ARG001 - a `FindNearest`
    """`find_nearest`, where no space of vectors is known from before."""
    return find_nearest(names, vectors, count)


def update_nearest(kept: Nearest, names: Sequence[str], vectors: FloatArray, count: int) -> Nearest:
    """What `find_nearest` finds, from what it found of other vectors: the same name means the same vector.

    Only what came is compared with all, and what had a neighbour that went is searched anew; the cost of the rest is a
    copy. The same numbers as finding anew; only which of two is nearer may differ where that is a matter of 1e-7.
    """
    if kept.rows.shape[1] != count or count < 1:
        return find_nearest(names, vectors, count)
    place = {name: row for row, name in enumerate(names)}
    now = np.array([place.get(name, -1) for name in kept.names] + [-1], dtype=np.int64)  # the last: of "no neighbour"
    there = np.flatnonzero(now[:-1] >= 0)
    whole = there[((kept.rows[there] < 0) | (now[kept.rows[there]] >= 0)).all(axis=1)]
    found = _nothing(names, count)
    found.rows[now[whole]], found.cosine[now[whole]] = now[kept.rows[whole]], kept.cosine[whole]
    came = np.setdiff1d(np.arange(len(names)), now[there])
    bereft = np.setdiff1d(now[there], now[whole])
    if len(came) + len(bereft) > _MOST_CHANGED * len(names):
        return find_nearest(names, vectors, count)
    _search(found, bereft, vectors)
    _search(found, came, vectors, told=now[whole])
    is_new = np.isin(found.rows, came)
    for searched in (bereft, came):
        is_new[searched] = found.rows[searched] >= 0
    _measure(found, is_new, vectors)
    return found


def _nothing(names: Sequence[str], count: int) -> Nearest:
    shape = (len(names), count)
    return Nearest(tuple(names), np.full(shape, -1, dtype=np.int64), np.full(shape, -np.inf, dtype=np.float32))


def _search(found: Nearest, rows: Rows, vectors: FloatArray, told: Rows | None = None) -> None:
    """Fill in the nearest of `rows` among all vectors, block by block.

    Those that are `told` have their own nearest, and take in of `rows` what is nearer.
    """
    every = torch.from_numpy(vectors)
    count = min(found.rows.shape[1], len(vectors) - 1)
    block = max(1, _BLOCK_BYTES // (4 * max(1, len(vectors))))
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        cosine = every[torch.from_numpy(some)] @ every.T
        if told is not None and len(told):
            _take_in(found, told, some, cosine)
        cosine[torch.arange(len(some)), torch.from_numpy(some)] = -torch.inf  # itself
        values, columns = cosine.topk(count, dim=1)
        found.rows[some, :count], found.cosine[some, :count] = columns.numpy(), values.numpy()


def _take_in(found: Nearest, rows: Rows, came: Rows, cosine: torch.Tensor) -> None:
    """Let the vectors that `came` (M,) take their places among the nearest of `rows`; `cosine` (M, N) to all."""
    rows = rows[cosine.amax(dim=0).numpy()[rows] >= found.cosine[rows, -1]]  # the others keep all that they have
    offered = cosine[:, torch.from_numpy(rows)].T.numpy()
    known = np.concatenate([found.rows[rows], np.broadcast_to(came, offered.shape)], axis=1)
    values, columns = torch.from_numpy(np.concatenate([found.cosine[rows], offered], axis=1)).topk(
        found.rows.shape[1], dim=1
    )
    found.rows[rows], found.cosine[rows] = np.take_along_axis(known, columns.numpy(), axis=1), values.numpy()


def _measure(found: Nearest, which: NDArray[np.bool_], vectors: FloatArray) -> None:
    """Give the neighbours in `which` (N, k) their cosines pair by pair, and all rows their order, ties by position.

    A product of matrices rounds differently with its shape: two searches that find the same would not say the same.
    """
    row, rank = which.nonzero()
    for start in range(0, len(row), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        one, other = vectors[row[some]], vectors[found.rows[row[some], rank[some]]]
        found.cosine[row[some], rank[some]] = np.einsum("pd,pd->p", one, other, dtype=np.float64)
    ranks = np.lexsort((found.rows, -found.cosine), axis=1)
    found.rows[:] = np.take_along_axis(found.rows, ranks, axis=1)
    found.cosine[:] = np.take_along_axis(found.cosine, ranks, axis=1)


def _search_index(found: Nearest, vectors: FloatArray) -> None:
    """Fill in the nearest of all through an index, which chooses its kind by size and device."""
    rows = np.flatnonzero(vectors.any(axis=1))
    some = vectors if len(rows) == len(vectors) else vectors[rows]
    answer = build_index(some, rows, version="one search").search(some, found.rows.shape[1], exclude_ids=rows)
    found.rows[rows, : answer.ids.shape[1]] = answer.ids
    found.cosine[rows, : answer.ids.shape[1]] = np.where(answer.ids < 0, -np.inf, answer.cosine)

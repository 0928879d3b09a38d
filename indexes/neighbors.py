"""What every kind of index takes and gives, and the one ranking that all of them end in.

Shapes: N vectors and Q queries of D components, k neighbours of a query, K >= k candidates for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IdArray = NDArray[np.int64]

NO_ID = -1  # where there is no neighbour, and of a query that excludes nothing
NO_COSINE = -np.inf  # keeps rows sorted, and passes no threshold
_NORM_TOLERANCE = 1e-4  # rows normalised in float32 are off by 1e-6, rows rounded to float16 by up to 5e-4
_RANKED_BYTES = 32 << 20  # of candidates gathered at once; more is no faster


class NeighborIndexError(Exception):
    """What was expected, what came and where (`message`), and what to do next (`hint`)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class IndexKind(StrEnum):
    """How neighbours are looked for."""

    EXACT = "exact"  # all against all, torch; the truth
    FLAT = "flat"  # all against all, FAISS
    HNSW = "hnsw"  # FAISS: a graph from neighbour to neighbour
    IVF = "ivf"  # FAISS: inverted lists, the vectors as they are
    IVF_SQ8 = "ivf_sq8"  # FAISS: inverted lists, a byte a component


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The nearest vectors of Q queries, nearest first, equal ones by id.

    `ids` (Q, k) int64, `cosine` (Q, k) float32 in [-1, 1] up to rounding; where a query has fewer than k neighbours,
    the rest of its row holds `NO_ID` and -inf.
    """

    ids: IdArray
    cosine: FloatArray


def unit_rows(vectors: FloatArray, dimension: int | None = None) -> FloatArray:
    """`vectors` (N, D), checked to be unit-norm float32; the same memory where it is contiguous and writable.

    Raises `NeighborIndexError` for another shape or dtype, and for rows that are not finite or not of norm 1.
    """
    if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] == 0:
        raise NeighborIndexError(
            f"vectors must be float32 of shape (N, D), these are {vectors.dtype} of shape {vectors.shape}.",
            hint="One row is one vector; convert with `.astype(numpy.float32)`.",
        )
    if dimension is not None and vectors.shape[1] != dimension:
        raise NeighborIndexError(
            f"the index holds vectors of {dimension} components, these have {vectors.shape[1]}.",
            hint="Use the embeddings of the encoder that the index was built from.",
        )
    rows: FloatArray = np.require(np.asarray(vectors), requirements=["C", "W"])  # torch warns of read-only memory
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    wrong = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))  # so that NaN is wrong too
    if len(wrong):
        raise NeighborIndexError(
            f"vectors must have norm 1; {len(wrong)} of {len(rows)} have not, first row {wrong[0]} "
            f"with norm {norms[wrong[0]]:.6g}.",
            hint="Divide every row by its norm; a row with NaN or infinity must be left out.",
        )
    return rows


def distinct_ids(ids: IdArray, count: int) -> IdArray:
    """`ids` (N,), checked to be `count` distinct int64 >= 0."""
    if ids.dtype != np.int64 or ids.shape != (count,):
        raise NeighborIndexError(
            f"{count} vectors need int64 ids of shape ({count},), these are {ids.dtype} of shape {ids.shape}.",
            hint="Give one id for each row.",
        )
    if len(ids) and ids.min() < 0:
        raise NeighborIndexError(f"ids must be >= 0, this one is not: {ids.min()}.", hint="-1 means no neighbour.")
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < count:
        raise NeighborIndexError(
            f"ids must be distinct; {values[counts > 1][0]} is there {counts.max()} times.", hint="Keep one row an id."
        )
    return ids


def rows_of(ids: IdArray, among: IdArray) -> IdArray:
    """The position of every one of `ids` in `among`, which is sorted; -1 where it is not there. Any shape."""
    if not len(among):
        return np.full(ids.shape, NO_ID, dtype=np.int64)
    rows = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return np.where(among[rows] == ids, rows, NO_ID)


def candidate_count(k: int) -> int:
    """How many candidates are ranked for k neighbours.

    A byte a component misorders near ties: 5 more than needed lifted recall@10 of `IVF_SQ8` from 0.989 to 0.9997.
    """
    return k + max(8, k // 4)


def rank_candidates(queries: FloatArray, vectors: FloatArray, ids: IdArray, rows: IdArray, k: int) -> Neighbors:
    """The k nearest of the candidate `rows` (Q, K) of `vectors` (N, D), -1 where there is none; nearest first.

    Every kind of index ends here, so all give the same bits for the same pair: the sum over components runs in the
    same order wherever a row stands in its block, which a matrix product does not promise. Ties go to the lower id.
    """
    cosine = np.empty(rows.shape, dtype=np.float32)
    block = max(1, _RANKED_BYTES // (4 * vectors.shape[1] * max(1, rows.shape[1])))
    for start in range(0, len(rows), block):
        some = slice(start, start + block)
        np.einsum("qd,qkd->qk", queries[some], vectors[rows[some]], out=cosine[some])
    cosine[rows < 0] = NO_COSINE
    found = np.where(rows < 0, NO_ID, ids[rows])
    order = np.lexsort((found, -cosine), axis=-1)[:, :k]
    return _padded(np.take_along_axis(found, order, axis=1), np.take_along_axis(cosine, order, axis=1), k)


def join_neighbors(parts: list[Neighbors]) -> Neighbors:
    """The answers to blocks of queries as one."""
    return Neighbors(np.concatenate([part.ids for part in parts]), np.concatenate([part.cosine for part in parts]))


def merge_neighbors(parts: list[Neighbors], k: int) -> Neighbors:
    """The k nearest of the same queries in several sets of vectors, each set with ids of its own."""
    ids, cosine = (
        np.concatenate([part.ids for part in parts], axis=1),
        np.concatenate([part.cosine for part in parts], axis=1),
    )
    order = np.lexsort((ids, -cosine), axis=-1)[:, :k]
    return Neighbors(np.take_along_axis(ids, order, axis=1), np.take_along_axis(cosine, order, axis=1))


def no_neighbors(queries: int, k: int) -> Neighbors:
    """The answer of an index that holds nothing."""
    return _padded(np.empty((queries, 0), np.int64), np.empty((queries, 0), np.float32), k)


def _padded(ids: IdArray, cosine: FloatArray, k: int) -> Neighbors:
    missing = ((0, 0), (0, k - ids.shape[1]))
    return Neighbors(
        np.pad(ids, missing, constant_values=NO_ID), np.pad(cosine, missing, constant_values=np.float32(NO_COSINE))
    )

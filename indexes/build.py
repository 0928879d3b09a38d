"""Building, changing and asking an index of neighbours: `build_index`, `load_index`, `NeighborIndex`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from indexes.choice import Device, choose_device, choose_index
from indexes.exact import exact_neighbors
from indexes.faiss_index import GROWS, SHRINKS, FaissIndex, read_faiss, train_faiss
from indexes.neighbors import (
    NO_ID,
    FloatArray,
    IdArray,
    IndexKind,
    NeighborIndexError,
    Neighbors,
    distinct_ids,
    merge_neighbors,
    no_neighbors,
    rows_of,
    unit_rows,
)
from indexes.recall import check_recall
from indexes.saved import IndexFacts, read_index, write_index

_log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 65_536  # of a search among some ids: 128 MiB at 512 components are gathered at once
_REBUILT_AT = 2  # times the vectors it was built for: lists trained on fewer than half are too few and too long


def build_index(
    vectors: FloatArray,
    ids: IdArray,
    *,
    version: str,
    kind: IndexKind | None = None,
    effort: int | None = None,
    device: Device = "auto",
) -> NeighborIndex:
    """An index of `vectors` (N, D), unit-norm float32, under `ids` (N,), distinct int64 >= 0. N may be 0.

    `version` says what the vectors were made from; an index is only loaded as the version it was saved with.
    `kind` is chosen by size and device where it is `None`, and `effort` (inverted lists probed, or length of the HNSW
    queue) by the recall of a sample. Where ids ascend the vectors are kept, not copied: do not change them afterwards.
    Raises `NeighborIndexError`.
    """
    vectors = unit_rows(vectors)
    ids = distinct_ids(ids, len(vectors))
    if (np.diff(ids) < 0).any():
        order = np.argsort(ids)
        vectors, ids = vectors[order], ids[order]
    asked = IndexFacts(version, IndexKind.EXACT, kind, 0, effort, built_count=0, recall=None)
    on = choose_device(device)
    facts, faiss_index = _build(vectors, ids, asked, on)
    return NeighborIndex(vectors, ids.copy(), facts, on, faiss_index)


def load_index(folder: Path, *, version: str, device: Device = "auto") -> NeighborIndex:
    """The index saved in `folder`; raises `NeighborIndexError` where it is of another version, damaged or not there."""
    parts, on = read_index(folder, version), choose_device(device)
    facts, faiss_index = parts.facts, None
    if facts.kind is IndexKind.FLAT:
        faiss_index = train_faiss(facts.kind, parts.vectors, parts.ids, device=on)
    elif parts.faiss_path is not None:
        faiss_index = read_faiss(facts.kind, parts.faiss_path, effort=facts.effort, device=on)
    return NeighborIndex(parts.vectors, parts.ids, facts, on, faiss_index)


class NeighborIndex:
    """Vectors (N, D) under ids of the caller, and the search among them; made by `build_index` and `load_index`.

    The vectors are held in the order of their ids beside what FAISS holds of them: so every answer carries exact
    cosines, and the index can check its recall and build itself anew.
    """

    def __init__(
        self, vectors: FloatArray, ids: IdArray, facts: IndexFacts, device: str, faiss_index: FaissIndex | None
    ) -> None:
        self._vectors = vectors
        self._ids = ids
        self.facts = facts
        self.device = device
        self._faiss = faiss_index
        self._exact: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> IdArray:
        """The ids held (N,), ascending."""
        return self._ids.copy()

    def search(self, queries: FloatArray, k: int, exclude_ids: IdArray | None = None) -> Neighbors:
        """The k nearest of each of `queries` (Q, D), unit-norm float32: cosine first, then the lower id.

        `exclude_ids` (Q,): the id that a query leaves out (often its own), -1 for none; ids not held exclude nothing.
        FAISS kinds break ties among what they found; exact search among all.
        """
        queries = self._checked(queries, k)
        if exclude_ids is not None and exclude_ids.shape != (len(queries),):
            raise NeighborIndexError(
                f"{len(queries)} queries need exclude_ids of shape ({len(queries)},), got {exclude_ids.shape}.",
                hint="-1 where a query excludes nothing.",
            )
        if not len(self) or not len(queries):
            return no_neighbors(len(queries), k)
        excluded = np.full(len(queries), NO_ID) if exclude_ids is None else rows_of(exclude_ids, self._ids)
        if self._faiss is not None:
            return self._faiss.neighbors(queries, self._vectors, self._ids, k, excluded=excluded)
        if self._exact is None:
            self._exact = torch.from_numpy(self._vectors).to(self.device)
        return exact_neighbors(queries, self._vectors, self._ids, k, excluded=excluded, on_device=self._exact)

    def search_among(self, queries: FloatArray, k: int, ids: IdArray) -> Neighbors:
        """The k nearest of each of `queries` (Q, D) among the vectors with these `ids`: exact, whatever the kind.

        Ids that are not held count for nothing. Costs one pass over these vectors.
        """
        queries = self._checked(queries, k)
        rows = np.unique(rows_of(ids, self._ids))
        rows = rows[rows >= 0]
        nobody = np.full(len(queries), NO_ID)
        parts = [no_neighbors(len(queries), k)]
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE]
            vectors = np.asarray(self._vectors[some])
            on_device = torch.from_numpy(vectors).to(self.device)
            parts.append(exact_neighbors(queries, vectors, self._ids[some], k, excluded=nobody, on_device=on_device))
        return merge_neighbors(parts, k)

    def add(self, vectors: FloatArray, ids: IdArray) -> None:
        """Take more vectors; ids that are held already are refused.

        FAISS is not trained again until the index has doubled since its last build; then it is built anew.
        """
        vectors = unit_rows(vectors, self._vectors.shape[1])
        ids = distinct_ids(ids, len(vectors))
        held = ids[rows_of(ids, self._ids) >= 0]
        if len(held):
            raise NeighborIndexError(
                f"{len(held)} of {len(ids)} ids are in the index already, such as {held[0]}.", hint="Remove them first."
            )
        order = np.argsort(ids)
        places = np.searchsorted(self._ids, ids[order])
        all_vectors = np.insert(self._vectors, places, vectors[order], axis=0)
        all_ids = np.insert(self._ids, places, ids[order])
        doubled = len(all_ids) > _REBUILT_AT * self.facts.built_count
        if self._faiss is not None and self.facts.kind in GROWS and not doubled:
            self._faiss.add(vectors, ids)
            self._vectors, self._ids = all_vectors, all_ids
        else:
            self._rebuild(all_vectors, all_ids)

    def remove(self, ids: IdArray) -> None:
        """Forget the vectors with these ids; ids that are not held are refused. An HNSW graph is built anew."""
        ids = np.unique(ids)
        rows = rows_of(ids, self._ids)
        if (rows < 0).any():
            raise NeighborIndexError(
                f"{(rows < 0).sum()} of {len(ids)} ids are not in the index, such as {ids[rows < 0][0]}.",
                hint="`ids` of the index lists what it holds.",
            )
        kept_vectors, kept_ids = np.delete(self._vectors, rows, axis=0), np.delete(self._ids, rows)
        if self._faiss is not None and self.facts.kind in SHRINKS and len(kept_ids):
            self._faiss.remove(ids)
            self._vectors, self._ids = kept_vectors, kept_ids
        else:
            self._rebuild(kept_vectors, kept_ids)

    def save(self, folder: Path) -> None:
        """Write the index to `folder`, whole or not at all; one that is there already is replaced."""
        flat = self.facts.kind is IndexKind.FLAT  # nothing but the vectors again
        write_faiss = self._faiss.write if self._faiss is not None and not flat else None
        write_index(folder, self.facts, self._vectors, self._ids, write_faiss)

    def _checked(self, queries: FloatArray, k: int) -> FloatArray:
        if k < 1:
            raise NeighborIndexError(f"k must be at least 1, it is {k}.")
        return unit_rows(queries, self._vectors.shape[1])

    def _rebuild(self, vectors: FloatArray, ids: IdArray) -> None:
        self.facts, self._faiss = _build(vectors, ids, self.facts, self.device)
        self._vectors, self._ids, self._exact = vectors, ids, None


def _build(vectors: FloatArray, ids: IdArray, asked: IndexFacts, device: str) -> tuple[IndexFacts, FaissIndex | None]:
    """The facts and the FAISS index of vectors in the order of their ids, of the kind and effort that were asked."""
    count, dimension = vectors.shape
    kind = (asked.kind_asked or choose_index(count, dimension, device)) if count else IndexKind.EXACT
    how = "chosen by size and device" if asked.kind_asked is None else "as asked"
    _log.info("neighbour index: %s for %d vectors of %d on %s, %s", kind, count, dimension, device, how)
    if kind is IndexKind.EXACT:
        return replace(asked, kind=kind, effort=0, built_count=count, recall=None), None
    index = train_faiss(kind, vectors, ids, device=device)
    if asked.effort_asked is not None:
        index.effort = asked.effort_asked
    recall = check_recall(index, vectors, ids, device=device, widen=asked.effort_asked is None)
    return replace(asked, kind=kind, effort=index.effort, built_count=count, recall=recall), index

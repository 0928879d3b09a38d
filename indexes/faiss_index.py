"""The door to FAISS: indexes that propose candidates, on a CPU or a GPU.

How many threads FAISS uses is left to whoever runs the program (OMP_NUM_THREADS). FAISS keeps ids (IVF, HNSW) or
positions (flat); what comes out are always rows of the caller's vectors, whose ids ascend.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexes.neighbors import (
    NO_ID,
    FloatArray,
    IdArray,
    IndexKind,
    NeighborIndexError,
    Neighbors,
    candidate_count,
    join_neighbors,
    rank_candidates,
    rows_of,
)

_log = logging.getLogger(__name__)

_LINKS = 32  # of a vector in the HNSW graph: FAISS' own example; 64 found no more on clustered data
_TRAINING_ROWS = 64  # a list; FAISS asks for 39 at least, and its 256 took four times as long for the same recall
_SEED = 0  # of the draw of training rows
_QUERIES_AT_ONCE = 16_384  # bounds what FAISS returns and what is ranked; more is no faster
_GPU_LARGEST_K = 2048  # FAISS on a GPU selects no more

# Where the search begins, and by how much it may be widened: lists probed, or vectors kept in the HNSW queue.
# 16 lists of 4,096 found 0.990 of the 50 nearest among a million clustered vectors.
STARTING_EFFORT = {IndexKind.FLAT: 1, IndexKind.HNSW: 64, IndexKind.IVF: 16, IndexKind.IVF_SQ8: 16}

GROWS = frozenset({IndexKind.HNSW, IndexKind.IVF, IndexKind.IVF_SQ8})  # takes more vectors without being built anew
SHRINKS = frozenset({IndexKind.IVF, IndexKind.IVF_SQ8})


def list_count(count: int) -> int:
    """Inverted lists for `count` vectors: the power of two nearest to 4 sqrt(N), each with enough rows to train on."""
    wanted: int = 2 ** round(math.log2(4 * math.sqrt(max(1, count))))  # 4,096 for a million, as measured there
    return max(1, min(wanted, count // 39))


class FaissIndex:
    """One FAISS index over vectors (N, D) whose ids (N,) ascend.

    `effort` is what a search may spend: inverted lists probed, or the length of the HNSW queue; nothing for flat.
    """

    def __init__(self, kind: IndexKind, index: Any, effort: int, device: str) -> None:
        self.kind = kind
        self.device = device if kind is not IndexKind.HNSW else "cpu"  # FAISS has no HNSW on a GPU
        self._index = index
        self._on_gpu: Any = None
        self.effort = effort

    @property
    def effort(self) -> int:
        return self._effort

    @effort.setter
    def effort(self, effort: int) -> None:
        self._effort = effort
        if self.kind is IndexKind.HNSW:
            graph: Any = faiss.downcast_index(self._index.index)
            graph.hnsw.efSearch = effort
        elif self.kind is not IndexKind.FLAT:
            self._index.nprobe = self._effort = min(effort, self._index.nlist)
        self._on_gpu = None

    @property
    def largest_effort(self) -> int:
        """Beyond it nothing more can be found."""
        if self.kind is IndexKind.FLAT:
            return 1
        return int(self._index.ntotal if self.kind is IndexKind.HNSW else self._index.nlist)

    def neighbors(
        self, queries: FloatArray, vectors: FloatArray, ids: IdArray, k: int, *, excluded: IdArray
    ) -> Neighbors:
        """The k nearest that FAISS finds of `vectors` (N, D), which it was built from, for each of `queries` (Q, D).

        `excluded` (Q,) is the row that a query leaves out, -1 for none.
        """
        count = min(len(ids), candidate_count(k) + int((excluded >= 0).any()))
        parts = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            some = slice(start, start + _QUERIES_AT_ONCE)
            rows = self._candidates(queries[some], count, ids)
            rows[rows == excluded[some, None]] = NO_ID
            parts.append(rank_candidates(queries[some], vectors, ids, rows, k))
        return join_neighbors(parts)

    def _candidates(self, queries: FloatArray, count: int, ids: IdArray) -> IdArray:
        """Rows (Q, count) of what FAISS takes for the nearest, -1 where it found fewer."""
        searching = self._on_device() if count <= _GPU_LARGEST_K else self._index
        labels: IdArray = searching.search(queries, count)[1]
        return labels if self.kind is IndexKind.FLAT else rows_of(labels, ids)

    def add(self, vectors: FloatArray, ids: IdArray) -> None:
        """Take more vectors, without training again; only of kinds in `GROWS`."""
        self._index.add_with_ids(vectors, ids)
        self._on_gpu = None

    def remove(self, ids: IdArray) -> None:
        """Forget these; only of kinds in `SHRINKS`."""
        self._index.remove_ids(ids)
        self._on_gpu = None

    def write(self, path: Path) -> None:
        """Write the index, without what `read_faiss` is told again."""
        faiss.write_index(self._index, str(path))

    def _on_device(self) -> Any:
        """The index itself, or its copy on the GPU, made when it is first needed."""
        if self.device == "cpu":
            return self._index
        if self._on_gpu is None:
            self._on_gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self._index)
        return self._on_gpu


def train_faiss(kind: IndexKind, vectors: FloatArray, ids: IdArray, *, device: str) -> FaissIndex:
    """An index of unit-norm float32 `vectors` (N, D), N >= 1, with ascending `ids` (N,)."""
    index = _empty_index(kind, len(vectors), vectors.shape[1])
    if kind is IndexKind.FLAT:
        index.add(vectors)
    else:
        if not index.is_trained:
            index.cp.min_points_per_centroid = 1  # or FAISS prints warnings for the one list of a handful of vectors
            index.train(_training_rows(vectors, index.nlist))
        index.add_with_ids(vectors, ids)
    return FaissIndex(kind, index, STARTING_EFFORT[kind], faiss_device(device))


def read_faiss(kind: IndexKind, path: Path, *, effort: int, device: str) -> FaissIndex:
    """The index that `FaissIndex.write` wrote."""
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise NeighborIndexError(
            f"FAISS {faiss.__version__} cannot read {path}: {error}.", hint="Build the index anew."
        ) from error
    return FaissIndex(kind, index, effort, faiss_device(device))


def faiss_device(device: str) -> str:
    """`device`, or "cpu" where FAISS itself cannot use a GPU; then the log says what is missing."""
    if device == "cuda" and not (hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0):
        _log.info("FAISS %s has no GPU support here, it searches on the CPU: install faiss-gpu.", faiss.__version__)
        return "cpu"
    return device


@dataclass(frozen=True, slots=True)
class FaissBuild:
    """The FAISS that is installed: GPUs that it can use, threads, and the instructions that it was built for."""

    version: str
    gpus: int
    threads: int
    instructions: str


def faiss_build() -> FaissBuild:
    """What FAISS says of itself."""
    gpus = int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0
    return FaissBuild(faiss.__version__, gpus, int(faiss.omp_get_max_threads()), faiss.get_compile_options().strip())


def _empty_index(kind: IndexKind, count: int, dimension: int) -> Any:
    """What is to hold `count` vectors; inner product of unit-norm vectors is their cosine."""
    if kind is IndexKind.FLAT:
        return faiss.IndexFlatIP(dimension)
    if kind is IndexKind.HNSW:
        return faiss.IndexIDMap2(faiss.IndexHNSWFlat(dimension, _LINKS, faiss.METRIC_INNER_PRODUCT))
    lists, centroids = list_count(count), faiss.IndexFlatIP(dimension)
    if kind is IndexKind.IVF:
        return faiss.IndexIVFFlat(centroids, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    byte = faiss.ScalarQuantizer.QT_8bit
    return faiss.IndexIVFScalarQuantizer(centroids, dimension, lists, byte, faiss.METRIC_INNER_PRODUCT)


def _training_rows(vectors: FloatArray, lists: int) -> FloatArray:
    """A random draw in the order of the rows: the same for the same vectors and ids, in whatever order they came."""
    wanted = lists * _TRAINING_ROWS
    if len(vectors) <= wanted:
        return vectors
    drawn = np.random.default_rng(_SEED).choice(len(vectors), wanted, replace=False)
    return vectors[np.sort(drawn)]

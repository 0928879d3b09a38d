"""Neighbours of clustered unit vectors of 512: each kind of index against exact search, at growing sizes.

Every measurement is a process of its own, so that peak memory is its own; it holds the vectors once (`vectors_mib`).
`seconds_for_all` is building and then asking for the neighbours of every vector, from the measured rate of as many
queries as fit in a few seconds; `growth` is the exponent of its growth since the size before. Recall and exact rate are
taken on the same queries in the same process. Sizes go up to 100,000 (two minutes on one core); `--largest 1000000`
adds a million, which takes up to 10 GiB. Threads are those of OMP_NUM_THREADS.
"""

from __future__ import annotations

import math
import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from indexes.build import NeighborIndex, build_index
from indexes.choice import Device, choose_index
from indexes.neighbors import FloatArray, IdArray, IndexKind, Neighbors
from indexes.recall import recall_of

_SIZES = (10_000, 100_000, 1_000_000)
_DIMENSION = 512
_K = 10
_TRUE_QUERIES = 500  # what recall is measured on: to within 0.003
_QUERIES_AT_ONCE = 2_000
_SEARCH_S = 5.0  # a rate is measured for about so long
_CLUSTER = 50  # vectors in a cluster, on average
_GROUP = 40  # clusters that resemble each other: categories of one family


def run(largest: int = 100_000) -> dict[str, Any]:
    """Figures for every size up to `largest`, kind and device; see the module for what they mean."""
    devices: list[Device] = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    rows: list[dict[str, Any]] = []
    for size in (size for size in _SIZES if size <= largest):
        for device in devices:
            for kind in IndexKind:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                    rows.append(alone.submit(_measure, size, kind, device).result())
    for row in rows:
        row["growth"] = _growth(row, [other for other in rows if _same(row, other, "kind", "device")])
    chosen = [row for row in rows if row["chosen"] and row["device"] == devices[-1]]
    return {
        "dimension": _DIMENSION,
        "k": _K,
        "threads": torch.get_num_threads(),
        "growth_of_the_chosen": [_growth(row, chosen) for row in chosen[1:]],
        "rows": rows,
    }


def _measure(size: int, kind: IndexKind, device: Device) -> dict[str, Any]:
    vectors = clustered_vectors(size)
    ids = np.arange(size, dtype=np.int64) * 3
    held, added = slice(0, size - size // 100), slice(size - size // 100, size)
    started = perf_counter()
    index = build_index(vectors[held], ids[held], version="benchmark", kind=kind, device=device)
    build_s = perf_counter() - started
    rate = _queries_per_second(index, vectors, ids)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    chosen = np.random.default_rng(1).choice(len(index), min(len(index), _TRUE_QUERIES), replace=False)
    true, exact_rate = _truth(vectors[held], ids[held], chosen, device)
    found = index.search(vectors[chosen], _K, exclude_ids=ids[chosen])
    started = perf_counter()
    index.add(vectors[added], ids[added])
    add_s = perf_counter() - started
    return {
        "vectors": size,
        "device": device,
        "kind": str(kind),
        "chosen": kind is choose_index(size, _DIMENSION, device),
        "effort": index.facts.effort,
        "build_s": build_s,
        "add_1_percent_s": add_s,
        "queries_per_second": rate,
        "ratio_to_exact": rate / exact_rate,
        "recall_at_10": recall_of(found, true),
        "seconds_for_all": build_s + size / rate,
        "growth": None,
        "saved_mib": _saved_mib(index),
        "peak_mib": peak_mib,
        "vectors_mib": vectors.nbytes / 2**20,
    }


def _queries_per_second(index: NeighborIndex, vectors: FloatArray, ids: IdArray) -> float:
    """Each query a vector of the index, itself left out; at random, as neighbours in the array are none in space."""
    order = np.random.default_rng(0).permutation(len(index))
    index.search(vectors[:1], _K)  # copies to the device what belongs there
    started, asked = perf_counter(), 0
    while asked < len(order) and perf_counter() - started < _SEARCH_S:
        some = order[asked : asked + _QUERIES_AT_ONCE]
        index.search(vectors[some], _K, exclude_ids=ids[some])
        asked += len(some)
    return asked / (perf_counter() - started)


def _truth(vectors: FloatArray, ids: IdArray, rows: IdArray, device: Device) -> tuple[Neighbors, float]:
    """The true neighbours of these rows, and queries per second of exact search."""
    exact = build_index(vectors, ids, version="benchmark", kind=IndexKind.EXACT, device=device)
    exact.search(vectors[:1], _K)
    started = perf_counter()
    true = exact.search(vectors[rows], _K, exclude_ids=ids[rows])
    return true, len(rows) / (perf_counter() - started)


def _saved_mib(index: NeighborIndex) -> float:
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder))
        return sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**20


def clustered_vectors(count: int, seed: int = 0) -> FloatArray:
    """Unit-norm float32 (count, 512): families of small clusters, tight and loose ones. Made in blocks, for memory."""
    chance = np.random.default_rng(seed)
    clusters = max(1, count // _CLUSTER)
    families = chance.standard_normal((max(1, clusters // _GROUP), _DIMENSION), dtype=np.float32)
    centres = families[chance.integers(0, len(families), clusters)]
    centres += chance.standard_normal(centres.shape, dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    spread = chance.uniform(0.3, 1.2, (clusters, 1)).astype(np.float32) / np.float32(math.sqrt(_DIMENSION))
    vectors = np.empty((count, _DIMENSION), dtype=np.float32)
    for start in range(0, count, 8192):
        block = vectors[start : start + 8192]
        chance.standard_normal(out=block, dtype=np.float32)
        cluster = chance.integers(0, clusters, len(block))
        block *= spread[cluster]
        block += centres[cluster]
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def _same(row: dict[str, Any], other: dict[str, Any], *keys: str) -> bool:
    return all(row[key] == other[key] for key in keys)


def _growth(row: dict[str, Any], series: list[dict[str, Any]]) -> float | None:
    """The exponent e of time ~ size^e between the size before and this one."""
    before = [other for other in series if other["vectors"] < row["vectors"]]
    if not before:
        return None
    last = before[-1]
    return math.log(row["seconds_for_all"] / last["seconds_for_all"]) / math.log(row["vectors"] / last["vectors"])

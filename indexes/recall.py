"""How much of the truth an index finds: its own vectors, a sample of them, asked for and compared with exact search."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from indexes.exact import exact_neighbors
from indexes.faiss_index import FaissIndex
from indexes.neighbors import FloatArray, IdArray, Neighbors

_log = logging.getLogger(__name__)

LEAST_RECALL = 0.95  # the target; below it a search is widened
_NEIGHBORS = 10  # recall@10, as the target is stated
_QUERIES = 256  # give recall to within about 0.005, and cost seconds of exact search at a million vectors
_WIDENED = 3  # times the effort is doubled before a low recall is reported instead: a search costs 8 times as much
_TIE = 1e-6  # cosines that float32 cannot tell apart


@dataclass(frozen=True, slots=True)
class RecallCheck:
    """Share of the true `k` nearest found, [0, 1], over `queries` vectors of the index, each without itself."""

    recall: float
    k: int
    queries: int

    @property
    def sufficient(self) -> bool:
        return self.recall >= LEAST_RECALL


def check_recall(index: FaissIndex, vectors: FloatArray, ids: IdArray, *, device: str, widen: bool) -> RecallCheck:
    """The recall of `index` over `vectors` (N, D) with ascending `ids` (N,).

    Where it is not sufficient and `widen` allows it, the search is given twice the effort, again and again, and keeps
    it; where that does not help either, the log warns.
    """
    rows = _sampled_rows(len(vectors))
    on_device = torch.from_numpy(vectors).to(device)
    true = exact_neighbors(vectors[rows], vectors, ids, _NEIGHBORS, excluded=rows, on_device=on_device)
    check = _check(index, vectors, ids, rows, true)
    for _ in range(_WIDENED if widen else 0):
        if check.sufficient or index.effort >= index.largest_effort:
            break
        _log.info("recall@%d is %.3f with effort %d: widened", check.k, check.recall, index.effort)
        index.effort *= 2
        check = _check(index, vectors, ids, rows, true)
    level = logging.INFO if check.sufficient else logging.WARNING
    _log.log(level, "%s: recall@%d %.3f with effort %d", index.kind, check.k, check.recall, index.effort)
    return check


def _check(index: FaissIndex, vectors: FloatArray, ids: IdArray, rows: IdArray, true: Neighbors) -> RecallCheck:
    found = index.neighbors(vectors[rows], vectors, ids, _NEIGHBORS, excluded=rows)
    return RecallCheck(recall_of(found, true), _NEIGHBORS, len(rows))


def recall_of(found: Neighbors, true: Neighbors) -> float:
    """Mean over queries of the share of true neighbours found; another vector that ties with the last counts too."""
    wanted = (true.ids >= 0).sum(axis=1)
    asked = wanted > 0
    last = np.take_along_axis(true.cosine, np.maximum(wanted - 1, 0)[:, None], axis=1)
    hits = ((found.ids >= 0) & (found.cosine >= last - _TIE)).sum(axis=1)
    return float((np.minimum(hits, wanted)[asked] / wanted[asked]).mean()) if asked.any() else 1.0


def _sampled_rows(count: int) -> IdArray:
    """Rows at even distances: the same for the same vectors, and from all over the ids."""
    return np.unique(np.linspace(0, count - 1, min(count, _QUERIES)).astype(np.int64))

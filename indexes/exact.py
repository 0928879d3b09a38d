"""Exact search: every query against every vector, with torch, on a CPU or a GPU.

The matrix product only proposes candidates; `rank_candidates` decides. So a CPU and a GPU, and any two block sizes,
give the same neighbours in the same order.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from indexes.neighbors import NO_ID, FloatArray, IdArray, Neighbors, candidate_count, join_neighbors, rank_candidates

_BLOCK_BYTES = {"cpu": 256 << 20, "cuda": 1 << 30}  # cosines held at once; 64 MiB cost a third at 100,000 vectors
_SLACK = 4e-6  # four times what a float32 matrix product of unit-norm rows is off by: 1e-6 at the most
_LARGEST_TIE = 4096  # of more vectors that tie with the k-th neighbour, those with the lowest ids are compared


def exact_neighbors(
    queries: FloatArray, vectors: FloatArray, ids: IdArray, k: int, *, excluded: IdArray, on_device: Tensor
) -> Neighbors:
    """The k nearest of `vectors` (N, D), whose `ids` (N,) ascend, for each of `queries` (Q, D).

    `excluded` (Q,) is the row that a query leaves out, -1 for none. `on_device` is `vectors` as a tensor on the
    device that computes.
    """
    block = max(1, _BLOCK_BYTES[on_device.device.type] // (4 * len(vectors)))
    parts = [
        _search_block(queries[start : start + block], vectors, ids, k, excluded[start : start + block], on_device)
        for start in range(0, len(queries), block)
    ]
    return join_neighbors(parts)


@torch.inference_mode()
def _search_block(
    queries: FloatArray, vectors: FloatArray, ids: IdArray, k: int, excluded: IdArray, on_device: Tensor
) -> Neighbors:
    cosine = torch.from_numpy(queries).to(on_device.device) @ on_device.T
    excluding = np.flatnonzero(excluded >= 0)
    cosine[excluding, excluded[excluding]] = -torch.inf
    values, columns = torch.topk(cosine, min(len(vectors), candidate_count(k)), dim=1)
    columns[torch.isneginf(values)] = NO_ID
    found = rank_candidates(queries, vectors, ids, columns.cpu().numpy(), k)
    if values.shape[1] < len(vectors):  # some were not proposed: they may tie with the k-th
        least = values[:, k - 1] - _SLACK
        for query in torch.nonzero(values[:, -1] >= least).flatten().tolist():
            tied = torch.nonzero(cosine[query] >= least[query]).flatten()[:_LARGEST_TIE].cpu().numpy()
            one = rank_candidates(queries[query : query + 1], vectors, ids, tied[None], k)
            found.ids[query], found.cosine[query] = one.ids[0], one.cosine[0]
    return found

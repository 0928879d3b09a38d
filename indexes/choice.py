"""Which kind of index suits how many vectors on which device."""

from __future__ import annotations

from typing import Literal

import torch

from indexes.neighbors import IndexKind, NeighborIndexError

Device = Literal["auto", "cpu", "cuda"]

_EXACT_UP_TO = 20_000  # all neighbours of all: 13 s on one core; from there on inverted lists repay their training
_EXACT_UP_TO_BYTES_ON_GPU = 4 << 30  # 2 million vectors of 512: fits a card of 8 GiB beside the blocks of cosines


def choose_index(count: int, dimension: int, device: str) -> IndexKind:
    """The kind for `count` vectors of `dimension` components on "cpu" or "cuda"."""
    if device == "cuda" and 4 * count * dimension <= _EXACT_UP_TO_BYTES_ON_GPU:
        return IndexKind.EXACT  # 2 N D operations a query are what a GPU is made for, and there is nothing to train
    if count <= _EXACT_UP_TO:
        return IndexKind.EXACT
    # Of a million clustered vectors: lists with a byte a component gave recall@50 0.990 at 5,200 queries/s in 0.53 GB;
    # FAISS flat 144 queries/s in 2.0 GB; HNSW recall 0.78 to 0.81 in 2.3 GB.
    return IndexKind.IVF_SQ8


def choose_device(device: Device) -> str:
    """ "cpu" or "cuda"; "auto" takes a GPU where there is one."""
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise NeighborIndexError("there is no GPU that torch can use.", hint='Ask for device "auto" or "cpu".')
    return "cuda" if there and device != "cpu" else "cpu"

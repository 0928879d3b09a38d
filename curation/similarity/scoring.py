"""Similarities of pairs, and their means per category, in bounded memory.

s(row, column) is the network's similarity of concat(f_column, f_row), the published order (methods: SimTrans). A value
does not depend on the other images of a call, but for the rounding of matrix products whose shape does: about 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curation.devices import choose_device
from curation.errors import SimilarityError
from curation.similarity.folded import FoldedHead, Precision, fold
from curation.similarity.network import SimilarityNetwork
from curation.values import FloatArray

Indices = NDArray[np.int64]
ScoringProgress = Callable[[int, int], None]


@torch.inference_mode()
def pair_similarities(
    network: SimilarityNetwork,
    rows: FloatArray,
    columns: FloatArray,
    *,
    memory_mib: int = 256,
    precision: Precision = "float32",
    device: str = "cpu",
) -> FloatArray:
    """s(row, column), one order: float32 (N, M) in [0, 1] for unit-norm embeddings (N, D) and (M, D).

    Works in blocks of at most `memory_mib` beside the result and the network. `bfloat16` changes similarities by up
    to 0.01. Raises `SimilarityError` where the embeddings have another dimension than the network.
    """
    result = np.empty((len(rows), len(columns)), dtype=np.float32)
    for top, left, tile in _tiles(network, rows, columns, memory_mib, precision, device):
        result[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return result


def both_orders(
    network: SimilarityNetwork,
    rows: FloatArray,
    columns: FloatArray,
    *,
    memory_mib: int = 256,
    precision: Precision = "float32",
    device: str = "cpu",
) -> FloatArray:
    """(s(row, column) + s(column, row)) / 2: float32 (N, M)."""
    one = pair_similarities(network, rows, columns, memory_mib=memory_mib, precision=precision, device=device)
    if network.head == "metric":
        return one
    other = (
        one
        if rows is columns
        else pair_similarities(network, columns, rows, memory_mib=memory_mib, precision=precision, device=device)
    )
    mean: FloatArray = (one + other.T) * np.float32(0.5)
    return mean


@torch.inference_mode()
def mean_similarities(
    network: SimilarityNetwork,
    samples: FloatArray,
    members: FloatArray,
    member_category: Indices,
    *,
    self_index: Indices,
    n_categories: int,
    memory_mib: int = 256,
    precision: Precision = "float32",
    device: str = "cpu",
    progress: ScoringProgress | None = None,
) -> FloatArray:
    """Mean of both orders of every sample to the members of every category: float32 (N, C), C = `n_categories`.

    `samples` (N, D) and `members` (M, D) are unit-norm embeddings, `member_category` (M,) is in [0, C). `self_index`
    (N,) says which member a sample is itself (-1: none); that pair is left out. NaN where a category has no (other)
    member. Beside copies of its arguments, the result and sums of its shape no more than `memory_mib` is held.
    `progress(done, total)` counts pairs compared.
    When the samples are the members in the same order, one pass gives both orders.
    """
    order = np.argsort(member_category, kind="stable")  # members of a category side by side
    rank = np.argsort(order)
    own = np.full(len(samples), -1)
    own[self_index >= 0] = rank[self_index[self_index >= 0]]
    identical = len(samples) == len(members) and bool((self_index == np.arange(len(samples))).all())
    members, categories = members[order], member_category[order]
    if identical:
        samples, own = members, np.arange(len(members))
    orders = 1 if network.head == "metric" else 2
    sums = np.zeros((len(samples), n_categories))
    done, total = 0, len(samples) * len(members) * orders
    tiles = _tiles_of_both_orders(network, samples, members, identical, memory_mib, precision, device)
    for first_sample, first_member, tile in tiles:
        among, to = slice(first_sample, first_sample + len(tile)), slice(first_member, first_member + tile.shape[1])
        _leave_out_self(tile, own[among] - first_member)
        _add_by_category(sums[among], tile, categories[to])
        done += tile.size
        if progress is not None:
            progress(done, total)
    means = _divide_by_members(sums / orders, categories, own)
    return means[rank] if identical else means


def _divide_by_members(sums: NDArray[np.float64], categories: Indices, own: Indices) -> FloatArray:
    """Means (N, C) of sums over the members of each category, less the sample itself; NaN where none is left."""
    counts = np.tile(np.bincount(categories, minlength=sums.shape[1]), (len(sums), 1))
    members_too = np.flatnonzero(own >= 0)
    counts[members_too, categories[own[members_too]]] -= 1
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.astype(np.float32)


def _tiles_of_both_orders(
    network: SimilarityNetwork,
    samples: FloatArray,
    members: FloatArray,
    identical: bool,
    memory_mib: int,
    precision: Precision,
    device: str,
) -> Iterator[tuple[int, int, FloatArray]]:
    """(first sample, first member, tile) of s(sample, member) and s(member, sample), rows always samples."""
    mirrored = network.head == "metric"
    for top, left, tile in _tiles(network, samples, members, memory_mib, precision, device):
        yield top, left, tile
        if identical and not mirrored:
            yield left, top, tile.T
    if not identical and not mirrored:
        for top, left, tile in _tiles(network, members, samples, memory_mib, precision, device):
            yield left, top, tile.T


def _tiles(
    network: SimilarityNetwork,
    rows: FloatArray,
    columns: FloatArray,
    memory_mib: int,
    precision: Precision,
    device_name: str,
) -> Iterator[tuple[int, int, FloatArray]]:
    """(first row, first column, s of the tile): tiles cover all pairs; a tile is overwritten by the next one."""
    for embeddings in (rows, columns):
        refuse_unfit(network, embeddings)
    device = choose_device(device_name)
    head = fold(network, device, precision)
    side = _tile_side(head, memory_mib)
    buffer = torch.empty(min(side, len(rows)) * min(side, len(columns)), dtype=torch.float32)
    with exact_float32():
        for top in range(0, len(rows), side):
            row_part = head.row_part(on_device(device, rows[top : top + side]))
            for left in range(0, len(columns), side):
                column_part = head.column_part(on_device(device, columns[left : left + side]))
                tile = buffer[: len(row_part) * len(column_part)].view(len(row_part), len(column_part))
                head.similarities(row_part, column_part, tile)
                yield top, left, tile.numpy()


def refuse_unfit(network: SimilarityNetwork, embeddings: FloatArray) -> None:
    """Raise `SimilarityError` where the embeddings have another dimension than the network, or it is in training."""
    if embeddings.ndim != 2 or embeddings.shape[1] != network.dimension:
        raise SimilarityError(
            f"the network compares embeddings of {network.dimension} dimensions, got shape {embeddings.shape}.",
            hint="Embed with the encoder the network was trained on, or train it again.",
        )
    if network.training:
        raise SimilarityError("the network is in training mode.", hint="Call .eval() on it before scoring.")


def _tile_side(head: FoldedHead, memory_mib: int) -> int:
    """Images on a side of a tile: half of the memory for the parts of both sides, half for the tile and its sums."""
    budget = memory_mib << 20
    by_parts = budget // 2 // (6 * 4 * head.width)  # row part, old column part, new one and what it is made of
    by_tile = int((budget // 2 // 8) ** 0.5)
    return max(16, min(by_parts, by_tile))


def on_device(device: torch.device, embeddings: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32)).to(device)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Float32 products in float32: no TF32 or bfloat16 in their place, whatever the program around us allows."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def _leave_out_self(tile: FloatArray, own_column: Indices) -> None:
    """Zero the pair of every row with itself; `own_column` (R,) may lie outside of the tile."""
    inside = np.flatnonzero((own_column >= 0) & (own_column < tile.shape[1]))
    tile[inside, own_column[inside]] = 0.0


def _add_by_category(sums: NDArray[np.float64], tile: FloatArray, categories: Indices) -> None:
    """Add to sums (R, C) the sums of tile (R, K) over its columns' categories (K,), which are sorted."""
    starts = np.flatnonzero(np.diff(categories, prepend=-1))
    sums[:, categories[starts]] += np.add.reduceat(tile, starts, axis=1, dtype=np.float64)

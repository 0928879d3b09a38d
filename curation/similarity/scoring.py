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

from curation.errors import SimilarityError
from curation.similarity.folded import FoldedHead, Precision, fold
from curation.similarity.network import SimilarityNetwork, choose_device
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

    Works in blocks of at most `memory_mib` beside the result. `bfloat16` changes similarities by up to 0.01. Raises
    `SimilarityError` where the embeddings have another dimension than the network.
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
    order = np.argsort(member_category, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    own = np.where(self_index >= 0, rank[self_index], -1) if len(order) else np.full(len(samples), -1)
    members, categories = members[order], member_category[order]
    identical = len(samples) == len(members) and bool((self_index == np.arange(len(samples))).all())
    if identical:
        samples, own = members, np.arange(len(members))
    mirrored = network.head == "metric"  # symmetric: one order is both
    total = len(samples) * len(members) * (1 if identical or mirrored else 2)
    done = 0
    sums = np.zeros((len(samples), n_categories))
    for top, left, tile in _tiles(network, samples, members, memory_mib, precision, device):
        _leave_out_self(tile, own[top : top + len(tile)] - left)
        _add_by_category(sums[top : top + len(tile)], tile, categories[left : left + tile.shape[1]])
        if identical and not mirrored:
            _add_by_category(sums[left : left + tile.shape[1]], tile.T, categories[top : top + len(tile)])
        done = _report(progress, done + tile.size, total)
    if not identical and not mirrored:
        for top, left, tile in _tiles(network, members, samples, memory_mib, precision, device):
            _leave_out_self(tile.T, own[left : left + tile.shape[1]] - top)
            _add_by_category(sums[left : left + tile.shape[1]], tile.T, categories[top : top + len(tile)])
            done = _report(progress, done + tile.size, total)
    counts = np.tile(np.bincount(categories, minlength=n_categories), (len(samples), 1))
    with_self = np.flatnonzero(own >= 0)
    counts[with_self, categories[own[with_self]]] -= 1
    means = np.full(sums.shape, np.nan, dtype=np.float32)
    np.divide(sums, counts * (1 if mirrored else 2), out=means, where=counts > 0, casting="same_kind")
    return means[rank] if identical else means


def _tiles(
    network: SimilarityNetwork,
    rows: FloatArray,
    columns: FloatArray,
    memory_mib: int,
    precision: Precision,
    device_name: str,
) -> Iterator[tuple[int, int, FloatArray]]:
    """(first row, first column, s of the tile): tiles cover all pairs; a tile is overwritten by the next one."""
    for side in (rows, columns):
        if side.ndim != 2 or side.shape[1] != network.dimension:
            raise SimilarityError(
                f"the network compares embeddings of {network.dimension} dimensions, got shape {side.shape}.",
                hint="Embed with the encoder the network was trained on, or train it again.",
            )
    if network.training:
        raise SimilarityError("the network is in training mode.", hint="Call .eval() on it before scoring.")
    device = choose_device(device_name)
    head = fold(network, device, precision)
    side = _tile_side(head, memory_mib)
    buffer = torch.empty(min(side, len(rows)) * min(side, len(columns)), dtype=torch.float32)
    with _exact_float32():
        for top in range(0, len(rows), side):
            row_part = head.row_part(_on(device, rows[top : top + side]))
            for left in range(0, len(columns), side):
                column_part = head.column_part(_on(device, columns[left : left + side]))
                tile = buffer[: len(row_part) * len(column_part)].view(len(row_part), len(column_part))
                head.similarities(row_part, column_part, tile)
                yield top, left, tile.numpy()


def _tile_side(head: FoldedHead, memory_mib: int) -> int:
    """Images on a side of a tile: the parts of both sides (twice while they are made) and the tile fit the memory."""
    budget = memory_mib << 20
    by_parts = budget // 2 // (4 * head.bytes_per_image)
    by_tile = int((budget / 2 / 8) ** 0.5)
    return max(16, min(by_parts, by_tile))


def _on(device: torch.device, embeddings: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32)).to(device)


@contextmanager
def _exact_float32() -> Iterator[None]:
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


def _report(progress: ScoringProgress | None, done: int, total: int) -> int:
    if progress is not None:
        progress(done, total)
    return done

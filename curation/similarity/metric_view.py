"""Embeddings as the metric head sees them: brought there once, any two of them are compared by a product."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from curation.bands import for_each_band
from curation.devices import choose_device
from curation.similarity.folded import fold
from curation.similarity.network import SimilarityNetwork
from curation.similarity.scoring import exact_float32, on_device, refuse_unfit
from curation.values import FloatArray

# A product of matrices rounds differently with its shape. In tiles of one shape, filled up with zeros, the similarity
# of two images does not depend on what is beside them.
_TILE_ROWS, _TILE_COLUMNS = 256, 32  # 77 GFLOP/s of one core; 256 x 16: 64, whole matrices: 86

Indices = NDArray[np.int64]


class MetricView:
    """N unit-norm embeddings (N, D) projected by a network with the metric head: `vectors`, unit-norm float32 (N, P).

    On `device`; 4 P bytes an embedding, whose vector is the same beside whatever others. Raises `SimilarityError` where
    the network is of another dimension.
    """

    @torch.inference_mode()
    def __init__(self, network: SimilarityNetwork, embeddings: FloatArray, device: str = "cpu") -> None:
        refuse_unfit(network, embeddings)
        on = choose_device(device)
        self._head = fold(network, on, "float32")
        self.vectors = torch.empty((len(embeddings), self._head.width), device=on)

        def fill(part: slice) -> None:
            block = on_device(on, embeddings[part])
            self.vectors[part] = self._head.row_part(_filled(block, _TILE_ROWS))[: len(block)]

        with exact_float32():
            for_each_band(fill, len(embeddings), _TILE_ROWS)

    @torch.inference_mode()
    def similarities(self, rows: Indices, columns: Indices) -> FloatArray:
        """Those of embeddings `rows` (R,) to embeddings `columns` (C,): float32 (R, C) in [0, 1]."""
        pairs = torch.empty((len(rows), len(columns)))
        with exact_float32():
            self._head.similarities(
                self.vectors[torch.from_numpy(rows)], self.vectors[torch.from_numpy(columns)], pairs
            )
        similarities: FloatArray = pairs.numpy()
        return similarities

    def both_orders(self, rows: Indices, columns: Indices) -> FloatArray:
        """The same: this head's similarity is symmetric."""
        return self.similarities(rows, columns)

    @torch.inference_mode()
    def sums(self, rows: Indices, members: Indices, starts: Indices) -> NDArray[np.float64]:
        """Sums of the similarities of embeddings `rows` (R,) to groups of `members` (M,), themselves left out: (R, G).

        Group g are the members from `starts[g]` (G,) on, up to the next; no group is empty. A similarity counts in
        steps of 2^-23, so that a sum is exact and the same in any order and company: sums of parts can be added.
        """
        sums = np.zeros((len(rows), len(starts)))
        if not len(rows) or not len(members):
            return sums
        columns = [
            _filled(self.vectors[torch.from_numpy(members[start : start + _TILE_COLUMNS])], _TILE_COLUMNS)
            for start in range(0, len(members), _TILE_COLUMNS)
        ]
        order = np.argsort(members, kind="stable")

        def fill(part: slice) -> None:
            pairs = self._tiles(rows[part], columns)[:, : len(members)]
            place = np.minimum(np.searchsorted(members, rows[part], sorter=order), len(members) - 1)
            itself = members[order[place]] == rows[part]
            pairs[itself, order[place[itself]]] = 0
            pairs += np.float32(1)  # float32 has steps of 2^-23 between 1 and 2
            sizes = np.diff(np.append(starts, len(members)))
            sums[part] = np.add.reduceat(pairs, starts, axis=1, dtype=np.float64) - sizes

        with exact_float32():
            for_each_band(fill, len(rows), _TILE_ROWS)
        return sums

    def _tiles(self, rows: Indices, columns: list[torch.Tensor]) -> FloatArray:
        """Similarities of at most `_TILE_ROWS` embeddings to those in the tiles `columns`, side by side."""
        some = _filled(self.vectors[torch.from_numpy(rows)], _TILE_ROWS)
        pairs = torch.empty((len(columns), _TILE_ROWS, _TILE_COLUMNS))
        for tile, out in zip(columns, pairs, strict=True):
            self._head.similarities(some, tile, out)
        beside: FloatArray = pairs.permute(1, 0, 2).reshape(_TILE_ROWS, -1)[: len(rows)].numpy()
        return beside


def _filled(rows: torch.Tensor, count: int) -> torch.Tensor:
    """`rows` and as many of zeros as make `count` rows."""
    return torch.nn.functional.pad(rows, (0, 0, 0, count - len(rows)))

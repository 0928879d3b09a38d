"""Embeddings as the metric head sees them: brought there once, any two of them are compared by a product."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from curation.devices import choose_device
from curation.similarity.folded import fold
from curation.similarity.network import SimilarityNetwork
from curation.similarity.scoring import exact_float32, on_device, refuse_unfit
from curation.values import FloatArray

_BLOCK_ROWS = 4096  # 21 MB of embeddings of 1,280

Indices = NDArray[np.int64]


class MetricView:
    """N unit-norm embeddings (N, D) projected by a network with the metric head: `vectors`, unit-norm float32 (N, P).

    On `device`; 4 P bytes an embedding. Raises `SimilarityError` where the network is of another dimension.
    """

    @torch.inference_mode()
    def __init__(self, network: SimilarityNetwork, embeddings: FloatArray, device: str = "cpu") -> None:
        refuse_unfit(network, embeddings)
        on = choose_device(device)
        self._head = fold(network, on, "float32")
        self.vectors = torch.empty((len(embeddings), self._head.width), device=on)
        with exact_float32():
            for start in range(0, len(embeddings), _BLOCK_ROWS):
                block = embeddings[start : start + _BLOCK_ROWS]
                self.vectors[start : start + len(block)] = self._head.row_part(on_device(on, block))

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

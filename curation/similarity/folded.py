"""Trained heads made ready for scoring: exact algebra that leaves as little as possible to do for a pair.

Batch normalisation is folded into the linear layer before it, and the first linear layer runs once per image:
W concat(f_j, f_i) + b = W1 f_j + (W2 f_i + b). The softmax over two outputs is the sigmoid of their difference.
"""

from __future__ import annotations

import copy
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

from curation.bands import for_each_band
from curation.similarity.network import SimilarityNetwork

Precision = Literal["float32", "bfloat16"]

_CPU_PAIRS = 256  # pairs in a chunk: their hidden layers stay in the cache; 128 and 512 are within 5 % of it
_BAND_ROWS = 32  # rows a thread takes at a time: long enough to pay for handing over, short enough to balance
_GPU_CHUNK_BYTES = 128 << 20  # first hidden layer of a chunk: large enough to fill a GPU


class FoldedHead(Protocol):
    """What scoring asks of a head. `row_part` and `column_part` cost once per image, `similarities` per pair."""

    symmetric: bool  # s(i, j) = s(j, i) for every pair

    @property
    def width(self) -> int:
        """H, the numbers in a part."""
        ...

    def row_part(self, embeddings: Tensor) -> Tensor: ...

    def column_part(self, embeddings: Tensor) -> Tensor: ...

    def similarities(self, rows: Tensor, columns: Tensor, out: Tensor) -> None:
        """Fill the CPU tensor `out` (R, C): s(row, column) of the parts of rows (R, H) and columns (C, H)."""
        ...


def fold(network: SimilarityNetwork, device: torch.device, precision: Precision) -> FoldedHead:
    """The head ready for inference on `device`.

    `precision` matters where pairs go through torch layer by layer: concat4, and concat2 on a GPU. The fused concat2
    kernel on a CPU and the metric head always compute in float32.
    """
    if network.centre.device.type != device.type:
        network = copy.deepcopy(network).to(device)  # the caller keeps its own where it is
    if network.head == "metric":
        return FoldedMetric(network)
    if network.head == "concat2" and device.type == "cpu":
        return FusedConcat2(network)
    return FoldedConcat(network, precision)


class FoldedMetric:
    """Unit projections per image, sigmoid(scale * cosine + bias) per pair."""

    symmetric = True

    def __init__(self, network: SimilarityNetwork) -> None:
        self._network = network
        self._scale = network.log_scale.detach().exp()
        self._bias = network.bias.detach()

    @property
    def width(self) -> int:
        return self._network.projected

    def row_part(self, embeddings: Tensor) -> Tensor:
        return self._network.project(self._network.standardise(embeddings))

    column_part = row_part

    def similarities(self, rows: Tensor, columns: Tensor, out: Tensor) -> None:
        if rows.device.type == "cpu":
            torch.addmm(self._bias, rows, columns.T, alpha=float(self._scale), out=out).sigmoid_()
        else:
            out.copy_(torch.addmm(self._bias, rows, columns.T, alpha=float(self._scale)).sigmoid_())


class FoldedConcat:
    """concat2 or concat4 in torch, on any device: hidden layers for chunks of pairs in buffers that are used again."""

    symmetric = False

    def __init__(self, network: SimilarityNetwork, precision: Precision) -> None:
        self._network = network
        all_layers = (*network.relation_layers, *network.classifier_layers)
        layers = [layer for layer in all_layers if not isinstance(layer, nn.ReLU)]
        *hidden, output = layers
        folded = [
            fold_batch_norm(cast("nn.Linear", linear), cast("nn.BatchNorm1d", norm))
            for linear, norm in zip(hidden[::2], hidden[1::2], strict=True)
        ]
        (weight, self._first_bias), *rest = folded
        self._of_column, self._of_row = weight.chunk(2, dim=1)  # pair (i, j) is concat(f_j, f_i)
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._hidden = [(matrix.T.to(self._dtype).contiguous(), bias.to(self._dtype)) for matrix, bias in rest]
        last = cast("nn.Linear", output)
        self.direction = (last.weight[1] - last.weight[0]).detach().contiguous()
        self.offset = (last.bias[1] - last.bias[0]).detach()

    @property
    def width(self) -> int:
        return len(self._first_bias)

    def row_part(self, embeddings: Tensor) -> Tensor:
        part = torch.addmm(self._first_bias, self._network.standardise(embeddings), self._of_row.T)
        return part.to(self._dtype)

    def column_part(self, embeddings: Tensor) -> Tensor:
        part = self._network.standardise(embeddings) @ self._of_column.T
        return part.to(self._dtype)

    def similarities(self, rows: Tensor, columns: Tensor, out: Tensor) -> None:
        def band(part: slice) -> None:
            self._fill_band(rows[part], columns, out[part])

        for_each_band(band, len(rows), _BAND_ROWS if rows.device.type == "cpu" else len(rows))

    def _fill_band(self, rows: Tensor, columns: Tensor, out: Tensor) -> None:
        """Fill `out` (R, C) chunk by chunk on the calling thread."""
        pairs = _CPU_PAIRS if rows.device.type == "cpu" else max(1, _GPU_CHUNK_BYTES // (4 * self.width))
        wide = min(len(columns), pairs)
        high = min(len(rows), pairs // wide)
        widths = [self.width, *(matrix.shape[1] for matrix, _ in self._hidden)]
        buffers = [rows.new_empty(high * wide * width) for width in widths]
        for top in range(0, len(rows), high):
            for left in range(0, len(columns), wide):
                some_rows, some_columns = rows[top : top + high], columns[left : left + wide]
                logits = self._logits(some_rows, some_columns, buffers)
                out[top : top + high, left : left + wide] = logits.sigmoid_().view(len(some_rows), len(some_columns))

    def _logits(self, rows: Tensor, columns: Tensor, buffers: list[Tensor]) -> Tensor:
        """Output difference (R*C,) of a chunk small enough for the buffers."""
        pairs = len(rows) * len(columns)
        first = buffers[0][: pairs * rows.shape[1]].view(len(rows), len(columns), -1)
        torch.add(rows[:, None, :], columns[None, :, :], out=first).relu_()
        activation = first.view(pairs, -1)
        for (matrix, bias), buffer in zip(self._hidden, buffers[1:], strict=True):
            following = buffer[: pairs * matrix.shape[1]].view(pairs, -1)
            torch.addmm(bias, activation, matrix, out=following).relu_()
            activation = following
        return activation.float() @ self.direction + self.offset


class FusedConcat2(FoldedConcat):
    """concat2 on a CPU: the same parts per image, the pairs in one fused pass (`concat2_kernel.py`), always float32."""

    def __init__(self, network: SimilarityNetwork) -> None:
        super().__init__(network, "float32")

    def _fill_band(self, rows: Tensor, columns: Tensor, out: Tensor) -> None:
        from curation.similarity.concat2_kernel import relu_dot  # numba takes half a second to import

        relu_dot(rows.numpy(), columns.numpy(), self.direction.numpy(), float(self.offset), out.numpy())
        out.sigmoid_()


def fold_batch_norm(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one linear layer that equals linear, then batch normalisation in evaluation mode."""
    mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
    gain = norm.weight / torch.sqrt(variance + norm.eps)
    weight = linear.weight * gain[:, None]
    bias = (linear.bias - mean) * gain + norm.bias
    return weight.detach(), bias.detach()

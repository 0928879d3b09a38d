"""Pair similarities of one category: ours against the published loop, on the same machine, heads and weights.

The baseline is what the released code does: for every row, concatenate it with all images and run the whole head in
float32 (on embeddings that are whitened once: whitening is ours, the loop does not pay for it). On a busy machine the
loop suffers more than ours, and ratios grow: quote those of a quiet one. Each measurement is the best of several,
baseline and ours in turn.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from curation.similarity.folded import Precision
from curation.similarity.network import HEADS, Head, SimilarityNetwork
from curation.similarity.scoring import pair_similarities
from curation.values import FloatArray

_IMAGES = 1000
_DIMENSIONS = (512, 1280)
_THREADS = 2  # the cores of the machine the targets are stated for
_REPEATS = 3
_LOOP_SECONDS = 3.0  # the loop does as many rows as fit; its rate does not depend on how many
_ROWS = {"concat2": 1000, "concat4": 250, "metric": 1000}  # concat4 at 1,280 takes a minute for all


def run() -> dict[str, Any]:
    """Figures for every head, dimension and precision; see the module for what they mean."""
    usual = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        rows = [row for dimension in _DIMENSIONS for head in HEADS for row in _measure(head, dimension)]
    finally:
        torch.set_num_threads(usual)
    return {
        "images": _IMAGES,
        "threads": _THREADS,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": rows,
    }


def _measure(head: Head, dimension: int) -> list[dict[str, Any]]:
    network, images = _network(head, dimension), _embeddings(dimension)
    some = images[: _ROWS[head]]
    pair_similarities(network, images[:64], images)  # compiles the kernel
    precisions: tuple[Precision, ...] = ("float32", "bfloat16") if head == "concat4" else ("float32",)
    seconds: dict[str, float] = {name: float("inf") for name in ("loop", "product", *precisions)}
    results: dict[str, FloatArray] = {}
    loop_rows, loop = 0, np.empty((0, 0), dtype=np.float32)
    for _ in range(_REPEATS):
        took, loop = _published_loop(network, images)
        loop_rows = len(loop)
        seconds["loop"] = min(seconds["loop"], took / loop.size)
        seconds["product"] = min(seconds["product"], _seconds_per_flop(network))
        for precision in precisions:
            started = perf_counter()
            results[precision] = pair_similarities(network, some, images, precision=precision)
            seconds[precision] = min(seconds[precision], (perf_counter() - started) / (len(some) * len(images)))
    return [
        {
            "head": head,
            "dimension": dimension,
            "precision": precision,
            "rows": len(some),
            "loop_rows": loop_rows,
            "seconds": seconds[precision] * len(some) * len(images),
            "pairs_per_second": 1 / seconds[precision],
            "loop_pairs_per_second": 1 / seconds["loop"],
            "ratio_to_loop": seconds["loop"] / seconds[precision],
            "share_of_product_rate": _flops_per_pair(network) * seconds["product"] / seconds[precision]
            if head == "concat4"
            else None,
            "speed_up_over_float32": seconds["float32"] / seconds[precision],
            "largest_difference_to_loop": float(np.abs(results[precision][:loop_rows] - loop[: len(some)]).max()),
        }
        for precision in precisions
    ]


def _published_loop(network: SimilarityNetwork, images: FloatArray) -> tuple[float, FloatArray]:
    """Seconds and similarities (rows, N) of as many rows as fit in the time, at least one."""
    with torch.inference_mode():
        columns = network.standardise(torch.from_numpy(images))
        rows: list[FloatArray] = []
        started = perf_counter()
        while len(rows) < len(images) and perf_counter() - started < _LOOP_SECONDS:
            row = columns[len(rows)].expand_as(columns)
            rows.append(torch.softmax(_head_outputs(network, columns, row), dim=1)[:, 1].numpy())
        return perf_counter() - started, np.stack(rows)


def _head_outputs(network: SimilarityNetwork, columns: Tensor, row: Tensor) -> Tensor:
    """The outputs (N, 2) of the whole head, one row a pair; the metric head projects both images of every pair."""
    if network.head == "metric":
        cosine = (network.project(columns) * network.project(row)).sum(dim=1)
        return torch.stack([torch.zeros_like(cosine), network.log_scale.exp() * cosine + network.bias], dim=1)
    relation = network.relation_layers(torch.cat([columns, row], dim=1))
    return cast("Tensor", network.classifier_layers(relation))


def _later_linears(network: SimilarityNetwork) -> list[nn.Linear]:
    """The linear layers that cost a matrix product for every pair: those of concat4 between the first and the last."""
    if network.head != "concat4":
        return []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return layers[1:-1]


def _flops_per_pair(network: SimilarityNetwork) -> float:
    return sum(2.0 * layer.in_features * layer.out_features for layer in _later_linears(network))


def _seconds_per_flop(network: SimilarityNetwork) -> float:
    """What a float32 matrix product takes on the layer sizes of the head (2,048 pairs), weighted like in the head."""
    layers = _later_linears(network)
    if not layers:
        return 0.0
    seconds = 0.0
    for layer in layers:
        inputs, weight = torch.randn(2048, layer.in_features), layer.weight.detach().T.contiguous()
        product = partial(torch.mm, inputs, weight, out=torch.empty(2048, layer.out_features))
        seconds += min(_time(product) for _ in range(8))
    return seconds / (2048 * _flops_per_pair(network))


def _time(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def _network(head: Head, dimension: int) -> SimilarityNetwork:
    """Random weights with BN statistics of real pairs: similarities spread over (0, 1) as those of a trained head."""
    torch.manual_seed(0)
    network = SimilarityNetwork(head, dimension)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network.pair_outputs(torch.from_numpy(_embeddings(dimension)[:48])[None])
        if head != "metric":
            last = cast("nn.Linear", network.classifier_layers[-1])
            last.weight *= 3.0
    return network.eval()


def _embeddings(dimension: int) -> FloatArray:
    rows = np.random.default_rng(0).standard_normal((_IMAGES, dimension)).astype(np.float32)
    unit: FloatArray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit

"""Averaged weights: what a classifier would be if the last steps counted a little each (EMA)."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

_FIRST_STEPS = 10.0  # the decay after n steps is at most (1 + n) / (10 + n), so that the random start is soon forgotten


def new_average(network: nn.Module, decay: float) -> AveragedModel:
    """A running average of the network's weights and buffers (batch statistics too); `update_average` moves it."""
    return AveragedModel(network, multi_avg_fn=_moving(decay), use_buffers=True)


def update_average(average: AveragedModel, network: nn.Module, decay: float) -> None:
    """One step: average = d * average + (1 - d) * network, d = min(decay, (1 + n) / (10 + n)) after n steps."""
    steps = int(average.n_averaged)
    average.multi_avg_fn = _moving(min(decay, (1 + steps) / (_FIRST_STEPS + steps)))
    average.update_parameters(network)


def _moving(decay: float) -> Any:
    return get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

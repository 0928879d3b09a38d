"""The course of a training: all that changes from step to step, and the file that keeps it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipelines.training.resuming import load_state, refuse_other_options, save_state


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """One row of the log. Losses are means over the batches; `graph_loss` is alpha * L_reg where it was on.

    Accuracies and refinement losses (nats) are weighted, on the validation part, of the weights and of their average;
    `None` without such a part.
    """

    epoch: int
    batch_size: int
    loss: float
    classification_loss: float
    graph_loss: float | None
    learning_rate: float
    validation_accuracy: float | None
    validation_loss: float | None
    averaged_accuracy: float | None
    averaged_loss: float | None
    images_per_s: float


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a training is kept while it lasts: its state, and the folder of its logs.

    `origin` is what it was started with; another training does not go on from its state.
    """

    state_file: Path
    log_folder: Path
    origin: Mapping[str, Any]


@dataclass
class Course:
    """What changes from step to step beside the weights, and is kept with them."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    history: list[dict[str, Any]] = field(default_factory=list)
    alpha: float | None = None
    graph_share: float | None = None
    best_loss: float = math.inf
    best_accuracy: float | None = None
    best_epoch: int = 0
    best_averaged: bool = False
    best_state: dict[str, Tensor] | None = None

    def end_epoch(self, row: dict[str, Any]) -> None:
        self.history.append(row)
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, [0.0, 0.0]


def keep_course(
    keeping: Keeping | None,
    course: Course,
    network: nn.Module,
    average: AveragedModel | None,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write everything that changes from step to step; there may be no average of the weights."""
    if keeping is None:
        return
    state = {
        "origin": dict(keeping.origin),
        "course": dict(vars(course)),
        "network": network.state_dict(),
        "average": None if average is None else average.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    save_state(keeping.state_file, state)


def resume_course(
    keeping: Keeping | None, network: nn.Module, average: AveragedModel | None, optimiser: torch.optim.Optimizer
) -> Course:
    """Where the kept training was, its weights put in place; the start where nothing is kept."""
    if keeping is None or not keeping.state_file.exists():
        return Course()
    state = load_state(keeping.state_file)
    refuse_other_options(keeping.state_file, state["origin"], keeping.origin)
    network.load_state_dict(state["network"])
    if average is not None:
        average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return Course(**state["course"])

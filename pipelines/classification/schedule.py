"""What each epoch does: which batches, whether the graph loss is on, and how fast it learns."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.classification.config import ClassificationConfig
from pipelines.classification.methods import METHODS, TrainingTargets
from pipelines.training.batches import Rows, balanced_batches, shuffled_batches

# Steps after which a head on frozen embeddings has learned what it can: on CIFAR (9,700 images) 60 epochs of `cleaned`
# are 2,900 steps, validation chose the state after 600, and 1,000 in all did as well (0.821 both); `weighted` took 300.
_ENOUGH_STEPS = 1_000
_FEWEST_EPOCHS = 10


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """One epoch: images in a batch, whether its steps add alpha * L_reg, and whether the result may be a state of it.

    A first phase is only where the second begins: a state of it would be another method.
    """

    batch_size: int
    regularised: bool
    may_be_kept: bool = True


def plan_epochs(config: ClassificationConfig) -> list[EpochPlan]:
    """The epochs of a method (A.2.7).

    With two phases: first plain epochs, none for a frozen backbone, then in turn a regularised one with large batches
    (the graph wants similar pairs in a batch) and a plain one. With the graph alone every epoch is regularised.
    """
    method, epochs = METHODS[config.method], config.resolved_epochs
    plain = EpochPlan(config.resolved_batch_size, regularised=False)
    regularised = EpochPlan(config.large_batch, regularised=True)
    if not method.graph:
        return [plain] * epochs
    if not method.two_phases:
        return [regularised] * epochs
    first = round(config.resolved_first_phase * epochs)
    beginning = replace(plain, may_be_kept=first == epochs)
    return [beginning] * first + [plain if number % 2 else regularised for number in range(epochs - first)]


def with_epochs(config: ClassificationConfig, samples: int) -> ClassificationConfig:
    """The configuration of a head on the frozen embeddings of so many samples: fewer epochs where they are many."""
    if config.epochs:
        return config
    enough = round(_ENOUGH_STEPS / max(1, samples // config.resolved_batch_size))
    return config.model_copy(update={"epochs": min(config.resolved_epochs, max(_FEWEST_EPOCHS, enough))})


def epoch_batches(
    plan: EpochPlan, rows: Rows, targets: TrainingTargets, config: ClassificationConfig, epoch: int
) -> list[Rows]:
    """The batches of one epoch of the samples `rows`; from the seed and the epoch alone."""
    balanced = config.generalized if config.balanced is None else config.balanced
    if balanced:
        codes: NDArray[np.int64] = targets.targets[rows].argmax(axis=1)
        return balanced_batches(rows, codes, plan.batch_size, seed=config.seed, epoch=epoch)
    return shuffled_batches(rows, plan.batch_size, seed=config.seed, epoch=epoch)


def rate_at(step: int, steps: int, warmup: float) -> float:
    """The learning rate's factor at step 0 .. `steps` - 1: a linear rise over a share of them, then a cosine to 0."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising))) / 2

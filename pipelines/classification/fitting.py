"""The training loop, for embeddings and for images alike: it reads from top to bottom.

All randomness comes from (seed, epoch, batch), so a resumed training takes the very steps of an undisturbed one.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from curation.errors import TrainingError
from curation.progress import Progress, silent
from curation.values import FloatArray
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.course import Course, EpochFigures, Keeping, keep_course, resume_course
from pipelines.classification.graph import SimilarityGraph
from pipelines.classification.methods import TrainingTargets
from pipelines.classification.model import Classifier
from pipelines.classification.schedule import EpochPlan, epoch_batches, plan_epochs, rate_at
from pipelines.classification.splitting import Validation
from pipelines.training.averaging import new_average, update_average
from pipelines.training.batches import Rows
from pipelines.training.log import TrainingLog
from pipelines.training.losses import soft_cross_entropy
from pipelines.training.resuming import Clock, ends_between_steps
from pipelines.training.temperature import fit_temperature, refinement_loss


class Inputs(Protocol):
    """What a classifier is shown: embeddings, or images."""

    def training(self, batches: Sequence[Rows], epoch: int) -> Iterator[Tensor]:
        """The inputs of each batch in order, augmented in a way of their own for every epoch."""
        ...

    def plain(self, rows: Rows) -> Iterator[Tensor]:
        """The inputs of these samples in order, in batches, as they are when it is tested."""
        ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """A classifier in evaluation mode on the CPU, in its best state, and how it came about.

    `figures`: the best epoch, its accuracy and loss on the validation part, alpha and the share that the graph loss had
    at the start.
    """

    classifier: Classifier
    history: tuple[EpochFigures, ...]
    temperature: float
    figures: dict[str, Any]


def fit(
    classifier: Classifier,
    inputs: Inputs,
    targets: TrainingTargets,
    rows: Rows,
    config: ClassificationConfig,
    *,
    device: torch.device,
    validation: Validation | None = None,
    graph: SimilarityGraph | None = None,
    keeping: Keeping | None = None,
    progress: Progress = silent,
) -> Fitted:
    """Train on the samples `rows`; `validation` selects the state that is returned, without one it is the last.

    With `keeping` the training goes on from the state that is there, and writes it from time to time; it is left for
    the caller to remove. Ctrl-C and SIGTERM save it and raise `KeyboardInterrupt`. Raises `TrainingError` where the
    state is another training's, or the loss stops being a number.
    """
    plans = plan_epochs(config)
    steps = sum(len(epoch_batches(plan, rows, targets, config, epoch)) for epoch, plan in enumerate(plans))
    classifier = classifier.to(device)
    average = new_average(classifier, config.averaging)
    optimiser = _optimiser(classifier, config)
    course = resume_course(keeping, classifier, average, optimiser)
    if graph is not None and course.alpha is None:
        course.alpha, course.graph_share = _weigh_graph(classifier, inputs, targets, rows, config, graph, device)
    log = None if keeping is None else TrainingLog(keeping.log_folder, course.history)
    soft, weights = (torch.from_numpy(array).to(device) for array in (targets.targets, targets.weights))
    clock = Clock(config.save_every_s)

    with ends_between_steps() as is_over, torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        for epoch in range(course.epoch, len(plans)):
            plan, started, sums = plans[epoch], time.monotonic(), torch.tensor(course.sums, device=device)
            batches = epoch_batches(plan, rows, targets, config, epoch)
            left = batches[course.batch :]
            classifier.train()
            for batch, shown in zip(left, inputs.training(left, epoch), strict=True):
                _seed_torch(device, config.seed, epoch, course.batch)
                set_rate(optimiser, rate_at(course.step, steps, config.warmup))
                at = torch.from_numpy(batch).to(device)
                with _precision(config, device):
                    logits, features = classifier(shown.to(device, non_blocking=True))
                loss = classification = soft_cross_entropy(logits, soft[at], weights[at])
                if plan.regularised and graph is not None and course.alpha is not None:
                    loss = classification + course.alpha * graph.loss(features, batch)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                update_average(average, classifier, config.averaging)
                sums += torch.stack([loss.detach(), classification.detach()])
                course.batch, course.step = course.batch + 1, course.step + 1
                progress("training", course.step, steps)
                if is_over() or clock.is_due():
                    course.sums = sums.tolist()
                    keep_course(keeping, course, classifier, average, optimiser)
                if is_over():
                    raise KeyboardInterrupt
            row = epoch_row(course, plan, sums / len(batches), optimiser)
            row["images_per_s"] = sum(map(len, left)) / (time.monotonic() - started)
            last = epoch + 1 == len(plans)
            may, check = plan.may_be_kept, (inputs, validation, device)
            for state, candidate in (("validation", classifier), ("averaged", average)):
                judged = select_state(course, candidate, *check, last=last, may_be_kept=may)
                row[f"{state}_accuracy"], row[f"{state}_loss"] = judged
            course.end_epoch(row)
            if log is not None:
                log.add(row)
    keep_course(keeping, course, classifier, average, optimiser)
    if log is not None:
        log.close()
    return finish(course, classifier, inputs, validation, device)


def epoch_row(course: Course, plan: EpochPlan, means: Tensor, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """The row of an epoch but for its accuracies and its speed; `means` are of both losses."""
    loss, classification = means.tolist()
    if not math.isfinite(loss):
        raise TrainingError(
            f"training diverged: the loss of epoch {course.epoch + 1} is {loss}.",
            hint="Lower --learning-rate, or alpha where a graph loss is on.",
        )
    return asdict(
        EpochFigures(
            epoch=course.epoch + 1,
            batch_size=plan.batch_size,
            loss=loss,
            classification_loss=classification,
            graph_loss=loss - classification if plan.regularised else None,
            learning_rate=optimiser.param_groups[-1]["lr"],
            validation_accuracy=None,
            validation_loss=None,
            averaged_accuracy=None,
            averaged_loss=None,
            images_per_s=0.0,
        )
    )


def select_state(
    course: Course,
    candidate: Classifier | AveragedModel,
    inputs: Inputs,
    validation: Validation | None,
    device: torch.device,
    *,
    last: bool,
    may_be_kept: bool = True,
) -> tuple[float | None, float | None]:
    """Keep the state where it is as good as the best so far by the refinement loss on the validation part: of equals
    the later, and the average, which is steadier.

    Without a validation part that is the last one; none is kept that may not be. Returns the weighted accuracy on that
    part, and the loss in nats.
    """
    averaged = isinstance(candidate, AveragedModel)
    classifier = candidate.module if isinstance(candidate, AveragedModel) else candidate
    accuracy = loss = None
    if validation is not None and len(validation.rows):
        logits = predict(classifier, inputs, validation.rows, device)
        accuracy = float(np.average(logits.argmax(axis=1) == validation.codes, weights=validation.weights))
        loss = refinement_loss(logits, validation.codes, validation.weights)
    if may_be_kept and (last if loss is None else loss <= course.best_loss):
        course.best_accuracy, course.best_loss = accuracy, math.inf if loss is None else loss
        course.best_epoch, course.best_averaged = course.epoch + 1, averaged
        course.best_state = copy.deepcopy(classifier.state_dict())
    return accuracy, loss


@torch.no_grad()
def predict(classifier: torch.nn.Module, inputs: Inputs, rows: Rows, device: torch.device) -> FloatArray:
    """Logits (len(rows), C), float32, in evaluation mode and full precision."""
    was_training = classifier.training
    classifier.eval()
    parts = [classifier(shown.to(device))[0].float().cpu() for shown in inputs.plain(rows)]
    classifier.train(was_training)
    logits: FloatArray = torch.cat(parts).numpy()
    return logits


def finish(
    course: Course, classifier: Classifier, inputs: Inputs, validation: Validation | None, device: torch.device
) -> Fitted:
    if course.best_state is not None:
        classifier.load_state_dict(course.best_state)
    classifier.eval()
    temperature, figures = 1.0, _told(course)
    if validation is not None and len(validation.rows):
        logits = predict(classifier, inputs, validation.rows, device)
        temperature = fit_temperature(logits, validation.codes, validation.weights)
        figures |= {"validation_accuracy": course.best_accuracy, "validation_loss": course.best_loss}
    history = tuple(EpochFigures(**row) for row in course.history)
    return Fitted(classifier.cpu(), history, temperature, figures)


def _told(course: Course) -> dict[str, Any]:
    figures: dict[str, Any] = {"best_epoch": course.best_epoch, "best_is_average": course.best_averaged}
    if course.alpha is not None:
        figures |= {"alpha": course.alpha, "graph_share_at_start": course.graph_share}
    return figures


@torch.no_grad()
def _weigh_graph(
    classifier: Classifier,
    inputs: Inputs,
    targets: TrainingTargets,
    rows: Rows,
    config: ClassificationConfig,
    graph: SimilarityGraph,
    device: torch.device,
) -> tuple[float, float]:
    """(alpha, alpha * L_reg / L_cls) on the first large batch, before the first step."""
    batch = epoch_batches(EpochPlan(config.large_batch, regularised=True), rows, targets, config, 0)[0]
    classifier.eval()
    logits, features = (
        torch.cat(parts) for parts in zip(*(classifier(shown.to(device)) for shown in inputs.plain(batch)), strict=True)
    )
    soft, weights = (torch.from_numpy(array[batch]).to(device) for array in (targets.targets, targets.weights))
    classification = float(soft_cross_entropy(logits, soft, weights))
    regularisation = float(graph.loss(features, batch))
    ratio = regularisation / max(classification, 1e-12)
    alpha = config.alpha if config.alpha is not None else config.graph_share / max(ratio, 1e-12)
    return alpha, alpha * ratio


def _optimiser(classifier: Classifier, config: ClassificationConfig) -> torch.optim.AdamW:
    """AdamW; biases and normalisations do not decay, the backbone learns slower. The last group is the head's."""
    groups: list[dict[str, Any]] = []
    for in_head in (False, True):
        for decays in (False, True):
            chosen = [
                parameter
                for name, parameter in classifier.named_parameters()
                if parameter.requires_grad
                and name.startswith("backbone.") != in_head
                and (parameter.ndim > 1) == decays
            ]
            rate = config.resolved_learning_rate * (1.0 if in_head else config.backbone_rate)
            if chosen:
                decay = config.weight_decay if decays else 0.0
                groups.append({"params": chosen, "lr": rate, "initial_lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups)


def set_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor


def _precision(config: ClassificationConfig, device: torch.device) -> AbstractContextManager[Any]:
    lower = config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16) if lower else nullcontext()


def _seed_torch(device: torch.device, *numbers: int) -> None:
    """A seed of its own for every step: what dropout draws does not depend on what was drawn before.

    Not `torch.manual_seed`: where there is no GPU it notes the whole call stack for one, 0.8 ms a step.
    """
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)

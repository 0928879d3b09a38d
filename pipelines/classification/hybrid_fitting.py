"""The training loop of the hybrid on the embeddings of a frozen backbone: it reads from top to bottom."""

from __future__ import annotations

import time
from itertools import chain
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from curation.bands import one_thread
from curation.devices import choose_device
from curation.progress import Progress, silent
from curation.values import FloatArray
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.course import Keeping, keep_course, resume_course
from pipelines.classification.fitting import Fitted, epoch_row, finish, select_state, set_rate
from pipelines.classification.frozen import EmbeddingInputs
from pipelines.classification.hybrid import BaseKnowledge, HybridNetwork, domain_loss, ridge, self_paced_weights
from pipelines.classification.methods import TrainingTargets
from pipelines.classification.schedule import EpochPlan, rate_at, with_epochs
from pipelines.classification.splitting import Validation
from pipelines.training.batches import Rows, shuffled_batches
from pipelines.training.log import TrainingLog
from pipelines.training.losses import soft_cross_entropy
from pipelines.training.resuming import Clock, ends_between_steps


@one_thread()
def fit_hybrid(
    embeddings: FloatArray,
    targets: TrainingTargets,
    knowledge: BaseKnowledge,
    config: ClassificationConfig,
    *,
    validation: Validation | None = None,
    keeping: Keeping | None = None,
    progress: Progress = silent,
) -> Fitted:
    """Learn V and h, or one of them, from unit-norm embeddings (N, D); returns them as one linear classifier.

    `targets` (N, C) are those of the web samples; which rows are base samples is in `knowledge`. V alone is zero-shot:
    of the web samples it sees the mean, and no category. Every epoch goes once through the larger side and as often as
    that takes through the other, so either part alone takes as many steps as both. `validation` and `keeping` as in
    `fit`, but that a state is written between epochs only. The same seed gives the same bits on a CPU.
    """
    config = with_epochs(config, max(int(targets.used.sum()), len(knowledge.rows)))
    device, epochs, per_epoch = choose_device(config.device), config.resolved_epochs, _steps(targets, knowledge, config)
    network = HybridNetwork(embeddings.shape[1], knowledge, config.hybrid_parts).to(device)
    optimiser = torch.optim.AdamW(_groups(network, config))
    course = resume_course(keeping, network, None, optimiser)
    log = None if keeping is None else TrainingLog(keeping.log_folder, course.history)
    inputs, web, base = EmbeddingInputs(embeddings, device), np.flatnonzero(targets.used), knowledge.rows
    gap = network.scale * _mean_gap(embeddings, web, base, device)
    soft, base_codes = (torch.from_numpy(array).to(device) for array in (targets.targets, knowledge.codes))
    clock = Clock(config.save_every_s)

    with ends_between_steps() as is_over:
        for epoch in range(course.epoch, epochs):
            started, sums = time.monotonic(), torch.zeros(2, device=device)
            weights = _web_weights(network, inputs, targets, web, config, device)
            web_batches = cycled_batches(web, per_epoch, config, epoch)
            base_batches = cycled_batches(np.arange(len(base)), per_epoch, config, epoch)
            for of_web, of_base in zip(web_batches, base_batches, strict=True):
                set_rate(optimiser, rate_at(course.step, per_epoch * epochs, config.warmup))
                classification = torch.zeros((), device=device)
                if config.hybrid_parts != "v":
                    at = torch.from_numpy(of_web).to(device)
                    logits = network.novel_logits(inputs.at(of_web))
                    classification = classification + soft_cross_entropy(logits, soft[at], weights[at])
                if config.hybrid_parts != "h":
                    at = torch.from_numpy(of_base).to(device)
                    logits = network.base_logits(inputs.at(base[of_base]))
                    classification = classification + F.cross_entropy(logits, base_codes[at])
                loss = classification + config.eta * domain_loss(gap, network.v) + config.gamma * ridge(network.v)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                sums += torch.stack([loss.detach(), classification.detach()])
                course.step += 1
                progress("training", course.step, per_epoch * epochs)
            row = epoch_row(
                course, EpochPlan(config.resolved_batch_size, regularised=False), sums / per_epoch, optimiser
            )
            row["images_per_s"] = sum(map(len, [*web_batches, *base_batches])) / (time.monotonic() - started)
            classifier, last = network.as_classifier(), epoch + 1 == epochs
            judged = select_state(course, classifier, inputs, validation, device, last=last)
            row["validation_accuracy"], row["validation_loss"] = judged
            course.end_epoch(row)
            if log is not None:
                log.add(row)
            if is_over() or clock.is_due():
                keep_course(keeping, course, network, None, optimiser)
            if is_over():
                raise KeyboardInterrupt
    keep_course(keeping, course, network, None, optimiser)
    if log is not None:
        log.close()
    return finish(course, network.as_classifier(), inputs, validation, device)


def cycled_batches(rows: Rows, steps: int, config: ClassificationConfig, epoch: int) -> list[Rows]:
    """`steps` batches of `rows`, gone through again and again in new orders; empty ones where there are no rows."""
    if not len(rows):
        return [rows] * steps
    passes = -(-steps // max(1, len(rows) // config.resolved_batch_size))
    orders = range(epoch * passes, (epoch + 1) * passes)
    batches = (shuffled_batches(rows, config.resolved_batch_size, seed=config.seed, epoch=order) for order in orders)
    return list(chain.from_iterable(batches))[:steps]


def _steps(targets: TrainingTargets, knowledge: BaseKnowledge, config: ClassificationConfig) -> int:
    """Steps of an epoch: once through the larger side."""
    return max(
        1, int(targets.used.sum()) // config.resolved_batch_size, len(knowledge.rows) // config.resolved_batch_size
    )


def _groups(network: HybridNetwork, config: ClassificationConfig) -> list[dict[str, Any]]:
    """Weight decay is for h alone; V has its ridge."""
    rate = {"lr": config.resolved_learning_rate, "initial_lr": config.resolved_learning_rate}
    decays = {"v": 0.0, "h": config.weight_decay, "offset": 0.0}
    return [
        {"params": [parameter], "weight_decay": decays[name], **rate}
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    ]


def _mean_gap(embeddings: FloatArray, web: Rows, base: Rows, device: torch.device) -> Tensor:
    """Mean of the base embeddings minus that of the web's, (D,); nothing where there is no base."""
    gap = np.zeros(embeddings.shape[1])
    if len(base):
        gap = embeddings[base].mean(axis=0, dtype=np.float64) - embeddings[web].mean(axis=0, dtype=np.float64)
    return torch.from_numpy(gap.astype(np.float32)).to(device)


@torch.no_grad()
def _web_weights(
    network: HybridNetwork,
    inputs: EmbeddingInputs,
    targets: TrainingTargets,
    web: Rows,
    config: ClassificationConfig,
    device: torch.device,
) -> Tensor:
    """Weights (N,) of the web samples in the epoch that begins; all others have 0."""
    weights = torch.from_numpy(targets.weights).to(device)
    if config.hybrid_weights == "samples" or config.hybrid_parts == "v":
        return weights
    at = torch.from_numpy(web).to(device)
    if config.hybrid_weights == "equal":
        return torch.zeros_like(weights).index_fill_(0, at, 1.0)
    soft = torch.from_numpy(targets.targets).to(device)[at]
    logits = torch.cat([network.novel_logits(shown) for shown in inputs.plain(web)])
    losses = -(soft * torch.log_softmax(logits, dim=1)).sum(dim=1)
    return torch.zeros_like(weights).index_copy_(0, at, self_paced_weights(losses, soft.argmax(dim=1)))

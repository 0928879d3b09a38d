"""Training the similarity network on base categories; held-out base categories choose the best state of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from curation.bands import one_thread
from curation.config import SimilarityConfig
from curation.devices import choose_device
from curation.errors import SimilarityError
from curation.similarity.episodes import endless_batches
from curation.similarity.network import DomainClassifier, Head, SimilarityNetwork
from curation.similarity.pair_metrics import PairMetrics, pair_loss, pair_metrics
from curation.similarity.scoring import pair_similarities
from curation.similarity.split import CategorisedImages, sample_evenly, sorted_images, split_categories
from curation.similarity.whitening import choose_shrinkage, fit_whitening
from curation.values import FloatArray

Progress = Callable[[int, int, dict[str, float]], None]
Codes = NDArray[np.int64]

_HELD_OUT_IMAGES = 400  # 160,000 pairs: standard error of a pair's AP below 0.005 on birds, and cheap for every head
_SCORING_MIB = 256

# Directions kept where the configuration leaves it open: AUROC on noise made in held-out bird categories (D = 1,280) is
# for metric with 512 / 1280 0.949 / 0.951, for concat2 with 32 / 64 0.925 / 0.936; with 512 a concat head overfits.
_PROJECTED: dict[Head, int] = {"concat2": 64, "concat4": 64, "metric": 512}

# Batches where the configuration leaves it open. AUROC of metric weights after 300 / 500 / 1,500: 0.949 / 0.949 / 0.949
# on birds, 0.847 / 0.843 / 0.839 on CIFAR-10 (seed 0): it starts from the whitening and has little left to learn.
_BATCHES: dict[Head, int] = {"concat2": 1500, "concat4": 1500, "metric": 500}


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network in evaluation mode on the CPU, and how well it tells the pairs of held-out base categories apart.

    `pair_metrics` has two entries: "with_diagonal" (as published) and "without_diagonal" (no image with itself).
    """

    network: SimilarityNetwork
    training_categories: tuple[str, ...]
    held_out_categories: tuple[str, ...]
    pair_metrics: dict[str, PairMetrics]


@one_thread()
def train_network(
    embeddings: FloatArray,
    categories: Sequence[str],
    config: SimilarityConfig,
    *,
    novel_embeddings: FloatArray | None = None,
    novel_categories: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> TrainedNetwork:
    """Train on base images: `embeddings` unit-norm float32 (N, D), `categories` their N clean categories.

    With `config.beta` > 0 the novel images and their web categories are needed too; no similarity is learned from them,
    they only make base and novel pairs look alike (A.2.2). The same seed gives the same network bit by bit on a CPU,
    however many cores it has, in whatever order the categories come. Raises `SimilarityError` where there are
    too few categories or images, or the loss stops being a number. `progress(done, total, figures)` is called after
    each batch.
    """
    base = sorted_images(embeddings, categories)
    novel = _novel_images(novel_embeddings, novel_categories, config.beta)
    generator = np.random.default_rng(config.seed)
    training, held_out = split_categories(base, config.held_out, generator)
    judged = sample_evenly(held_out, _HELD_OUT_IMAGES, generator)
    device = choose_device(config.device)
    network = _new_network(training, judged, config).to(device)
    best_loss, best_state = math.inf, network.state_dict()
    batches = config.batches or _BATCHES[config.head]
    evaluate_at = {round(batches * part / config.evaluations) for part in range(1, config.evaluations + 1)}
    figures: dict[str, float] = {}
    for batch, losses in enumerate(_training_steps(network, training, novel, config, batches, generator), start=1):
        figures |= losses
        if batch in evaluate_at:
            network.eval()
            similarity = _own_similarities(network, judged, device)
            figures["held_out_loss"] = pair_loss(similarity, judged.codes, config.similar_weight)
            network.train()
            if figures["held_out_loss"] < best_loss:
                best_loss, best_state = figures["held_out_loss"], copy.deepcopy(network.state_dict())
        if progress is not None:
            progress(batch, batches, dict(figures))
    network.load_state_dict(best_state)
    network = network.cpu().eval()
    similarity = _own_similarities(network, judged, torch.device("cpu"))
    metrics = {
        "with_diagonal": pair_metrics(similarity, judged.codes, self_pairs=True),
        "without_diagonal": pair_metrics(similarity, judged.codes, self_pairs=False),
    }
    return TrainedNetwork(network, training.names, held_out.names, metrics)


def _training_steps(
    network: SimilarityNetwork,
    training: CategorisedImages,
    novel: CategorisedImages | None,
    config: SimilarityConfig,
    steps: int,
    generator: np.random.Generator,
) -> Iterator[dict[str, float]]:
    """Take `steps` steps, one for every value yielded: the losses of that step."""
    device = network.centre.device
    groups = [training] if novel is None else [training, novel]
    size = min(config.batch_size, *(len(group.codes) for group in groups))
    draws = [config.categories_per_batch, config.novel_categories_per_batch]
    batches = [
        endless_batches(group.codes, size, drawn, generator) for group, drawn in zip(groups, draws, strict=False)
    ]
    with torch.no_grad():
        standardised = [network.standardise(torch.from_numpy(group.embeddings).to(device)) for group in groups]
    optimiser = _optimiser(network, config)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, max(1, math.ceil(steps / 3)), gamma=0.5)
    domain = None if novel is None else _DomainStep(network.relation_width, config, device)
    network.train()
    for _ in range(steps):
        positions = [next(source) for source in batches]
        images = torch.stack([group[torch.from_numpy(at)] for group, at in zip(standardised, positions, strict=True)])
        relation = network.pair_relations(images) if domain is not None else None
        outputs = network.pair_outputs(images) if relation is None else network.relation_outputs(relation)
        codes = torch.from_numpy(training.codes[positions[0]]).to(device)
        similar = (codes[:, None] == codes[None, :]).flatten().long()
        loss = similarity_loss(outputs[: len(similar)], similar, config.similar_weight)
        losses = {"loss": _finite(loss, config)}
        if domain is not None and relation is not None:
            loss = loss - config.beta * domain.loss(relation)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if domain is not None and relation is not None:
            losses["domain_loss"] = domain.step(relation.detach())
        schedule.step()
        yield losses
    _finite(torch.stack([parameter.detach().sum() for parameter in network.parameters()]).sum(), config)


def similarity_loss(outputs: Tensor, similar: Tensor, similar_weight: float) -> Tensor:
    """L_sim: cross-entropy of outputs (B, 2) against `similar` (B,) in {0, 1} (A.2.2).

    Similar pairs weigh `similar_weight` times a dissimilar one (1 = the published mean); with 0 they weigh together as
    much as all dissimilar pairs: then similarity is calibrated for "as often similar as not", which is how it is among
    the images of one web category (AUROC of weights on birds 0.952, with 1: 0.945; on noise made in base categories
    both 0.949).
    """
    count = similar.sum().clamp(min=1)
    weight = (len(similar) - count).clamp(min=1) / count if similar_weight == 0 else count.new_tensor(similar_weight)
    class_weights = torch.stack([torch.ones_like(weight, dtype=outputs.dtype), weight.to(outputs.dtype)])
    return F.cross_entropy(outputs, similar, weight=class_weights)


class _DomainStep:
    """The domain classifier, its optimiser and L_D: cross-entropy over relation features, base pairs first."""

    def __init__(self, relation_width: int, config: SimilarityConfig, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed + 1)
            self.classifier = DomainClassifier(relation_width).to(device)
        self.optimiser = _optimiser(self.classifier, config)

    def loss(self, relation: Tensor) -> Tensor:
        half = len(relation) // 2
        target = torch.arange(len(relation), device=relation.device).ge(half).long()
        return F.cross_entropy(self.classifier(relation), target)

    def step(self, relation: Tensor) -> float:
        """Minimise L_D on detached relation features; gradients left by the network's own step are discarded first."""
        loss = self.loss(relation)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(loss.detach())


def _optimiser(module: torch.nn.Module, config: SimilarityConfig) -> torch.optim.SGD:
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in module.parameters() if parameter.ndim <= 1]  # BN, biases, scale: no decay
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)


def _finite(loss: Tensor, config: SimilarityConfig) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise SimilarityError(
            f"training diverged: the loss is {value}.",
            hint=f"Lower similarity.learning_rate (now {config.learning_rate:g}) "
            f"or similarity.beta (now {config.beta:g}).",
        )
    return value


def _new_network(training: CategorisedImages, judged: CategorisedImages, config: SimilarityConfig) -> SimilarityNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        projected = (config.projection or _PROJECTED[config.head]) if config.whitening else None
        network = SimilarityNetwork(config.head, training.embeddings.shape[1], projected=projected)
    if config.whitening:
        shrinkage = config.shrinkage or choose_shrinkage(
            training.embeddings, training.codes, judged.embeddings, judged.codes
        )
        centre, whitening = fit_whitening(training.embeddings, training.codes, shrinkage, network.projected)
        network.centre.copy_(torch.from_numpy(centre))
        network.whitening.copy_(torch.from_numpy(whitening))
    return network


def _own_similarities(network: SimilarityNetwork, images: CategorisedImages, device: torch.device) -> FloatArray:
    return pair_similarities(network, images.embeddings, images.embeddings, memory_mib=_SCORING_MIB, device=device.type)


def _novel_images(
    embeddings: FloatArray | None, categories: Sequence[str] | None, beta: float
) -> CategorisedImages | None:
    """The novel images where the adversarial loss wants them; `None` where it is off."""
    if beta == 0:
        return None
    if embeddings is None or categories is None or len(embeddings) == 0:
        raise SimilarityError(
            f"similarity.beta is {beta:g}: the adversarial loss needs novel images, and there are none.",
            hint="Ingest and embed novel images first, or set similarity.beta to 0.",
        )
    return sorted_images(embeddings, categories)

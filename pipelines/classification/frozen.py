"""A classifier on the embeddings of a frozen backbone, as a function of arrays: seconds on a CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from curation.bands import one_thread
from curation.devices import choose_device
from curation.errors import TrainingError
from curation.progress import Progress, silent
from curation.similarity.network import SimilarityNetwork
from curation.values import FloatArray
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.course import Keeping
from pipelines.classification.fitting import Fitted, fit
from pipelines.classification.graph import SimilarityGraph
from pipelines.classification.methods import METHODS, TrainingTargets
from pipelines.classification.model import Classifier
from pipelines.classification.schedule import with_epochs
from pipelines.classification.splitting import Validation
from pipelines.training.batches import Rows

_PLAIN_BATCH = 4096


class EmbeddingInputs:
    """Unit-norm embeddings (N, D), held on the device."""

    def __init__(self, embeddings: FloatArray, device: torch.device) -> None:
        self._embeddings = torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32)).to(device)

    def training(self, batches: Sequence[Rows], epoch: int) -> Iterator[Tensor]:  # noqa: ARG002 - nothing is augmented
        return (self.at(batch) for batch in batches)

    def at(self, rows: Rows) -> Tensor:
        """The embeddings of these samples, (len(rows), D)."""
        return self._embeddings[torch.from_numpy(rows)]

    def plain(self, rows: Rows) -> Iterator[Tensor]:
        for start in range(0, len(rows), _PLAIN_BATCH):
            yield self.at(rows[start : start + _PLAIN_BATCH])


@one_thread()
def fit_head(
    embeddings: FloatArray,
    targets: TrainingTargets,
    config: ClassificationConfig,
    *,
    validation: Validation | None = None,
    network: SimilarityNetwork | None = None,
    network_embeddings: FloatArray | None = None,
    keeping: Keeping | None = None,
    progress: Progress = silent,
) -> Fitted:
    """Train a head on unit-norm embeddings (N, D) and the targets of the same N samples.

    All samples that `targets` uses are trained on. `network` and its own embeddings (N, D'; the same where not given)
    are for the methods with a graph. Epochs that the configuration leaves open are as many as take enough steps, 10 to
    60. `keeping` as in `fit`. The same seed gives the same head bit by bit on a CPU.
    Raises `TrainingError` where a method with a graph has no network or no hidden layer.
    """
    config = with_epochs(config, int(targets.used.sum()))
    device = choose_device(config.device)
    dimension, n_categories = embeddings.shape[1], targets.targets.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        classifier = Classifier(
            dimension,
            n_categories,
            hidden=config.resolved_hidden,
            dropout=config.dropout,
            scale=float(np.sqrt(dimension)),
        )
    graph = None
    if METHODS[config.method].graph:
        compared = embeddings if network_embeddings is None else network_embeddings
        graph = graph_of(classifier, network, compared, targets, config)
    return fit(
        classifier,
        EmbeddingInputs(embeddings, device),
        targets,
        np.flatnonzero(targets.used),
        config,
        device=device,
        validation=validation,
        graph=graph,
        keeping=keeping,
        progress=progress,
    )


def graph_of(
    classifier: Classifier,
    network: SimilarityNetwork | None,
    embeddings: FloatArray | None,
    targets: TrainingTargets,
    config: ClassificationConfig,
) -> SimilarityGraph:
    """The graph of a method that has one; `TrainingError` where there is no network, or features that cannot move."""
    if not classifier.features_can_move:
        raise TrainingError(
            f"the method {config.method} moves features, and a linear head on frozen embeddings has none that move.",
            hint="Choose --head mlp, or --finetune.",
        )
    if network is None or embeddings is None:
        raise TrainingError(
            f"the method {config.method} needs a similarity network, and this export holds none.",
            hint="Export again after `curate train-similarity`, or choose --method weighted.",
        )
    codes = torch.from_numpy(targets.targets.argmax(axis=1))
    return SimilarityGraph(network, embeddings, codes, config, choose_device(config.device))

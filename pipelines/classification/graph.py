"""The graph of a batch: how similar its images are to a similarity network, and the loss that follows it (A.2.6)."""

from __future__ import annotations

import torch
from torch import Tensor

from curation.similarity.network import SimilarityNetwork
from curation.values import FloatArray
from pipelines.classification.config import ClassificationConfig
from pipelines.training.batches import Rows
from pipelines.training.losses import at_prior, cosine_graph_loss, graph_loss, label_mask, pair_prior, relax


class SimilarityGraph:
    """A similarity network with the frozen embeddings (N, D) of all samples, and their codes (N,).

    The affinity of two samples is that of their pictures as they are, not as they were augmented: the network knows no
    other embeddings than those of its own frozen encoder.
    """

    def __init__(
        self,
        network: SimilarityNetwork,
        embeddings: FloatArray,
        codes: Tensor,
        config: ClassificationConfig,
        device: torch.device,
    ) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        self._codes = codes.to(device)
        self._config = config
        with torch.no_grad():
            self._standardised = network.standardise(torch.from_numpy(embeddings).to(device))

    @torch.no_grad()
    def affinity(self, rows: Rows) -> Tensor:
        """A' (B, B) of a batch: similarity, relaxed by mu, pairs of different categories times eye.

        A network learns on as many similar as dissimilar pairs, while of those of a batch one in C is similar: a
        calibrated affinity is the probability there.
        """
        at = torch.from_numpy(rows).to(self._codes.device)
        outputs = self._network.pair_outputs(self._standardised[at][None])
        similarity = outputs.float().softmax(dim=1)[:, 1].view(len(rows), len(rows))
        if self._config.affinity == "calibrated":
            similarity = at_prior(similarity, pair_prior(self._codes[at]))
        return relax(similarity, self._config.resolved_mu) * label_mask(self._codes[at], self._config.eye)

    def loss(self, features: Tensor, rows: Rows) -> Tensor:
        """L_reg of the features (B, F) of a batch."""
        loss = graph_loss if self._config.graph_form == "squared" else cosine_graph_loss
        return loss(features, self.affinity(rows))

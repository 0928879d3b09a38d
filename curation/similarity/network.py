"""The similarity network: do two images show the same category? Three heads over frozen embeddings.

Shapes: M images in a group, G groups, D the dimension of an embedding, P <= D the dimension that is left of it for the
head, R the width of a relation feature. The pairs of a group are all M x M ordered ones; pair number i * M + j is
concat(f_j, f_i) (SimTrans, NeurIPS 2021, enumeration layer).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Head = Literal["concat2", "concat4", "metric"]
HEADS: tuple[Head, ...] = ("concat2", "concat4", "metric")

_INITIAL_SCALE = 16.0  # where training on whitened bird and CIFAR embeddings arrives from 8 as well as from 32
_INITIAL_BIAS = -2.0


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]


def _relation_layers(head: Head, dimension: int) -> nn.Sequential:
    """From a concatenated pair (B, 2P) to its relation feature: one hidden layer (concat2) or two (concat4)."""
    if head == "concat2":
        return nn.Sequential(*_block(2 * dimension, 4 * dimension))
    return nn.Sequential(*_block(2 * dimension, 2 * dimension), *_block(2 * dimension, dimension))


def _classifier_layers(head: Head, dimension: int) -> nn.Sequential:
    """From a relation feature to two outputs: index 0 = different categories, index 1 = the same (similar)."""
    if head == "concat2":
        return nn.Sequential(nn.Linear(4 * dimension, 2))
    return nn.Sequential(*_block(dimension, dimension), nn.Linear(dimension, 2))


class SimilarityNetwork(nn.Module):
    """Embeddings of two images in, two outputs (different, similar) out; similarity is the softmax at index 1.

    Every head first standardises an embedding: unit((f - centre) @ whitening) in `projected` = P dimensions, by default
    the identity on unit-norm embeddings (`whitening.py` fits it; it belongs to the weights but is not trained).

    - `concat2`: Linear 2P -> 4P, BN, ReLU (the relation feature); Linear 4P -> 2.
    - `concat4`: 2P -> 2P BN ReLU, 2P -> P BN ReLU (the relation feature), P -> P BN ReLU, P -> 2.
    - `metric`: z = unit(projection f) in P dimensions; the relation feature is z_i * z_j (elementwise), the outputs are
      0 and scale * cos(z_i, z_j) + bias. Symmetric, and for many images a single matrix product.
    """

    centre: Tensor
    whitening: Tensor

    def __init__(self, head: Head, dimension: int, *, projected: int | None = None) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, not {head!r}")
        self.head: Head = head
        self.dimension = dimension
        self.projected = min(projected or dimension, dimension)
        self.register_buffer("centre", torch.zeros(dimension))
        self.register_buffer("whitening", torch.eye(dimension, self.projected))
        if head == "metric":
            self.projection = nn.Linear(self.projected, self.projected, bias=False)
            nn.init.eye_(self.projection.weight)  # the cosine after whitening is a good start
            self.log_scale = nn.Parameter(torch.tensor(_INITIAL_SCALE).log())
            self.bias = nn.Parameter(torch.tensor(_INITIAL_BIAS))
        else:
            self.relation_layers = _relation_layers(head, self.projected)
            self.classifier_layers = _classifier_layers(head, self.projected)

    @property
    def relation_width(self) -> int:
        """R, the width of the relation feature that the domain classifier sees."""
        return {"concat2": 4 * self.projected, "concat4": self.projected, "metric": self.projected}[self.head]

    def standardise(self, embeddings: Tensor) -> Tensor:
        """Centre, whiten and bring to unit norm: (..., D) -> (..., P)."""
        return F.normalize((embeddings - self.centre) @ self.whitening, dim=-1)

    def project(self, standardised: Tensor) -> Tensor:
        """The metric head's unit-norm projection: (..., P) -> (..., P)."""
        return F.normalize(self.projection(standardised), dim=-1)

    def forward(self, pairs: Tensor) -> Tensor:
        """The outputs (B, 2) of concatenated pairs (B, 2D), exactly as published: one row a pair, the whole head."""
        first, second = (self.standardise(half) for half in pairs.chunk(2, dim=-1))
        if self.head == "metric":
            return self.relation_outputs(self.project(first) * self.project(second))
        return self.relation_outputs(self.relation_layers(torch.cat([first, second], dim=-1)))

    def pair_outputs(self, standardised: Tensor) -> Tensor:
        """Outputs (G*M*M, 2) of all ordered pairs of the standardised images (G, M, P) of each group.

        The same as `forward` on the enumerated pairs, but faster. All groups share one pass, hence BN statistics.
        """
        if self.head != "metric":
            return self.relation_outputs(self.pair_relations(standardised))
        projected = self.project(standardised)
        return self._metric_outputs((projected @ projected.mT).flatten())

    def pair_relations(self, standardised: Tensor) -> Tensor:
        """Relation features (G*M*M, R) of the same pairs.

        The first linear layer runs once per image: W concat(f_j, f_i) = W1 f_j + W2 f_i.
        """
        if self.head == "metric":
            projected = self.project(standardised)
            return (projected[:, :, None] * projected[:, None, :]).flatten(0, 2)
        linear = cast("nn.Linear", self.relation_layers[0])
        first, second = linear.weight.chunk(2, dim=1)
        of_j = standardised @ first.T
        of_i = standardised @ second.T + linear.bias
        hidden = (of_i[:, :, None] + of_j[:, None, :]).flatten(0, 2)
        return cast("Tensor", self.relation_layers[1:](hidden))

    def relation_outputs(self, relation: Tensor) -> Tensor:
        """Relation features (B, R) to outputs (B, 2)."""
        if self.head == "metric":
            return self._metric_outputs(relation.sum(dim=-1))
        return cast("Tensor", self.classifier_layers(relation))

    def _metric_outputs(self, cosines: Tensor) -> Tensor:
        similar = self.log_scale.exp() * cosines + self.bias
        return torch.stack([torch.zeros_like(similar), similar], dim=-1)


class DomainClassifier(nn.Module):
    """Base or novel pair? Relation features (B, R) in, outputs (B, 2) out: Linear, LayerNorm, ReLU, Linear (A.2.1)."""

    def __init__(self, relation_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(relation_width, relation_width),
            nn.LayerNorm(relation_width),
            nn.ReLU(inplace=True),
            nn.Linear(relation_width, 2),
        )

    def forward(self, relation: Tensor) -> Tensor:
        return cast("Tensor", self.layers(relation))


def category_codes(categories: Sequence[str]) -> tuple[list[str], list[int]]:
    """The distinct categories, sorted, and for every image the position of its category among them."""
    names = sorted(set(categories))
    position = {name: code for code, name in enumerate(names)}
    return names, [position[category] for category in categories]

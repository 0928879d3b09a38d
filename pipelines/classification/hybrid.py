"""The hybrid of webly supervised and zero-shot learning, g(x, c) = x^T V a_c + h_c(x) (Niu et al., CVPR 2018).

Our own form of it (methods D.3): V maps features to category vectors a_c and is learned from clean base samples, h is
a linear head of the novel categories, learned from the web together with V. Both are linear in x, so what is learned
is an ordinary linear classifier. Shapes: B images, D features, A the dimension of a category vector, C categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from curation.values import FloatArray
from pipelines.classification.methods import Codes
from pipelines.classification.model import Classifier
from pipelines.training.batches import Rows

HybridParts = Literal["v", "h", "both"]

_SMALLEST = 1e-6  # nats: a category whose median loss is below has been learned, and its images all count alike


@dataclass(frozen=True, slots=True)
class BaseKnowledge:
    """What is known beside the web: base samples as `rows` (M,) with `codes` (M,) in [0, K), and category vectors of
    the K base and C novel categories, (K, A) and (C, A), unit norm."""

    rows: Rows
    codes: Codes
    base_vectors: FloatArray
    novel_vectors: FloatArray

    @property
    def digest(self) -> str:
        """Of everything in it: what a resumed training must have in common with the one it goes on with."""
        arrays = (self.rows, self.codes, self.base_vectors, self.novel_vectors)
        return sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    @property
    def figures(self) -> dict[str, int]:
        """What is told of it beside a training."""
        return {"base_samples": len(self.rows), "base_categories": len(self.base_vectors)}


def no_knowledge(n_categories: int) -> BaseKnowledge:
    """Nothing is known beside the web; h needs no more."""
    return BaseKnowledge(
        np.empty(0, dtype=np.intp),
        np.empty(0, dtype=np.int64),
        np.empty((0, 1), dtype=np.float32),
        np.zeros((n_categories, 1), dtype=np.float32),
    )


class HybridNetwork(nn.Module):
    """V (D, A) and h, both 0 at the start; a part that is not asked for stays 0.

    Inputs are unit-norm embeddings (B, D), scaled by sqrt(D) as in every `Classifier`.
    """

    base_vectors: Tensor
    novel_vectors: Tensor

    def __init__(self, dimension: int, knowledge: BaseKnowledge, parts: HybridParts) -> None:
        super().__init__()
        self.scale = float(np.sqrt(dimension))
        self.register_buffer("base_vectors", torch.from_numpy(knowledge.base_vectors))
        self.register_buffer("novel_vectors", torch.from_numpy(knowledge.novel_vectors))
        n_categories, width = knowledge.novel_vectors.shape
        self.v = nn.Parameter(torch.zeros(dimension, width), requires_grad=parts != "h")
        self.h = nn.Parameter(torch.zeros(dimension, n_categories), requires_grad=parts != "v")
        self.offset = nn.Parameter(torch.zeros(n_categories), requires_grad=parts != "v")

    def base_logits(self, inputs: Tensor) -> Tensor:
        """x^T V a_c for the base categories, (B, K)."""
        return compatibility(inputs * self.scale, self.v, self.base_vectors)

    def novel_logits(self, inputs: Tensor) -> Tensor:
        """g(x, c) for the novel categories, (B, C)."""
        features = inputs * self.scale
        return compatibility(features, self.v, self.novel_vectors) + features @ self.h + self.offset

    @torch.no_grad()
    def as_classifier(self) -> Classifier:
        """The linear classifier of the novel categories with the same logits: weights V a_c + h_c."""
        classifier = Classifier(len(self.v), len(self.novel_vectors), scale=self.scale)
        classifier.last.weight.copy_((self.v @ self.novel_vectors.T + self.h).T)
        classifier.last.bias.copy_(self.offset)
        return classifier.to(self.v.device)


def compatibility(features: Tensor, matrix: Tensor, vectors: Tensor) -> Tensor:
    """x_i^T V a_c for features (B, D), V (D, A) and category vectors (C, A); shape (B, C)."""
    return features @ (matrix @ vectors.T)


def domain_loss(gap: Tensor, matrix: Tensor) -> Tensor:
    """|mean_base x V - mean_web x V|^2 for `gap` = mean_base x - mean_web x, (D,): V is linear."""
    return (gap @ matrix).square().sum()


def ridge(matrix: Tensor) -> Tensor:
    """|V|^2."""
    return matrix.square().sum()


def self_paced_weights(losses: Tensor, codes: Tensor) -> Tensor:
    """n_c softmax(-loss_i / T_c) within each category c, T_c its median loss; for losses and codes (N,).

    The weights of a category have a mean of 1.
    """
    weights = torch.empty_like(losses)
    for code in set(codes.tolist()):
        own = codes == code
        temperature = losses[own].quantile(0.5).clamp(min=_SMALLEST)
        weights[own] = own.sum() * torch.softmax(-losses[own] / temperature, dim=0)
    return weights

"""Losses of classifiers that learn from noisy samples (SimTrans, NeurIPS 2021; methods A.2.5, A.2.6).

Shapes: B images in a batch, C categories, F the width of a feature.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def soft_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """(1/B) sum_i w_i sum_c -t_ic log softmax(logits_i)_c for logits and targets (B, C) and weights (B,).

    Divided by the number of images, not by the sum of the weights: a batch of doubtful images takes a small step.
    """
    return -(weights * (targets * F.log_softmax(logits.float(), dim=1)).sum(dim=1)).mean()


def relax(similarity: Tensor, mu: float) -> Tensor:
    """(e^{mu a} - 1) / (e^mu - 1), elementwise on [0, 1]; the identity for mu = 0.

    mu < 0 lifts middling similarities, mu > 0 suppresses them; 0 and 1 stay.
    """
    return similarity if mu == 0 else (similarity * mu).expm1() / math.expm1(mu)


def at_prior(similarity: Tensor, prior: float) -> Tensor:
    """The probability that two images show the same category where a share `prior` in (0, 1) of all pairs does.

    Bayes: odds times prior / (1 - prior), for a similarity in [0, 1] that is calibrated where every second pair does;
    0 and 1 stay, a prior of 1/2 is the identity.
    """
    same = similarity * prior
    return same / (same + (1 - similarity) * (1 - prior))


def pair_prior(codes: Tensor) -> float:
    """The share of the ordered pairs of different images (B,) that are of one category.

    One pair more is counted of either kind, which keeps it within (0, 1).
    """
    images = len(codes)
    same = int((codes[:, None] == codes[None, :]).sum()) - images
    return (same + 1) / (images * (images - 1) + 2)


def label_mask(codes: Tensor, eye: float) -> Tensor:
    """max(1[y_i = y_j], eye), shape (B, B): 1 for pairs of one category, `eye` in [0, 1] for all others."""
    return (codes[:, None] == codes[None, :]).float().clamp(min=eye)


def graph_loss(features: Tensor, affinity: Tensor) -> Tensor:
    """L_reg = (1/B^2) sum_ij A_ij |f_i - f_j|^2 for features (B, F) and an affinity (B, B) without gradient."""
    return (affinity * squared_distances(features)).mean()


def cosine_graph_loss(features: Tensor, affinity: Tensor) -> Tensor:
    """The variant COS: (1/B^2) sum_ij (cos(f_i, f_j) - A_ij)^2."""
    unit = F.normalize(features.float(), dim=1)
    return (unit @ unit.T - affinity).square().mean()


def squared_distances(features: Tensor) -> Tensor:
    """|f_i - f_j|^2 of all ordered pairs, shape (B, B), in float32; its gradient is finite where features agree."""
    features = features.float()
    norms = features.square().sum(dim=1)
    return (norms[:, None] + norms[None, :] - 2 * features @ features.T).clamp(min=0)

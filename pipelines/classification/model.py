"""The classifier: a backbone or its embeddings, perhaps a hidden layer, one linear layer.

Shapes: B images, D the dimension of the backbone, F that of the features (the hidden width, or D), C categories.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from curation.encoders.torch_encoder import Backbone


class ImageBackbone(nn.Module):
    """Pixels (B, 3, H, W), uint8 or float in [0, 255], to features (B, D).

    A frozen one stays in evaluation mode, is not trained and gives unit-norm features: the encoder's embeddings. Unless
    it `updates_statistics`, the means and variances of a trained one's batch normalisations stay as they were learned:
    those of small batches are noise, and folded weights (mean 0, variance 1) are lost without them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, *, frozen: bool, updates_statistics: bool = False) -> None:
        super().__init__()
        self.network = backbone.network.requires_grad_(not frozen)
        self.frozen = frozen
        self.updates_statistics = updates_statistics
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1))

    def train(self, mode: bool = True) -> ImageBackbone:
        """As of any module, but that a frozen backbone, and statistics that are kept, never leave evaluation mode."""
        super().train(mode and not self.frozen)
        for module in () if self.updates_statistics else self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        features = cast("Tensor", self.network((pixels.to(self.mean.dtype) / 255 - self.mean) / self.std))
        return F.normalize(features, dim=1) if self.frozen else features


class Classifier(nn.Module):
    """Images (or, without a backbone, embeddings (B, D)) in, logits (B, C) and features (B, F) out.

    `hidden` is the width of the layer before the last, 0 for none. `features` are what the last layer sees, before
    dropout: what the graph loss acts on. `scale` multiplies the backbone's output, so that a component has a mean
    square of about 1: sqrt(D) for unit-norm embeddings.
    """

    scale: Tensor

    def __init__(
        self,
        dimension: int,
        n_categories: int,
        *,
        hidden: int = 0,
        dropout: float = 0.0,
        scale: float = 1.0,
        backbone: ImageBackbone | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dimension = dimension
        self.hidden_width = hidden
        self.register_buffer("scale", torch.tensor(float(scale)))
        self.hidden = nn.Sequential(nn.Linear(dimension, hidden), nn.ReLU()) if hidden else nn.Identity()
        self.dropout = nn.Dropout(dropout if hidden else 0.0)
        self.last = nn.Linear(hidden or dimension, n_categories)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        outputs = inputs if self.backbone is None else self.backbone(inputs)
        features = self.hidden(outputs * self.scale)
        return self.last(self.dropout(features)), features

    @property
    def features_can_move(self) -> bool:
        """Whether training changes the features: a linear layer on frozen embeddings leaves them as they are."""
        return self.hidden_width > 0 or (self.backbone is not None and not self.backbone.frozen)

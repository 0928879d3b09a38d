"""The classifier as a module: what moves in training and what does not."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from curation.encoders.torch_encoder import Backbone
from pipelines.classification.model import ImageBackbone

PIXELS = torch.arange(4 * 3 * 8 * 8).view(4, 3, 8, 8) % 251


@pytest.fixture
def folded() -> Backbone:
    """A small network whose normalisation is folded into its convolution (mean 0, variance 1), then a ReLU."""
    torch.manual_seed(0)
    normalisation = nn.BatchNorm2d(4)
    nn.init.constant_(normalisation.bias, 3.0)
    layers = [nn.Conv2d(3, 4, 3), normalisation, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers).eval()
    return Backbone(network, 4, 8, 1.0, (0.5,) * 3, (0.5,) * 3, "folded", {})


def _statistics(backbone: ImageBackbone) -> list[Tensor]:
    return [buffer.clone() for name, buffer in backbone.named_buffers() if "running" in name]


def test_backbone__in_training_its_features_are_those_it_came_with(folded: Backbone) -> None:
    backbone = ImageBackbone(folded, frozen=False)
    with torch.no_grad():
        expected, before = backbone.eval()(PIXELS), _statistics(backbone)
        assert torch.equal(backbone.train()(PIXELS), expected)
    assert backbone.training and all(map(torch.equal, before, _statistics(backbone)))
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_backbone__updates_statistics_where_asked_to(folded: Backbone) -> None:
    backbone = ImageBackbone(copy.deepcopy(folded), frozen=False, updates_statistics=True)
    with torch.no_grad():
        expected, before = backbone.eval()(PIXELS), _statistics(backbone)
        assert not torch.allclose(backbone.train()(PIXELS), expected, atol=0.1)
    assert not any(map(torch.equal, before, _statistics(backbone)))


def test_frozen_backbone__never_leaves_evaluation_mode(folded: Backbone) -> None:
    backbone = ImageBackbone(folded, frozen=True, updates_statistics=True).train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    torch.testing.assert_close(backbone(PIXELS).norm(dim=1), torch.ones(4))

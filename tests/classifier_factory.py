"""A classifier small enough to think through, and images for it: it tells which colour a picture has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from curation.encoders import load_backbone
from curation.encoders.torch_encoder import Backbone
from pipelines.classification.checkpoint import ClassifierFacts, LoadedClassifier, new_classifier
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.model import ImageBackbone

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (20, 40, 210)}
NAMES = tuple(COLOURS)
_SHARPNESS = 6.0  # of the logits: a pure colour gets about 99 %


class MeanColour(nn.Module):
    """Normalised images (B, 3, H, W) to their mean colour (B, 3)."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def colour_classifier(**facts: Any) -> LoadedClassifier:
    """Tells red, green and blue apart; `facts` are changes of its facts. It is not one that can be loaded again."""
    stated = ClassifierFacts(
        **{
            "categories": NAMES,
            "novel": NAMES,
            "encoder": "timm/colour",
            "encoder_identity": "timm/colour#0123456789ab",
            "dimension": 3,
            "input_px": 16,
            "crop_share": 1.0,
            "cleaned_set_hash": "c" * 64,
            "config": ClassificationConfig(head="linear"),
            **facts,
        }
    )
    backbone = Backbone(MeanColour(), 3, 16, 1.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), stated.encoder_identity, {})
    classifier = new_classifier(stated, ImageBackbone(backbone, frozen=True)).eval()
    with torch.no_grad():
        classifier.last.weight.copy_(_SHARPNESS * torch.eye(len(stated.categories), 3))
        classifier.last.bias.zero_()
    return LoadedClassifier(classifier, stated, torch.device("cpu"))


def builtin_classifier() -> LoadedClassifier:
    """The same categories by the encoder that ships with the package and a random head: it can be saved and loaded."""
    backbone = load_backbone("builtin")
    facts = ClassifierFacts(
        categories=NAMES,
        novel=NAMES,
        encoder="builtin",
        encoder_identity=backbone.identity,
        dimension=backbone.dimension,
        input_px=backbone.input_px,
        crop_share=backbone.crop_share,
        cleaned_set_hash="c" * 64,
        config=ClassificationConfig(hidden=8),
    )
    torch.manual_seed(0)
    classifier = new_classifier(facts, ImageBackbone(backbone, frozen=True)).eval()
    return LoadedClassifier(classifier, facts, torch.device("cpu"))


def write_colour(path: Path, colour: str, seed: int = 0, size: tuple[int, int] = (24, 20)) -> Path:
    """A PNG of a colour with some noise, which differs for every seed."""
    noise = np.random.default_rng(seed).integers(-20, 21, (size[1], size[0], 3))
    pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def colour_folder(folder: Path, images: int = 3) -> Path:
    """A folder a colour, `images` in each."""
    for number, colour in enumerate(NAMES):
        for seed in range(images):
            write_colour(folder / colour / f"{seed}.png", colour, 100 * number + seed)
    return folder

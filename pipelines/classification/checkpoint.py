"""One file that holds a classifier and what it was made from: safetensors with JSON in its metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from curation import __version__
from curation.devices import choose_device
from curation.encoders import bare_network, load_backbone
from curation.encoders.torch_encoder import Backbone
from curation.errors import EncoderError, TrainingError
from curation.files import replace_bytes
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.model import Classifier, ImageBackbone

MODEL = "model.safetensors"  # in the folder of a training
SCHEMA_VERSION = 2  # 1 had no `architecture`
_KEY = "classifier"  # all of the metadata is JSON under this one key
_AGAIN = "Train it again: `curate train classification`."


class ClassifierFacts(BaseModel):
    """What a classifier is and what it was made from.

    `categories` are the names by code, `novel` those of them that were gathered from the web. `encoder` is the name of
    the backbone as `load_backbone` takes it, `encoder_identity` that of its weights before any fine-tuning,
    `architecture` what builds a fine-tuned one without them; `None` for a frozen one, and in files of version 1.
    Pictures are squares of `input_px`, `crop_share` of their shorter side. Probabilities are softmax(logits /
    `temperature`). `figures` are those of the training: samples used, epochs, validation accuracy and the like.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    categories: tuple[str, ...]
    novel: tuple[str, ...]
    encoder: str
    encoder_identity: str
    architecture: dict[str, Any] | None = None
    dimension: int
    input_px: int
    crop_share: float
    temperature: float = 1.0
    cleaned_set_hash: str
    tool_version: str = __version__
    config: ClassificationConfig
    figures: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class LoadedClassifier:
    """A classifier in evaluation mode on `device` that takes pixels, and its facts."""

    classifier: Classifier
    facts: ClassifierFacts
    device: torch.device

    @torch.inference_mode()
    def probabilities(self, pixels: Tensor) -> Tensor:
        """Probabilities (B, C), float32 on the CPU, of uint8 or float pixels (B, 3, H, W)."""
        logits, _ = self.classifier(pixels.to(self.device))
        return torch.softmax(logits.float() / self.facts.temperature, dim=1).cpu()


def new_classifier(facts: ClassifierFacts, backbone: ImageBackbone | None) -> Classifier:
    """A classifier of the shape that the facts tell, with random weights in its head."""
    config = facts.config
    return Classifier(
        facts.dimension,
        len(facts.categories),
        hidden=config.resolved_hidden,
        dropout=config.dropout,
        backbone=backbone,
    )


def save_classifier(path: Path, classifier: Classifier, facts: ClassifierFacts) -> None:
    """Write the classifier to `path` in one step; a frozen backbone is not written, it is found again by its name."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _kept_tensors(classifier).items()}
    data = save(tensors, metadata={_KEY: facts.model_dump_json()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, data)
        if path.read_bytes() != data:
            raise TrainingError(f"{path} does not hold what was written.", hint="Check the disk.")
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written: {error.strerror}.", hint="Check space and permissions."
        ) from error


def load_classifier(path: Path, device: str = "auto", *, encoder: str | None = None) -> LoadedClassifier:
    """Read a classifier back, with its backbone, in evaluation mode.

    A fine-tuned backbone comes from the file alone, with the preprocessing it was trained with; a frozen one is the
    encoder of that name, or `encoder`, where the same weights lie elsewhere by now. Raises `TrainingError` where the
    file is missing, damaged, something else or of a newer version, or where the weights of a frozen backbone cannot be
    had or are others than then; `EncoderError` where the network of a fine-tuned one cannot be built here.
    """
    facts, tensors = _read(path)
    finetuned = facts.config.finetune
    backbone = (
        _finetuned_backbone(path, facts, tensors)
        if finetuned
        else _frozen_backbone(path, facts, encoder or facts.encoder)
    )
    classifier = new_classifier(facts, ImageBackbone(backbone, frozen=not finetuned))
    try:
        fit = classifier.load_state_dict(tensors, strict=finetuned)
    except RuntimeError as error:
        raise TrainingError(f"{path} is damaged: {str(error).splitlines()[-1].strip()}", hint=_AGAIN) from error
    missing = [name for name in fit.missing_keys if not name.startswith("backbone.")]
    if missing or fit.unexpected_keys:
        raise TrainingError(f"{path} is damaged: it lacks or adds {(missing + fit.unexpected_keys)[0]}.", hint=_AGAIN)
    chosen = choose_device(device)
    return LoadedClassifier(classifier.to(chosen).eval(), facts, chosen)


def model_file(path: Path) -> Path:
    """The file of a classifier, given itself or the folder of its training."""
    return path / MODEL if path.is_dir() else path


def read_facts(path: Path) -> ClassifierFacts:
    """What the classifier at `path` is, without loading it; raises as `load_classifier` does."""
    return _read(path)[0]


def _finetuned_backbone(path: Path, facts: ClassifierFacts, tensors: Mapping[str, Tensor]) -> Backbone:
    """The network with weights that are still to be replaced by those of the file."""
    if facts.architecture is None:  # version 1: the original weights tell the shape
        return load_backbone(facts.encoder)
    try:
        mean, std = (tuple(tensors[f"backbone.{name}"].flatten().tolist()) for name in ("mean", "std"))
    except KeyError as error:
        raise TrainingError(f"{path} is damaged: it lacks {error.args[0]}.", hint=_AGAIN) from error
    return Backbone(
        bare_network(facts.encoder, facts.architecture),
        facts.dimension,
        facts.input_px,
        facts.crop_share,
        mean,
        std,
        facts.encoder_identity,
        facts.architecture,
    )


def _frozen_backbone(path: Path, facts: ClassifierFacts, encoder: str) -> Backbone:
    try:
        backbone = load_backbone(encoder)
    except EncoderError as error:
        raise TrainingError(
            f"the classifier in {path} has a frozen backbone, whose weights are not in its file, and they cannot be "
            f"had: {error.message}",
            hint=f"Put the weights of {encoder} in their place again, or name the encoder with their new place: "
            "--backbone timm/MODEL@FILE. A backbone trained with --finetune is in the file.",
        ) from error
    if _without_file(backbone.identity) != _without_file(facts.encoder_identity):
        raise TrainingError(
            f"the classifier in {path} was trained on embeddings of {facts.encoder_identity}, the encoder "
            f"{encoder} is {backbone.identity} here.",
            hint=f"Install the weights it was trained with. Or: {_AGAIN}",
        )
    return backbone


def _without_file(identity: str) -> str:
    """Model and digest of an encoder: its weights are the same wherever they lie."""
    return re.sub("@[^#]*", "", identity)


def _kept_tensors(classifier: Classifier) -> dict[str, Tensor]:
    frozen = classifier.backbone is not None and classifier.backbone.frozen
    return {
        name: tensor
        for name, tensor in classifier.state_dict().items()
        if not (frozen and name.startswith("backbone."))
    }


def _read(path: Path) -> tuple[ClassifierFacts, dict[str, Tensor]]:
    if not path.is_file():
        raise TrainingError(f"there is no classifier at {path}.", hint=_AGAIN)
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {})[_KEY])
        tensors = load(path.read_bytes())
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{path} is damaged or no classifier of this tool ({error}).", hint=_AGAIN) from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise TrainingError(
            f"{path} has schema version {version}; this version of the tool reads up to {SCHEMA_VERSION}.",
            hint="Update webnoise-curation.",
        )
    try:
        return ClassifierFacts.model_validate(values), tensors
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TrainingError(f"{path} is damaged: {where}: {first['msg']}.", hint=_AGAIN) from error

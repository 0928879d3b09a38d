"""open_clip's door: encoders named `open_clip/MODEL/PRETRAINED` or `open_clip/MODEL@FILE` (local weights).

They embed images and texts into one space (Radford et al., ICML 2021): a text is near the images that it describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn

from curation.encoders.hub_cache import cached_weights, downloaded_file
from curation.encoders.torch_encoder import TorchEncoder
from curation.errors import EncoderError
from curation.values import FloatArray

# The smallest text tower there can be: the image tower is built as a part of a whole CLIP model, and only it is kept.
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}


class _ImageTower(nn.Module):
    """The image half of a CLIP model."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.visual = clip.visual

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.visual(images)
        return features


class _TextTower:
    """The text half of a CLIP model; it stays on the CPU, where a handful of texts takes a fraction of a second."""

    def __init__(self, clip: Any, model: str) -> None:
        self._clip = clip.float().eval().requires_grad_(False)
        self._model = model
        self._tokenizer: Any = None  # made when first asked for: some have files of their own to download

    @torch.inference_mode()
    def features(self, texts: Sequence[str]) -> FloatArray:
        """The features (T, D) of T texts; what goes beyond the model's context (77 tokens for CLIP) is not seen."""
        if self._tokenizer is None:
            self._tokenizer = _tokenizer(self._model)
        features: FloatArray = self._clip.encode_text(self._tokenizer(list(texts)), normalize=False).numpy()
        return features


def load(name: str, device: str) -> TorchEncoder:
    """Load `open_clip/MODEL/PRETRAINED` (a tag open_clip knows, downloaded once) or `open_clip/MODEL@FILE`."""
    model, tag, file = _parts(name)
    if model not in open_clip.list_models():
        raise EncoderError(
            f"open_clip has no model {model!r}.", hint="open_clip.list_models() lists them, ViT-B-32 is one."
        )
    if not file and tag not in open_clip.list_pretrained_tags_by_model(model):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise EncoderError(f"open_clip has no weights {tag!r} for {model}.", hint=f"Known: {tags}.")
    try:
        clip = open_clip.create_model(model, pretrained=file or tag, require_pretrained=True)
    except Exception as error:  # hub clients and unpicklers raise many kinds; all mean that there are no weights
        raise EncoderError(
            f"the weights of {name} could not be had: {type(error).__name__}: {error}.",
            hint=f"With network access they are downloaded once; without, pass a file: open_clip/{model}@FILE.",
        ) from error
    preprocessing = clip.visual.preprocess_cfg
    size = preprocessing["size"]
    return TorchEncoder(
        _ImageTower(clip),
        name=f"open_clip/{model}@{Path(file).name}" if file else f"open_clip/{model}/{tag}",
        mean=tuple(preprocessing["mean"]),
        std=tuple(preprocessing["std"]),
        input_px=int(size[0] if isinstance(size, (tuple, list)) else size),
        crop_share=1.0,  # open_clip's evaluation transform: shorter side to the input size, then centre crop
        architecture=_architecture(model),
        device=device,
        text_features=_TextTower(clip, model).features,
    )


def bare_network(name: str, architecture: Mapping[str, Any]) -> nn.Module:  # noqa: ARG001 - as all encoders have it
    """The image tower with random weights, from the part of open_clip's configuration that tells its shape."""
    return _ImageTower(open_clip.CLIP(**architecture, text_cfg=_NO_TEXT))


def weights_file(name: str) -> Path | None:
    """Where the weights lie on this machine; `None` where they would be downloaded."""
    model, tag, file = _parts(name)
    if file:
        return Path(file)
    known = open_clip.get_pretrained_cfg(model, tag)
    return cached_weights(known.get("hf_hub", "").rpartition("/")[0]) or downloaded_file(
        known.get("url", ""), Path("~/.cache/clip")
    )


def _architecture(model: str) -> dict[str, Any]:
    """What of the configuration of a model tells the shape of its image tower; its own weights come by no other way."""
    config: dict[str, Any] = open_clip.get_model_config(model)
    vision = dict(config["vision_cfg"])
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    return {
        "embed_dim": config["embed_dim"],
        "vision_cfg": vision,
        "quick_gelu": config.get("quick_gelu", False),
    }


def _tokenizer(model: str) -> Any:
    try:
        return open_clip.get_tokenizer(model)
    except Exception as error:  # as for weights: hub clients raise many kinds
        raise EncoderError(
            f"the tokenizer of {model} could not be had: {type(error).__name__}: {error}.",
            hint="With network access it is downloaded once; ViT-B-32 and its like bring theirs along.",
        ) from error


def _parts(name: str) -> tuple[str, str, str]:
    """(model, pretrained tag, file) of a name; exactly one of tag and file is given."""
    rest = name.removeprefix("open_clip/")
    model, _, file = rest.partition("@")
    if file:
        return model, "", file
    model, _, tag = rest.partition("/")
    if not tag:
        raise EncoderError(
            f"{name!r} names no weights.", hint=f"Write open_clip/{model}/PRETRAINED or open_clip/{model}@FILE."
        )
    return model, tag, ""

"""The encoder that ships with the package: a small convolutional network, made by `curation.encoders.make_builtin`.

An embedding joins what the network sees at four depths, in equal parts: from colour and texture of the whole picture
up to its subject. It describes place and light as much as the subject, as embeddings of general encoders do; what of it
tells categories apart is left to the similarity network. AUROC on the demo's novel images, seeds 0 to 4: mean cosine
0.85 0.90 0.81 0.87 0.80, similarity network (`metric` head) 0.93 0.98 0.93 0.97 0.90. With the subject's part alone,
seeds 0 to 2: 0.91 0.94 0.91 and 0.93 0.99 0.92. Seeds 3 and 4 had no part in the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from curation.encoders.torch_encoder import TorchEncoder
from curation.errors import EncoderError

WEIGHTS = Path(__file__).with_name("builtin.safetensors")
INPUT_PX = 96
SUBJECT_DIMENSION = 256
# Channels after each halving of the picture; chosen so that training takes minutes on one core.
_CHANNELS = (24, 40, 72, 128)


def load(name: str, device: str) -> TorchEncoder:
    """Load the shipped encoder; raises `EncoderError` for any other name than `builtin`, or unusable weights."""
    if name != "builtin":
        raise EncoderError(f"unknown encoder {name!r}.", hint="The shipped encoder has one name: builtin.")
    return TorchEncoder(
        _shipped_network(),
        name="builtin",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        input_px=INPUT_PX,
        crop_share=1.0,
        architecture={},
        device=device,
    )


def bare_network(name: str, architecture: Mapping[str, Any]) -> BuiltinNetwork:  # noqa: ARG001 - as all encoders have it
    """The shipped network with random weights."""
    return BuiltinNetwork()


def weights_file(name: str) -> Path | None:  # noqa: ARG001 - as all encoders have it
    """The file that ships with the package; `None` where it is missing."""
    return WEIGHTS if WEIGHTS.is_file() else None


class BuiltinNetwork(nn.Module):
    """A residual network over four halvings of float images (B, 3, 96, 96)."""

    def __init__(self) -> None:
        super().__init__()
        first, *rest = _CHANNELS
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        stages: list[nn.Module] = []
        for before, after in zip(_CHANNELS, rest, strict=False):
            stages += [_Residual(before, after, 2), _Residual(after, after, 1)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Conv2d(_CHANNELS[-1], SUBJECT_DIMENSION, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The embedding, shape (B, 392): four unit-norm parts side by side, the subject first."""
        *shallow, subject = self._parts(images)
        return torch.cat([F.normalize(part, dim=1) for part in (subject, *reversed(shallow))], dim=1)

    def subject(self, images: torch.Tensor) -> torch.Tensor:
        """The deepest part alone, which is what is trained: shape (B, 256)."""
        return self._parts(images)[-1]

    def _parts(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Means over the picture: of what the stem and every stage but the last give, then of the head."""
        maps: torch.Tensor = self.stem(images)
        parts = [maps.mean((2, 3))]
        for first, second in zip(self.stages[::2], self.stages[1::2], strict=True):
            maps = second(first(maps))
            parts.append(maps.mean((2, 3)))
        return [*parts[:-1], self.head(maps).mean((2, 3))]


class _Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016, basic block)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.body(maps) + self.shortcut(maps)
        return torch.relu(total)


def _shipped_network() -> BuiltinNetwork:
    try:
        weights = load_file(WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise EncoderError(
            f"the weights of the builtin encoder, {WEIGHTS}, cannot be read: {error}.",
            hint="Install the package again, or make them: python -m curation.encoders.make_builtin.",
        ) from error
    network = BuiltinNetwork()
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise EncoderError(
            f"{WEIGHTS} does not fit the builtin network: {str(error).splitlines()[0]}",
            hint="Install the package again, or make them: python -m curation.encoders.make_builtin.",
        ) from error
    return network

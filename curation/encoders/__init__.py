"""Encoders: frozen networks that turn an upright RGB image, and some of them a text, into a unit-norm embedding.

A new encoder is one file with the functions `load` and `weights_file`, one line in `_FAMILIES`, one test.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from curation.errors import EncoderError
from curation.values import FloatArray

if TYPE_CHECKING:
    from curation.encoders.torch_encoder import Backbone

PixelArray = NDArray[np.uint8]

# First part of an encoder's name -> the module whose `load(name, device)` makes it, and whose `weights_file(name)` says
# where its weights lie on this machine, `None` where they would be downloaded. Imported when asked for: torch
# takes seconds and the networks take memory.
_FAMILIES = {
    "builtin": "curation.encoders.builtin",
    "open_clip": "curation.encoders.open_clip",
    "timm": "curation.encoders.timm",
}


class Encoder(Protocol):
    """A frozen image encoder.

    `identity` names network *and* weights (a digest of them is part of it): two encoders with the same identity give
    the same embeddings. `input_px` is the side of the square that `embed` expects; `crop_share` the share of the
    shorter side that the centre crop keeps before resizing (timm's `crop_pct`, [0, 1]). `embeds_text` says whether
    texts can be embedded beside the images that they describe.
    """

    @property
    def identity(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def input_px(self) -> int: ...

    @property
    def crop_share(self) -> float: ...

    @property
    def embeds_text(self) -> bool: ...

    def embed(self, pixels: PixelArray) -> FloatArray:
        """Embed uint8 RGB pixels of shape (B, input_px, input_px, 3): unit-norm float32, shape (B, dimension)."""
        ...

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts: unit-norm float32, shape (T, dimension); `EncoderError` where `embeds_text` is false."""
        ...


def checked_name(name: str) -> str:
    """`name` with the path of a local weights file made absolute; `EncoderError` if no encoder has such a name."""
    family = name.partition("/")[0]
    if family not in _FAMILIES:
        raise EncoderError(
            f"unknown encoder {name!r}.",
            hint="Names are open_clip/MODEL/PRETRAINED, timm/MODEL, timm/MODEL@FILE.safetensors, or builtin.",
        )
    model, at, file = name.partition("@")
    if not at:
        return name
    if not Path(file).is_file():
        raise EncoderError(f"the weights file {file} does not exist.", hint="Give the path of a file after the @.")
    return f"{model}@{Path(file).absolute()}"


def find_weights(name: str) -> Path | None:
    """The file with the weights of the encoder called `name`; `None` where they would be downloaded first.

    Nothing is loaded or fetched. Raises `EncoderError` for a name that no encoder has.
    """
    family = checked_name(name).partition("/")[0]
    path: Path | None = import_module(_FAMILIES[family]).weights_file(name)
    return path


def load_encoder(name: str, device: str = "auto") -> Encoder:
    """Load the encoder called `name`; raises `EncoderError` where it or its weights cannot be had."""
    family = checked_name(name).partition("/")[0]
    encoder: Encoder = import_module(_FAMILIES[family]).load(name, device)
    return encoder


def load_backbone(name: str) -> Backbone:
    """The network of the encoder called `name`, to be fine-tuned; raises `EncoderError` as `load_encoder` does."""
    family = checked_name(name).partition("/")[0]
    backbone: Backbone = import_module(_FAMILIES[family]).load(name, "cpu").backbone()
    return backbone

"""Encoders: frozen networks that turn an upright RGB image, and some of them a text, into a unit-norm embedding.

A new encoder is one file with the functions `load`, `bare_network` and `weights_file`, one line in `_FAMILIES`, one
test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from curation.errors import EncoderError
from curation.values import FloatArray

if TYPE_CHECKING:
    from torch import nn

    from curation.encoders.torch_encoder import Backbone

PixelArray = NDArray[np.uint8]

# First part of an encoder's name -> the module whose `load(name, device)` makes it, whose `bare_network(name,
# architecture)` makes its network without its weights, and whose `weights_file(name)` says where they lie on this
# machine, `None` where they would be downloaded. Imported when asked for: torch takes seconds and the networks memory.
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
        raise _unknown(name)
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


def bare_network(name: str, architecture: Mapping[str, Any]) -> nn.Module:
    """The network of a `Backbone` with random weights, from the name of its encoder and its `architecture`.

    Nothing is read or fetched. Raises `EncoderError` where the network cannot be built here.
    """
    from curation.encoders.torch_encoder import laid_out

    family = name.partition("/")[0]
    if family not in _FAMILIES:
        raise _unknown(name)
    try:
        return laid_out(import_module(_FAMILIES[family]).bare_network(name, architecture))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:  # of timm and open_clip of other versions
        raise EncoderError(
            f"the network of {name} cannot be built as it was: {type(error).__name__}: {error}.",
            hint="Install the versions of timm and open_clip that it was trained with.",
        ) from error


def _unknown(name: str) -> EncoderError:
    return EncoderError(
        f"unknown encoder {name!r}.",
        hint="Names are open_clip/MODEL/PRETRAINED, timm/MODEL, timm/MODEL@FILE.safetensors, or builtin.",
    )

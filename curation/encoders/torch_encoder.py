"""Any torch network as an encoder: normalisation, fixed-size batches, unit norm, an identity with a digest."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import nn

from curation.bands import for_each_band
from curation.devices import choose_device
from curation.encoders import PixelArray
from curation.errors import EncoderError
from curation.values import FloatArray

# Every forward pass has exactly this many images, the last one padded with zeros: the same kernels run for every image,
# so an embedding does not depend on its batch mates and a resumed run gives the bits of an undisturbed one.
FIXED_BATCH = 32


@dataclass(frozen=True, slots=True)
class Backbone:
    """The network of an encoder, to be trained further or to be part of another network.

    `network` maps float images (B, 3, input_px, input_px) in [0, 1], normalised by `mean` and `std`, to raw features
    (B, dimension); it is a copy, in evaluation mode, on the CPU. `crop_share` and `identity` are the encoder's.
    `architecture` is what `bare_network` needs, beside the encoder's name, to build the network again; it is JSON.
    """

    network: nn.Module
    dimension: int
    input_px: int
    crop_share: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    identity: str
    architecture: Mapping[str, Any]


class TorchEncoder:
    """A frozen network from float images (B, 3, H, W), normalised by `mean` and `std`, to features (B, D).

    `architecture` as in `Backbone`. `text_features` gives the features (T, D) of T texts, where the network has a half
    for texts.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        input_px: int,
        crop_share: float,
        architecture: Mapping[str, Any],
        device: str,
        text_features: Callable[[Sequence[str]], FloatArray] | None = None,
    ) -> None:
        self._device = choose_device(device)
        # The digest covers everything that turns an image into numbers: weights, normalisation and geometry.
        self.identity = f"{name}#{_digest(network, (*mean, *std, input_px, crop_share))[:12]}"
        self.input_px = input_px
        self.crop_share = crop_share
        self._mean, self._std = mean, std
        self._architecture = dict(architecture)
        self._text_features = text_features
        self._network = laid_out(network).requires_grad_(False).to(self._device)
        self._scale = torch.tensor([1 / (255 * s) for s in std], device=self._device).view(1, 3, 1, 1)
        self._shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=self._device).view(
            1, 3, 1, 1
        )
        self.dimension = self.embed(np.zeros((1, input_px, input_px, 3), dtype=np.uint8), check=False).shape[1]

    def embed(self, pixels: PixelArray, *, check: bool = True) -> FloatArray:
        """Embed uint8 RGB pixels (B, input_px, input_px, 3): unit-norm float32, shape (B, dimension)."""
        return self._unit_norm(self._features(pixels), check=check)

    @property
    def embeds_text(self) -> bool:
        """Whether `embed_text` can be asked."""
        return self._text_features is not None

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts: unit-norm float32, shape (T, dimension); raises `EncoderError` where the network cannot."""
        if self._text_features is None:
            raise EncoderError(
                f"{self.identity.partition('#')[0]} embeds images only, no text.",
                hint="An open_clip encoder embeds both. Make a workspace with one and ingest the same sources: "
                "curate init NEW --encoder open_clip/ViT-B-32/laion2b_s34b_b79k.",
            )
        return self._unit_norm(self._text_features(texts), check=True)

    def backbone(self) -> Backbone:
        """A copy of the network, whose weights can be trained."""
        network = copy.deepcopy(self._network).cpu().requires_grad_(True)
        return Backbone(
            network,
            self.dimension,
            self.input_px,
            self.crop_share,
            self._mean,
            self._std,
            self.identity,
            self._architecture,
        )

    def _unit_norm(self, features: FloatArray, *, check: bool) -> FloatArray:
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        if check and not (np.isfinite(norms).all() and (norms > 0).all()):
            raise EncoderError(
                f"{self.identity} gave a feature vector that is zero or not finite.",
                hint="Its weights are unsuitable or damaged: choose another encoder.",
            )
        unit: FloatArray = features / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit

    def _features(self, pixels: PixelArray) -> FloatArray:
        starts = range(0, len(pixels), FIXED_BATCH)
        parts: list[FloatArray] = [np.empty((0, 0), dtype=np.float32)] * len(starts)

        def fill(band: slice) -> None:
            parts[band.start // FIXED_BATCH] = self._forward(pixels[band])

        if self._device.type == "cpu":  # a batch a core: torch's threads wait for each other after every layer
            for_each_band(fill, len(pixels), FIXED_BATCH)
        else:
            for start in starts:
                fill(slice(start, start + FIXED_BATCH))
        return np.concatenate(parts)

    @torch.inference_mode()
    def _forward(self, pixels: PixelArray) -> FloatArray:
        batch = np.zeros((FIXED_BATCH, *pixels.shape[1:]), dtype=np.uint8)
        batch[: len(pixels)] = pixels
        # A permuted view of NHWC memory is what torch calls channels_last: nothing is copied.
        images = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2).float()
        features: torch.Tensor = self._network(images * self._scale + self._shift)
        vectors: FloatArray = features[: len(pixels)].float().cpu().numpy()
        return vectors


def laid_out(network: nn.Module) -> nn.Module:
    """The network in evaluation mode, as float32, in the layout of all of ours: kernels, and so bits, depend on it."""
    return network.float().eval().to(memory_format=torch.channels_last)


def _digest(network: nn.Module, settings: tuple[float, ...]) -> str:
    digest = sha256(repr(settings).encode())
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().float().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()

"""What a classifier says of images: probabilities of every readable one, and why the others have none.

One path for frozen and fine-tuned backbones, for the test set and for `curate predict`: images are decoded in guarded
processes to the squares that the encoder was made for, and go through the network in batches of one size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from curation.bands import for_each_band
from curation.config import ImagesConfig
from curation.decoding import ImageReference, decode_images
from curation.images import PixelArray
from curation.progress import Progress, silent
from curation.values import FloatArray, SourceEntry
from pipelines.classification.checkpoint import LoadedClassifier

# Every pass has exactly this many images, the last one padded: an image's probabilities do not depend on what else is
# predicted, to the last bit on a CPU.
FIXED_BATCH = 32


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """An image that was predicted; `category` is what its source says of it, "" where it says nothing."""

    image_id: str
    category: str
    uri: str
    sha256: str


@dataclass(frozen=True, slots=True)
class UnreadableImage:
    """An image without usable pixels, and the reason as one short sentence."""

    image_id: str
    category: str
    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class Predictions:
    """Probabilities, float32, shape (K, C), of K readable images in the order of their source; and the unreadable ones.

    Together they are all images that were asked about. Columns are `ClassifierFacts.categories`.
    """

    images: tuple[PredictedImage, ...]
    probabilities: FloatArray
    unreadable: tuple[UnreadableImage, ...]


@dataclass(frozen=True, slots=True)
class Guess:
    """One category an image may show, and how probable that is, [0, 1]."""

    category: str
    probability: float


def predict_images(
    loaded: LoadedClassifier, entries: Sequence[SourceEntry], progress: Progress = silent, *, workers: int = 0
) -> Predictions:
    """Predict every image of a source; never raises for a bad one. `workers`: decoding processes, 0 = one a core."""
    return join_parts(predict_parts(loaded, entries, progress, workers=workers), len(loaded.facts.categories))


def predict_parts(
    loaded: LoadedClassifier, entries: Sequence[SourceEntry], progress: Progress = silent, *, workers: int = 0
) -> Iterator[Predictions]:
    """The same in parts of a few images, each as soon as it is there: for what does not fit into the memory."""
    facts = loaded.facts
    decoding = decode_images(
        [ImageReference("", entry.uri) for entry in entries],
        input_px=facts.input_px,
        crop_share=facts.crop_share,
        config=ImagesConfig(max_pixels=facts.config.max_pixels, workers=workers),
    )
    done = 0
    with closing(decoding) as batches:
        for batch in batches:
            told = list(zip(entries[done : done + len(batch.facts)], batch.facts, strict=True))
            part = Predictions(
                tuple(
                    PredictedImage(entry.image_id, entry.category, entry.uri, found.sha256)
                    for entry, found in told
                    if found.reason is None
                ),
                pixel_probabilities(loaded, batch.pixels),
                tuple(
                    UnreadableImage(entry.image_id, entry.category, entry.uri, found.reason)
                    for entry, found in told
                    if found.reason is not None
                ),
            )
            done += len(batch.facts)
            progress("predicting", done, len(entries))
            yield part


def join_parts(parts: Iterable[Predictions], n_categories: int) -> Predictions:
    """Parts of one source as one."""
    kept = list(parts)
    return Predictions(
        tuple(image for part in kept for image in part.images),
        np.concatenate([np.empty((0, n_categories), np.float32), *(part.probabilities for part in kept)]),
        tuple(bad for part in kept for bad in part.unreadable),
    )


def pixel_probabilities(loaded: LoadedClassifier, pixels: PixelArray) -> FloatArray:
    """Probabilities (B, C) of uint8 RGB squares (B, input_px, input_px, 3)."""
    found = np.empty((len(pixels), len(loaded.facts.categories)), dtype=np.float32)

    def fill(band: slice) -> None:
        found[band] = _forward(loaded, pixels[band])

    if loaded.device.type == "cpu":  # a batch a core, as embeddings are made
        for_each_band(fill, len(pixels), FIXED_BATCH)
    else:
        for start in range(0, len(pixels), FIXED_BATCH):
            fill(slice(start, min(start + FIXED_BATCH, len(pixels))))
    return found


def most_probable(probabilities: NDArray[np.floating], names: Sequence[str], top: int) -> list[tuple[Guess, ...]]:
    """The `top` most probable categories of every row, most probable first; ties by code."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        tuple(Guess(names[code], float(row[code])) for code in codes.tolist())
        for row, codes in zip(probabilities, order, strict=True)
    ]


def _forward(loaded: LoadedClassifier, pixels: PixelArray) -> FloatArray:
    batch = np.zeros((FIXED_BATCH, *pixels.shape[1:]), dtype=np.uint8)
    batch[: len(pixels)] = pixels
    probabilities: FloatArray = loaded.probabilities(torch.from_numpy(batch).permute(0, 3, 1, 2)).numpy()
    return probabilities[: len(pixels)]

"""Images of an export as a network is trained on them: decoded, augmented, in batches."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode, v2

from curation.errors import TrainingError
from curation.export.reading import ExportedSet
from curation.images import decode, shorter_side_px, square_pixels
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.embedding import image_uri
from pipelines.training.batches import Rows

_LEAST_CROP = 0.5  # of the area (published: RandomResizedCrop(224, scale 0.5-1))
_MOST_WORKERS = 8

Augmentation = Callable[[Image.Image], Image.Image]


def make_augmentation(name: str, input_px: int, crop_share: float) -> Augmentation:
    """From an upright RGB picture to a square one of `input_px`, by torchvision; random but for "none"."""

    def as_tested(image: Image.Image) -> Image.Image:
        return Image.fromarray(square_pixels(image, input_px, crop_share))

    mirrored = v2.RandomHorizontalFlip()
    crop = v2.RandomResizedCrop(input_px, scale=(_LEAST_CROP, 1.0), interpolation=InterpolationMode.BICUBIC)
    steps: dict[str, list[Augmentation]] = {
        "none": [as_tested],
        "flip": [as_tested, mirrored],
        "crop": [crop, mirrored],
        "strong": [crop, mirrored, v2.TrivialAugmentWide()],
    }
    chosen = steps[name]

    def augment(image: Image.Image) -> Image.Image:
        for step in chosen:
            image = step(image)
        return image

    return augment


class ExportedImages(Dataset[Tensor]):
    """Pixels uint8 (3, input_px, input_px) of the samples of an export by (epoch, row); epoch -1: as they are tested.

    What is random depends on the seed, the epoch and the row alone: neither on the process that reads it nor on what
    was read before.
    """

    def __init__(self, exported: ExportedSet, config: ClassificationConfig, input_px: int, crop_share: float) -> None:
        self._exported = exported
        self._config = config
        self._input_px = input_px
        self._crop_share = crop_share
        # A crop of half the area is enlarged to the whole square: decode that much larger.
        self._target_px = round(shorter_side_px(input_px, crop_share) / _LEAST_CROP**0.5)

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        epoch, row = key
        decoded = decode(self._exported.image_bytes(row), self._config.max_pixels, self._target_px)
        if decoded.image is None:
            raise TrainingError(
                f"image {row} of the export (sample {self._exported.samples[row].sample_id}, "
                f"{image_uri(self._exported, row)}) cannot be decoded: {decoded.facts.reason}.",
                hint="Make the export again with `curate export`: it holds only images that can be decoded.",
            )
        name = "none" if epoch < 0 else self._config.augmentation
        augment = make_augmentation(name, self._input_px, self._crop_share)
        with torch.random.fork_rng(devices=[]):
            seeds = np.random.SeedSequence((self._config.seed, max(epoch, 0), row)).generate_state(1, np.uint64)
            torch.default_generator.manual_seed(int(seeds[0] >> 1))
            picture = augment(decoded.image)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


class ImageInputs:
    """What `fit` asks of inputs, for the images of an export; read ahead by worker processes where there are any."""

    def __init__(
        self,
        exported: ExportedSet,
        config: ClassificationConfig,
        *,
        input_px: int,
        crop_share: float,
        on_gpu: bool,
    ) -> None:
        self._images = ExportedImages(exported, config, input_px, crop_share)
        self._batch_size = config.resolved_batch_size
        self._keys = _Keys()
        default = min(_MOST_WORKERS, len(os.sched_getaffinity(0))) if on_gpu else 0
        workers = default if config.workers < 0 else config.workers
        self._loader: DataLoader[Tensor] = DataLoader(
            self._images,
            batch_sampler=self._keys,
            num_workers=workers,
            pin_memory=on_gpu,
            persistent_workers=workers > 0,  # each takes seconds to import torch: once, not every epoch
            # Fresh interpreters: a fork of a process with threads (FAISS, BLAS, CUDA) may never wake up.
            multiprocessing_context="forkserver" if workers else None,
            worker_init_fn=_leave_ctrl_c_to_the_parent,
        )

    def training(self, batches: Sequence[Rows], epoch: int) -> Iterator[Tensor]:
        return self._read([[(epoch, int(row)) for row in batch] for batch in batches])

    def plain(self, rows: Rows) -> Iterator[Tensor]:
        starts = range(0, len(rows), self._batch_size)
        return self._read([[(-1, int(row)) for row in rows[at : at + self._batch_size]] for at in starts])

    def _read(self, keys: list[list[tuple[int, int]]]) -> Iterator[Tensor]:
        self._keys.batches = keys
        return iter(self._loader)


class _Keys:
    """What the loader is to read next: batches of (epoch, row). One reading ends before the next begins."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _leave_ctrl_c_to_the_parent(worker: int) -> None:  # noqa: ARG001 - as torch calls it
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""Which samples of an export judge the states of a classifier: never the test set, and no picture on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.errors import TrainingError
from curation.export.splits import split_samples
from curation.values import CleanedSample, FloatArray
from pipelines.classification.methods import Codes, Columns, Mask
from pipelines.training.batches import Rows

_VALIDATION = ("val", "valid", "validation")
_TRAINING = ("train", "training")


@dataclass(frozen=True, slots=True)
class Validation:
    """Samples held out: `rows`, codes and weights, all (V,). A weight is the probability that the code is right."""

    rows: Rows
    codes: Codes
    weights: FloatArray


def hold_out(
    samples: Sequence[CleanedSample], columns: Columns, trained: Mask, share: float
) -> tuple[Validation, Mask]:
    """The validation part, and which samples may be trained on (N,).

    An export that was split keeps its parts: "val" judges, "train" is learned from, any other part is neither. Else a
    `share` of the pictures judges, and every category in both parts (`curation.export.splits`); copies of one picture
    stay together. Of the samples chosen those judge that are in a category, and not surely wrong. `trained` (N,) are
    those that the method learns from. Raises `TrainingError` where none of them is left.
    """
    if all(sample.split not in _VALIDATION for sample in samples) and share > 0:
        cut = split_samples(samples, {"train": 1 - share, "val": share})
        samples = [now if _may_train(before) else before for now, before in zip(cut, samples, strict=True)]
    chosen = np.array([sample.split in _VALIDATION for sample in samples])
    allowed = np.array([_may_train(sample) for sample in samples])
    if not (allowed & trained).any():
        raise TrainingError(
            "no sample is left to train on beside the validation part.",
            hint="Lower the share (--set validation=0.05), or make the export with a larger train part.",
        )
    weights = _right(columns)
    rows = np.flatnonzero(chosen & (columns.category >= 0) & ~columns.barred & (weights > 0))
    return Validation(rows, columns.category[rows], weights[rows]), allowed


def _may_train(sample: CleanedSample) -> bool:
    return sample.split is None or sample.split in _TRAINING


def _right(columns: Columns) -> FloatArray:
    """The probability that a sample's category is right; where no noise model has spoken, whether the set keeps it."""
    kept = columns.kept.astype(np.float32)
    return np.where(np.isnan(columns.noise_probability), kept, 1 - columns.noise_probability).astype(np.float32)

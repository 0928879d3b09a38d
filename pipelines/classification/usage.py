"""What a method made of an export: how many samples it learned from, and how noisy they are believed to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.values import CleanedSample, FloatArray, Role
from pipelines.classification.methods import TrainingTargets


@dataclass(frozen=True, slots=True)
class CategoryUsage:
    """Samples that the export has under a category, and how many the method learned it from, by their weights."""

    samples: int
    learned_from: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Samples of the export, of them `used`, `held_out` to select the state, and neither.

    `base` are not among the used ones: base samples that the hybrid learned from by category vectors. `under_another`
    are used under another category than the export gives them. `noise` is the share of the export's novel samples that
    is believed to be under a wrong category, `noise_used` the same of what was learned from, by its weights; each
    `None` where no noise model has spoken of some of them, `noise_used` also where none was learned from.
    """

    samples: int
    used: int
    held_out: int
    under_another: int
    noise: float | None
    noise_used: float | None
    categories: dict[str, CategoryUsage]
    base: int = 0

    @property
    def left_out(self) -> int:
        return self.samples - self.used - self.base - self.held_out


def usage_of(
    samples: Sequence[CleanedSample],
    targets: TrainingTargets,
    held_out: NDArray[np.int64],
    names: Sequence[str],
    base: int = 0,
) -> Usage:
    """Sum up targets over `samples`, whose rows `held_out` select the state; `names` are the categories by code.

    `base` as in `Usage`.
    """
    right = _believed_right(samples, targets.targets, names)
    as_told = np.array(
        [1.0 if sample.noise_probability is None else 1 - sample.noise_probability for sample in samples]
    )
    novel = np.array([sample.role is Role.NOVEL for sample in samples], dtype=np.bool_)
    unknown = novel & np.array([sample.noise_probability is None for sample in samples], dtype=np.bool_)
    judged_used = targets.used & novel
    learned = (targets.targets * targets.weights[:, None])[targets.used].sum(axis=0)
    codes = {name: code for code, name in enumerate(names)}
    own = np.array([codes.get(sample.category, -1) for sample in samples])
    moved = targets.used & (targets.targets.argmax(axis=1) != own)
    return Usage(
        samples=len(samples),
        used=int(targets.used.sum()),
        held_out=len(held_out),
        under_another=int(moved.sum()),
        noise=None if unknown.any() or not novel.any() else float(1 - as_told[novel].mean()),
        noise_used=None
        if (unknown & targets.used).any() or not judged_used.any()
        else float(1 - np.average(right[judged_used], weights=targets.weights[judged_used])),
        base=base,
        categories={
            name: CategoryUsage(int((own == code).sum()), float(learned[code])) for name, code in codes.items()
        },
    )


def _believed_right(samples: Sequence[CleanedSample], targets: FloatArray, names: Sequence[str]) -> FloatArray:
    """The probability (N,) that a sample shows what it is used as: of each category in its target, by their shares.

    A clean category is right, that of a web image with 1 - q, its suggestion, where that is another, with the
    suggestion's probability; nothing is known of the others.
    """
    codes = {name: code for code, name in enumerate(names)}
    right = np.zeros(len(samples), dtype=np.float32)
    for row, sample in enumerate(samples):
        chances: dict[str, float] = {}
        if sample.suggested_category is not None and sample.suggested_probability is not None:
            chances[sample.suggested_category] = sample.suggested_probability
        chances[sample.category] = 1 - (sample.noise_probability or 0.0)
        right[row] = sum(chance * targets[row, codes[name]] for name, chance in chances.items() if name in codes)
    return right

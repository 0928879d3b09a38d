"""What a test set says of a classifier: every figure of it as small values, ready for JSON and for the report."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.training.metrics import (
    Codes,
    ConfidenceBin,
    Flags,
    Interval,
    Probabilities,
    accuracy_interval,
    balanced_interval,
    category_rates,
    confidence_bins,
    confusion,
    expected_calibration_error,
    is_right,
    negative_log_likelihood,
    top_accuracy,
    wilson_interval,
)

_TOP = 5  # the customary second figure


@dataclass(frozen=True, slots=True)
class CategoryAccuracy:
    """One category: its test images, how many are right, with Wilson's 95 % interval, and what it is taken for most.

    `taken_for` is `None` where nothing is wrong. `predicted` counts the images of all categories that were put here.
    """

    category: str
    images: int
    right: int
    accuracy: Interval
    predicted: int
    taken_for: str | None
    times: int


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """`images` of the category `true` were taken for `predicted`, another one."""

    true: str
    predicted: str
    images: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that a test set says.

    Intervals hold 95 %: by bootstrap, Wilson's for categories. `balanced_accuracy` is the mean over categories.
    `top_accuracy` counts an image as right whose category is among the `top` most probable ones; `None` where there are
    hardly more categories. `chance` is the accuracy of guessing evenly. `by_role` has "base" and "novel" where there
    are images of both. `confused` are all wrong pairs, most frequent first: with `categories` it is the whole confusion
    matrix. `absent` are categories without a test image.
    """

    images: int
    accuracy: Interval
    balanced_accuracy: Interval
    top: int
    top_accuracy: float | None
    chance: float
    negative_log_likelihood: float
    calibration_error: float
    bins: tuple[ConfidenceBin, ...]
    by_role: dict[str, Interval]
    categories: tuple[CategoryAccuracy, ...]
    absent: tuple[str, ...]
    confused: tuple[ConfusedPair, ...]

    @property
    def guessing_likelihood(self) -> float:
        """The negative log-likelihood of guessing evenly, in nats."""
        return -math.log(self.chance)


def evaluate(
    probabilities: Probabilities, codes: Codes, names: Sequence[str], *, novel: Collection[str] = (), seed: int = 0
) -> Evaluation:
    """Compare probabilities (N, C) with the true codes (N,) of the categories `names` (C,).

    `novel` are the names of categories that were gathered from the web; `seed` is that of the bootstrap. Raises
    `ValueError` where the shapes do not fit or there is no image.
    """
    right = is_right(probabilities, codes)
    counts = confusion(probabilities, codes)
    size = len(names)
    return Evaluation(
        images=len(codes),
        accuracy=accuracy_interval(right, seed),
        balanced_accuracy=balanced_interval(right, codes, size, seed),
        top=_TOP,
        top_accuracy=top_accuracy(probabilities, codes, _TOP) if size > 2 * _TOP else None,
        chance=1 / size,
        negative_log_likelihood=negative_log_likelihood(probabilities, codes),
        calibration_error=expected_calibration_error(probabilities, codes),
        bins=confidence_bins(probabilities, codes),
        by_role=_by_role(right, codes, names, novel, seed),
        categories=_category_accuracies(right, codes, counts, names),
        absent=tuple(name for name, images in zip(names, counts.sum(axis=1), strict=True) if not images),
        confused=_confused_pairs(counts, names),
    )


def _by_role(
    right: Flags, codes: Codes, names: Sequence[str], novel: Collection[str], seed: int
) -> dict[str, Interval]:
    from_web = np.array([name in novel for name in names], dtype=np.bool_)[codes]
    if from_web.all() or not from_web.any():
        return {}
    return {"base": accuracy_interval(right[~from_web], seed), "novel": accuracy_interval(right[from_web], seed)}


def _category_accuracies(
    right: Flags, codes: Codes, counts: NDArray[np.int64], names: Sequence[str]
) -> tuple[CategoryAccuracy, ...]:
    """Least accurate first, then by name."""
    hits, images = category_rates(right, codes, len(names))
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    found = []
    for code in np.flatnonzero(images).tolist():
        most = int(wrong[code].argmax())
        times = int(wrong[code, most])
        found.append(
            CategoryAccuracy(
                category=names[code],
                images=int(images[code]),
                right=int(hits[code]),
                accuracy=wilson_interval(int(hits[code]), int(images[code])),
                predicted=int(counts[:, code].sum()),
                taken_for=names[most] if times else None,
                times=times,
            )
        )
    return tuple(sorted(found, key=lambda item: (item.accuracy.value, item.category)))


def _confused_pairs(counts: NDArray[np.int64], names: Sequence[str]) -> tuple[ConfusedPair, ...]:
    pairs = [
        ConfusedPair(names[true], names[predicted], int(counts[true, predicted]))
        for true, predicted in zip(*np.nonzero(counts), strict=True)
        if true != predicted
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.images, pair.true, pair.predicted)))

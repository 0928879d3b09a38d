"""What each method believes of the samples: a soft target and a weight for every one, from the export's columns.

Shapes: N samples, C categories. q is the noise probability, w the sample weight, s the suggested category and r its
probability. A new method is one function, one line in `METHODS`, one test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.errors import TrainingError
from curation.export.reading import ExportedSet
from curation.values import CleanedSample, FlagName, FloatArray, Role
from pipelines.classification.config import ClassificationConfig, MethodName

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]

_WRONG = 0.5  # noise probability from which a web category is more likely wrong than right
# How sure a suggestion must be to be trained on. With 0.7, `relabelled` closes 0.93 of the gap between `plain` and the
# truth on birds, `cleaned` 0.88 (MLP head, 5 seeds).
_SURE = 0.7

_EVERYTHING = "Export with all columns: `curate export WS --everything ...` after `curate run WS`."


@dataclass(frozen=True, slots=True)
class TrainingTargets:
    """`targets` (N, C) float32, rows of used samples sum to 1; `weights` (N,) >= 0, mean 1 over the used ones.

    `used` (N,) bool: whether a sample is trained on at all; `weights` and `targets` of the others are 0.
    """

    targets: FloatArray
    weights: FloatArray
    used: Mask

    def restricted(self, allowed: Mask) -> TrainingTargets:
        """The same for the samples in `allowed` (N,), no other is used; weights have a mean of 1 among them."""
        return make_targets(self.targets, self.weights * allowed)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of an export as arrays (N,); categories as codes in [0, C), -1 for none of them.

    `noise_probability` is NaN where unknown, `suggested_probability` 0 where there is no suggestion. `kept` are those
    that the cleaned set keeps. `barred` are shown to no method: the same picture is in the test set.
    """

    n_categories: int
    category: Codes
    web_category: Codes
    weight: FloatArray
    noise_probability: FloatArray
    suggested: Codes
    suggested_probability: FloatArray
    kept: Mask
    barred: Mask


@dataclass(frozen=True, slots=True)
class Method:
    """One way to learn from noisy samples; `graph` adds the graph loss, `two_phases` its published schedule (A.2.7)."""

    summary: str
    targets: Callable[[Columns], TrainingTargets]
    graph: bool = False
    two_phases: bool = False


def category_names(samples: Sequence[CleanedSample], *, generalized: bool) -> tuple[str, ...]:
    """The categories of the classifier, sorted: what novel samples were gathered as, and perhaps base categories.

    A category that a person has moved a novel sample to is one only if samples were gathered as it too.
    """
    names = {sample.web_category for sample in samples if sample.role is Role.NOVEL}
    if generalized:
        names |= {sample.category for sample in samples if sample.role is Role.BASE}
    return tuple(sorted(names))


def read_columns(exported: ExportedSet, names: Sequence[str]) -> Columns:
    """The columns of all samples of an export; base samples are clean: noise probability 0."""
    samples = exported.samples
    code = {name: number for number, name in enumerate(names)}

    def codes(values: Sequence[str | None]) -> Codes:
        return np.array([-1 if value is None else code.get(value, -1) for value in values], dtype=np.int64)

    def known(values: Sequence[float | None], unknown: float) -> FloatArray:
        return np.array([unknown if value is None else value for value in values], dtype=np.float32)

    noise = known([sample.noise_probability for sample in samples], np.nan)
    noise[[sample.role is Role.BASE for sample in samples]] = 0.0
    return Columns(
        n_categories=len(names),
        category=codes([sample.category for sample in samples]),
        web_category=codes([sample.web_category for sample in samples]),
        weight=exported.weights,
        noise_probability=noise,
        suggested=codes([sample.suggested_category for sample in samples]),
        suggested_probability=known([sample.suggested_probability for sample in samples], 0.0),
        kept=np.array([sample.set_aside is None for sample in samples], dtype=np.bool_),
        barred=np.array(
            [FlagName.LEAK.value in (sample.set_aside, *sample.flags) for sample in samples], dtype=np.bool_
        ),
    )


def find_targets(method: MethodName, columns: Columns) -> TrainingTargets:
    """The targets of a method; samples of no category of the classifier, and barred ones, are not used.

    Raises `TrainingError` where a column that the method needs is empty, or nothing is left to train on.
    """
    found = METHODS[method].targets(columns)
    targets = make_targets(found.targets, found.weights * found.used * ~columns.barred)
    missing = [code for code in range(columns.n_categories) if not targets.targets[:, code].any()]
    if len(missing) == columns.n_categories:
        raise TrainingError(f"the method {method} leaves no sample to train on.", hint="Choose another --method.")
    return targets


def learned_targets(targets: TrainingTargets, config: ClassificationConfig) -> TrainingTargets:
    """The targets as they count where it is told what was learned from: V alone (zero-shot) learns from no web sample.

    The hybrid takes the export's weights only where asked to. Its self-paced ones change in every epoch; they have a
    mean of 1 in every category, so the samples count alike here.
    """
    if config.method != "hybrid" or (config.hybrid_parts != "v" and config.hybrid_weights == "samples"):
        return targets
    learned = targets.used & (config.hybrid_parts != "v")
    return make_targets(targets.targets, learned.astype(np.float32))


def method_summary(config: ClassificationConfig) -> str:
    """What the method learns from, in a few words."""
    if config.method == "hybrid" and config.hybrid_parts == "v":
        return "base samples alone, by category vectors: zero-shot (CVPR 2018)"
    if config.method == "hybrid" and config.hybrid_parts == "h":
        return "every web sample, without category vectors"
    return METHODS[config.method].summary


def make_targets(targets: FloatArray, weights: FloatArray) -> TrainingTargets:
    """Targets (N, C) whose rows need not sum to 1 and weights (N,) whose mean need not be 1, brought to both.

    A sample with weight 0, or with a row of zeros, is not used.
    """
    mass = targets.sum(axis=1)
    used = (weights > 0) & (mass > 0)
    rows = np.where(used[:, None], targets / np.where(mass > 0, mass, 1)[:, None], 0).astype(np.float32)
    mean = weights[used].mean() if used.any() else 1.0
    return TrainingTargets(rows, np.where(used, weights / mean, 0).astype(np.float32), used)


def one_hot(codes: Codes, n_categories: int) -> FloatArray:
    """Rows (N, C) with a 1 at their code; zeros for -1."""
    rows: FloatArray = (codes[:, None] == np.arange(n_categories)).astype(np.float32)
    return rows


def _plain(columns: Columns) -> TrainingTargets:
    return make_targets(one_hot(columns.web_category, columns.n_categories), np.ones(len(columns.weight), np.float32))


def _weighted(columns: Columns) -> TrainingTargets:
    return make_targets(one_hot(columns.category, columns.n_categories), np.maximum(columns.weight, 0))


def _cleaned(columns: Columns) -> TrainingTargets:
    return make_targets(one_hot(columns.category, columns.n_categories), columns.kept.astype(np.float32))


def _soft(columns: Columns) -> TrainingTargets:
    right: FloatArray = 1 - _known_noise(columns, "soft")
    return make_targets(one_hot(columns.category, columns.n_categories), right)


def _relabelled(columns: Columns) -> TrainingTargets:
    noise = _known_noise(columns, "relabelled")
    moved = (
        (noise >= _WRONG)
        & (columns.suggested >= 0)
        & (columns.suggested != columns.category)
        & (columns.suggested_probability >= _SURE)
    )
    codes = np.where(moved, columns.suggested, columns.category)
    weights = np.where(moved, columns.suggested_probability, columns.kept)
    return make_targets(one_hot(codes, columns.n_categories), weights.astype(np.float32))


def _known_noise(columns: Columns, method: MethodName) -> FloatArray:
    unknown = np.isnan(columns.noise_probability)
    if unknown.any():
        raise TrainingError(
            f"the method {method} needs a noise probability of every sample; {int(unknown.sum())} of {len(unknown)} "
            "have none in this export.",
            hint=f"{_EVERYTHING} Or choose --method cleaned.",
        )
    noise: FloatArray = columns.noise_probability
    return noise


METHODS: dict[MethodName, Method] = {
    "plain": Method("every sample as it was gathered", _plain),
    "weighted": Method("every sample with its weight (A.2.5)", _weighted),
    "graph": Method("every sample as it was gathered, and the graph loss (A.2.6)", _plain, graph=True),
    "simtrans": Method("weights, in turn with and without graph loss (A.2.7)", _weighted, graph=True, two_phases=True),
    "cleaned": Method("what the cleaned set keeps", _cleaned),
    "soft": Method("every sample, weighted by the probability that its category is right", _soft),
    "relabelled": Method("what the cleaned set keeps, and sure suggestions in place of wrong categories", _relabelled),
    "hybrid": Method("every sample, and base samples by category vectors (CVPR 2018)", _weighted),
}

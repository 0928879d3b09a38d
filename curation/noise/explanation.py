"""One sentence that says why an image is thought wrong or right, from the strongest pieces of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from curation.noise.evidence_table import COLUMNS
from curation.values import FloatArray

_SOURCES = {
    "neighbours": ("vote", "corrected_vote", "isolation"),
    "similarity": ("weight", "category_margin"),
    "probe": ("probe_pairs", "probe_uniform", "image_pairs", "image_uniform", "margin", "outlier"),
}


@dataclass(frozen=True, slots=True)
class ExplainedSample:
    """What the sentence may speak of; `spoken`: how loudly each source speaks for wrong, as of `how_loud`."""

    web_category: str
    noise_probability: float
    suggested_category: str | None
    suggested_probability: float
    weight: float
    strangers: int
    neighbours: int
    spoken: Sequence[float]


def how_loud(pieces: FloatArray) -> FloatArray:
    """What each source of evidence adds to the log-odds of wrong, (N, 3), from what each column adds, (N, F)."""
    columns = [[pieces[:, COLUMNS.index(name)] for name in names] for names in _SOURCES.values()]
    return np.stack([reduce(np.add, of_source) for of_source in columns], axis=1)


def explain(sample: ExplainedSample) -> str:
    """The two sources of evidence that speak loudest for the verdict, in one sentence."""
    suspected = sample.noise_probability >= 0.5
    share = sample.noise_probability if suspected else 1 - sample.noise_probability
    sign = 1 if suspected else -1
    said = {source: sign * loud for source, loud in zip(_SOURCES, sample.spoken, strict=True)}
    loudest = [source for source in sorted(said, key=lambda source: -said[source]) if said[source] > 0][:2]
    clauses = [_CLAUSES[source](sample) for source in loudest] or ["all the evidence taken together says so"]
    return f"Probably {'wrong' if suspected else 'right'} ({share:.0%}): {', and '.join(clauses)}."


def _neighbours(sample: ExplainedSample) -> str:
    return (
        f"{sample.strangers} of the {sample.neighbours} images most like it are listed under other categories"
        if sample.strangers * 2 > sample.neighbours
        else f"{sample.neighbours - sample.strangers} of the {sample.neighbours} images most like it are also "
        f"listed under {sample.web_category}"
    )


def _similarity(sample: ExplainedSample) -> str:
    return (
        f"its similarity to the other {sample.web_category} images is {max(sample.weight, 0):.0%} of what is "
        "usual there"
    )


def _probe(sample: ExplainedSample) -> str:
    if sample.suggested_category is None:
        return "it looks like none of the categories"
    return f"it looks like {sample.suggested_category} ({sample.suggested_probability:.0%})"


_CLAUSES = {"neighbours": _neighbours, "similarity": _similarity, "probe": _probe}

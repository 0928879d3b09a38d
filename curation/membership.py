"""Does a sample fit a category as well as clean images fit theirs?

A sample's *relative similarity* to a category is its mean similarity to the images there, divided by the mean that
those images have among themselves; for its own category this is its weight. Clean base images that the network has
not been trained on show what relative similarity clean images have: the value that only a share
`false_alarm_rate` of them miss is the threshold, transferred to the novel categories like the network itself.

This is the judgement until the calibrated noise model (`noise_probability`) takes its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from curation.config import FlagsConfig
from curation.errors import SimilarityError
from curation.values import CategorySimilarity, Evidence, Role, Sample

# A mean over fewer clean images says nothing about a tail of 5 %: 60 leave three samples below it.
_FEWEST_CLEAN = 20


@dataclass(frozen=True, slots=True)
class Membership:
    """How one sample fits its own category (`own`) and the best other one (`other`), as relative similarities.

    `own` equals the weight; both are about 1 for a typical member and fall towards 0. Fitting ends at `threshold`.
    """

    web_category: str
    own: float
    own_similarity: float | None
    other: CategorySimilarity | None
    other_similarity: float | None
    threshold: float

    @property
    def fits_own(self) -> bool:
        """Whether the sample is as similar to its category as clean images are to theirs."""
        return self.own >= self.threshold

    @property
    def fits_other(self) -> bool:
        """Whether it fits another category, and better than its own."""
        return self.other is not None and self.other.similarity >= max(self.threshold, self.own)

    @property
    def suggested_category(self) -> str:
        """The category with the highest relative similarity, its own included."""
        return self.other.category if self.other and self.other.similarity > self.own else self.web_category


def membership_threshold(clean_weights: Iterable[float], false_alarm_rate: float) -> float:
    """The weight that only a share `false_alarm_rate` of clean held-out base images stay below."""
    weights = np.fromiter(clean_weights, dtype=np.float64)
    if len(weights) < _FEWEST_CLEAN:
        raise SimilarityError(
            f"{len(weights)} clean held-out base images cannot tell what is unusual; {_FEWEST_CLEAN} are needed.",
            hint="Ingest more base images, or raise similarity.held_out in curate.toml.",
        )
    return float(np.quantile(weights, false_alarm_rate))


def novel_memberships(
    samples: Iterable[Sample], evidence: Mapping[str, Evidence], config: FlagsConfig
) -> dict[str, Membership]:
    """Sample id -> membership of every scored novel sample, the threshold taken from the clean base evidence."""
    scored = [(sample, evidence[sample.sample_id]) for sample in samples if sample.sample_id in evidence]
    clean = [item.weight for sample, item in scored if sample.role is Role.BASE]
    novel = [(sample.category, item) for sample, item in scored if sample.role is Role.NOVEL]
    return memberships(novel, membership_threshold(clean, config.false_alarm_rate)) if novel else {}


def memberships(evidence: Iterable[tuple[str, Evidence]], threshold: float) -> dict[str, Membership]:
    """Sample id -> membership, from (web category, evidence) of all scored samples of the novel categories."""
    items = list(evidence)
    typical = _typical_similarity(items)
    return {item.sample_id: _membership(category, item, typical, threshold) for category, item in items}


def _typical_similarity(items: list[tuple[str, Evidence]]) -> dict[str, float]:
    """Category -> mean similarity of its images to each other (> 0), for categories where there is one."""
    values: dict[str, list[float]] = defaultdict(list)
    for category, item in items:
        if item.own_similarity is not None:
            values[category].append(item.own_similarity)
    means = {category: float(np.mean(similarities)) for category, similarities in values.items()}
    return {category: mean for category, mean in means.items() if mean > 0}


def _membership(category: str, item: Evidence, typical: dict[str, float], threshold: float) -> Membership:
    others = [
        (CategorySimilarity(near.category, near.similarity / typical[near.category]), near.similarity)
        for near in item.nearest
        if near.category != category and near.category in typical
    ]
    best = max(others, key=lambda pair: pair[0].similarity, default=(None, None))
    return Membership(category, item.weight, item.own_similarity, best[0], best[1], threshold)

"""Noise rates: of all novel samples, of each category, of each site and query they came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from curation.noise.estimation import doubt_of, noise_rate_of
from curation.report.inputs import ReportInputs
from curation.sites import host_of
from curation.values import Sample

_FEWEST_IN_GROUP = 5  # of fewer samples an interval says "anything"; they are counted together
_MOST_GROUPS = 40  # sites or queries with a row of their own
_REST = "all others together"


@dataclass(frozen=True, slots=True)
class NoiseRate:
    """Predicted share of wrong samples, [0, 1], with a 90 % interval [`low`, `high`]; decisions count as made."""

    name: str
    samples: int
    noise_rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RateTable:
    """Noise rates of groups of samples, noisiest first; `rest` is that of all that have no row, if any."""

    rows: tuple[NoiseRate, ...]
    groups: int
    rest: NoiseRate | None = None


def total_rate(inputs: ReportInputs) -> NoiseRate | None:
    """That of all novel samples, as the last run predicted it; `None` where it did not."""
    state = inputs.stages.get("noise")
    if state is None or "noise rate" not in state.summary:
        return None
    summary = state.summary
    low, high = float(summary["noise rate, low"]), float(summary["noise rate, high"])
    return NoiseRate("all", int(summary["judged"]), float(summary["noise rate"]), low, high)


def category_rates(inputs: ReportInputs) -> RateTable:
    """As the last run predicted them."""
    rows = [
        NoiseRate(item.category, item.samples, item.noise_rate, item.low, item.high) for item in inputs.category_noise
    ]
    return RateTable(_noisiest_first(rows), len(rows))


def site_rates(inputs: ReportInputs) -> RateTable | None:
    """By the host of the page or image that a sample came from; `None` where no sample says."""
    return _grouped(inputs, lambda sample: host_of(sample.crawl.source_url))


def query_rates(inputs: ReportInputs) -> RateTable | None:
    """By the words that were searched for; `None` where no sample says."""
    return _grouped(inputs, lambda sample: (sample.crawl.query or "").strip())


def _grouped(inputs: ReportInputs, group_of: Callable[[Sample], str]) -> RateTable | None:
    """Large enough groups have a row each; samples that do not say where they are from are in none."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in inputs.estimated():
        if name := group_of(sample):
            groups[name].append(sample)
    if not groups:
        return None
    largest = sorted(groups, key=lambda name: (-len(groups[name]), name))[:_MOST_GROUPS]
    own_row = [name for name in largest if len(groups[name]) >= _FEWEST_IN_GROUP or len(groups) <= 3]
    others = [sample for name in groups if name not in set(own_row) for sample in groups[name]]
    rows = _noisiest_first([_rate_of(name, groups[name], inputs) for name in own_row])
    return RateTable(rows, len(groups), _rate_of(_REST, others, inputs) if others else None)


def _rate_of(name: str, samples: Sequence[Sample], inputs: ReportInputs) -> NoiseRate:
    chance = np.array([inputs.chance(sample) for sample in samples], dtype=np.float32)
    sure = np.array([inputs.verdict(sample) is not None for sample in samples])
    found = noise_rate_of(name, chance, sure, _spread(inputs))
    return NoiseRate(name, found.samples, found.noise_rate, found.low, found.high)


def _spread(inputs: ReportInputs) -> float:
    """How far a group may be off the model: taken to be as far as categories are on made tasks, with the same doubt."""
    learned, judged = inputs.stages.get("train-noise"), inputs.stages.get("noise")
    if learned is None or judged is None:
        return 0.0
    confidence = judged.summary.get("transfer", {}).get("confidence", 1.0)
    return float(learned.summary.get("category_spread", 0.0)) * doubt_of(float(confidence))


def _noisiest_first(rows: Sequence[NoiseRate]) -> tuple[NoiseRate, ...]:
    return tuple(sorted(rows, key=lambda row: (-row.noise_rate, row.name)))

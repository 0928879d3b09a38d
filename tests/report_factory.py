"""Small inputs of a report, made by hand, for the tests of what is said of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from curation.noise.model import NoiseCalibration, ReliabilityBin
from curation.report.inputs import ReportInputs
from curation.store.runs import Run, StageState
from curation.values import CategoryNoise, CrawlFacts, Flag, FlagName, NoiseEstimate, Role, Sample

NOW = datetime(2026, 1, 5, 8, 0)
CALIBRATION = NoiseCalibration(
    tasks=4,
    images=300,
    auroc=0.95,
    average_precision=0.9,
    calibration_error=0.02,
    rate_error=0.03,
    category_spread=0.04,
    bins=(ReliabilityBin(0.05, 0.06, 200), ReliabilityBin(0.9, 0.88, 100)),
)
TRANSFER = {"confidence": 0.8, "kinship": 0.8, "separation": 1.0}


def sample_id(number: int) -> str:
    return f"{number:016x}"


def novel(number: int, category: str = "wren", *, role: Role = Role.NOVEL, **crawl: Any) -> Sample:
    """A sample with an id of its own; `crawl` are its crawl facts."""
    return Sample(
        sample_id=sample_id(number),
        image_id=f"{category}/{number}.jpg",
        role=role,
        category=category,
        uri=f"file:///nowhere/{number}.jpg",
        version="1",
        sha256=f"{number:064x}",
        reason=None,
        source="/nowhere",
        crawl=CrawlFacts(**crawl),
    )


def estimate(sample: Sample, now: float, before: float | None = None, suggested: str | None = None) -> NoiseEstimate:
    transferred = now if before is None else before
    return NoiseEstimate(sample.sample_id, now, transferred, suggested, 0.7, "Probably so: it looks like it.")


def flag(sample: Sample, name: FlagName, *copies: Sample) -> Flag:
    return Flag(sample.sample_id, name, f"It is {name}.", tuple(copy.sample_id for copy in copies))


def stage(name: str, **summary: Any) -> StageState:
    return StageState(name, "f", "20260105T070000-aaaaaa", NOW, summary)


def made_inputs(samples: list[Sample], chances: list[float], /, **changes: Any) -> ReportInputs:
    """Inputs after a run: every sample has the noise probability at its place, a category the mean of its samples."""
    estimates = {item.sample_id: estimate(item, chance) for item, chance in zip(samples, chances, strict=True)}
    rates: dict[str, list[float]] = {}
    for item, chance in zip(samples, chances, strict=True):
        rates.setdefault(item.category, []).append(chance)
    judged = {
        "judged": len(samples),
        "noise rate": sum(chances) / max(len(chances), 1),
        "noise rate, low": 0.1,
        "noise rate, high": 0.9,
        "transfer": TRANSFER,
        "trusted": True,
        "note": "The novel images are close enough.",
        "decisions learned from": 0,
    }
    inputs = ReportInputs(
        workspace="birds",
        made_at=NOW,
        run=Run("20260105T070000-aaaaaa", "run", NOW, "0.1.0"),
        stages={
            "embed": stage("embed", encoder="builtin#1"),
            "train-similarity": stage("train-similarity", network="n1"),
            "train-noise": stage("train-noise", **{"noise model": "m1", "category_spread": 0.04}),
            "noise": stage("noise", **judged),
        },
        samples=samples,
        estimates=estimates,
        category_noise=[
            CategoryNoise(name, len(found), sum(found) / len(found), 0.0, 1.0) for name, found in sorted(rates.items())
        ],
        calibration=CALIBRATION,
    )
    return replace(inputs, **changes)

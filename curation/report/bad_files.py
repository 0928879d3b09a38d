"""Files without usable pixels, and pictures that are hardly worth looking at, each with its reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from curation.report.inputs import ReportInputs
from curation.report.pictures import Picture, picture_of
from curation.values import FlagName

_MOST_FILES = 100
_MOST_PICTURES = 18


@dataclass(frozen=True, slots=True)
class BadFile:
    """One sample whose image cannot be used."""

    role: str
    category: str
    image_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class BadFiles:
    """How many there are in all and for which reasons, most frequent first; the first of them by name."""

    unreadable: int
    reasons: tuple[tuple[str, int], ...]
    shown: tuple[BadFile, ...]
    low_quality: int
    low_quality_shown: tuple[Picture, ...]


def bad_files(inputs: ReportInputs) -> BadFiles:
    """Of all roles: a base or test image that cannot be used matters as much as a novel one."""
    bad = [sample for sample in inputs.samples if sample.sample_id in inputs.unreadable]
    bad.sort(key=lambda sample: (sample.role.value, sample.category, sample.image_id, sample.sample_id))
    poor = [sample for sample in inputs.samples if inputs.carries(sample.sample_id, FlagName.LOW_QUALITY)]
    poor.sort(key=lambda sample: (sample.category, sample.image_id, sample.sample_id))
    why = {
        flag.sample_id: flag.reason
        for flags in inputs.flags.values()
        for flag in flags
        if flag.name == FlagName.LOW_QUALITY
    }
    reasons = Counter(inputs.unreadable[sample.sample_id] for sample in bad)
    return BadFiles(
        unreadable=len(bad),
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_MOST_FILES]),
        shown=tuple(
            BadFile(sample.role.value, sample.category, sample.image_id, inputs.unreadable[sample.sample_id])
            for sample in bad[:_MOST_FILES]
        ),
        low_quality=len(poor),
        low_quality_shown=tuple(picture_of(inputs, sample, why[sample.sample_id]) for sample in poor[:_MOST_PICTURES]),
    )

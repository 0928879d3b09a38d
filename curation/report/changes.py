"""What is different from the report of an earlier run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from curation.report.inputs import ReportInputs
from curation.report.pictures import Picture, picture_of
from curation.report.rates import total_rate
from curation.report.record import ReportRecord
from curation.values import FlagName, Role

_SUSPICIONS = (FlagName.OUTLIER.value, FlagName.LABEL_FLIP.value)
_MOST_PICTURES = 12
_MOST_CATEGORIES = 8
_WORTH_TELLING = 0.02  # of a category's noise rate


@dataclass(frozen=True, slots=True)
class FlagChange:
    """How many novel samples carry a flag: before and now, how many are new to it (`of_new_samples` among them are new
    to the workspace), and how many have lost it (`removed` among them are no longer there)."""

    flag: str
    before: int
    now: int
    newly: int
    of_new_samples: int
    no_longer: int
    removed: int


@dataclass(frozen=True, slots=True)
class RateChange:
    """The noise rate of a category before and now."""

    category: str
    before: float
    now: float


@dataclass(frozen=True, slots=True)
class Changes:
    """Since the report of run `run_id`. The pictures are suspects that were none, and the reverse, clearest first."""

    run_id: str
    made_at: datetime
    rate_before: float | None
    rate_now: float | None
    new_samples: int
    gone_samples: int
    flags: tuple[FlagChange, ...]
    categories: tuple[RateChange, ...]
    newly_suspected: tuple[Picture, ...]
    no_longer_suspected: tuple[Picture, ...]

    @property
    def nothing(self) -> bool:
        """Whether samples, flags and noise rates are as they were."""
        same_flags = all(not change.newly and not change.no_longer for change in self.flags)
        return same_flags and not self.new_samples and not self.gone_samples and not self.categories


def record_of(inputs: ReportInputs, run_id: str) -> ReportRecord:
    """What the next report compares itself with."""
    total = total_rate(inputs)
    return ReportRecord(
        run_id=run_id,
        made_at=inputs.made_at,
        noise_rate=None if total is None else total.noise_rate,
        categories={item.category: item.noise_rate for item in inputs.category_noise},
        samples=frozenset(sample.sample_id for sample in inputs.of_role(Role.NOVEL)),
        flagged=_flagged(inputs),
    )


def changes_since(inputs: ReportInputs, before: ReportRecord) -> Changes:
    """Compare the state now with a record."""
    now = record_of(inputs, "")
    was, suspected = _suspects(before.flagged), _suspects(now.flagged)
    return Changes(
        run_id=before.run_id,
        made_at=before.made_at,
        rate_before=before.noise_rate,
        rate_now=now.noise_rate,
        new_samples=len(now.samples - before.samples),
        gone_samples=len(before.samples - now.samples),
        flags=tuple(_flag_change(name, before, now) for name in sorted(before.flagged.keys() | now.flagged.keys())),
        categories=_rate_changes(before.categories, now.categories),
        newly_suspected=_pictures(inputs, suspected - was, doubtful_first=True),
        no_longer_suspected=_pictures(inputs, (was - suspected) & now.samples, doubtful_first=False),
    )


def _flagged(inputs: ReportInputs) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for sample in inputs.of_role(Role.NOVEL):
        for flag in inputs.flags.get(sample.sample_id, ()):
            found.setdefault(flag.name.value, set()).add(sample.sample_id)
    return {name: frozenset(ids) for name, ids in found.items()}


def _suspects(flagged: dict[str, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*(flagged.get(name, frozenset()) for name in _SUSPICIONS))


def _flag_change(name: str, before: ReportRecord, now: ReportRecord) -> FlagChange:
    was, carries = before.flagged.get(name, frozenset()), now.flagged.get(name, frozenset())
    return FlagChange(
        flag=name,
        before=len(was),
        now=len(carries),
        newly=len(carries - was),
        of_new_samples=len((carries - was) - before.samples),
        no_longer=len(was - carries),
        removed=len((was - carries) - now.samples),
    )


def _rate_changes(before: dict[str, float], now: dict[str, float]) -> tuple[RateChange, ...]:
    both = [RateChange(name, before[name], now[name]) for name in before.keys() & now.keys()]
    told = [change for change in both if abs(change.now - change.before) >= _WORTH_TELLING]
    told.sort(key=lambda change: (-abs(change.now - change.before), change.category))
    return tuple(told[:_MOST_CATEGORIES])


def _pictures(inputs: ReportInputs, sample_ids: Iterable[str], *, doubtful_first: bool) -> tuple[Picture, ...]:
    wanted = set(sample_ids)
    pictures = [picture_of(inputs, sample) for sample in inputs.of_role(Role.NOVEL) if sample.sample_id in wanted]
    sign = -1 if doubtful_first else 1
    pictures.sort(key=lambda picture: (sign * (picture.noise_probability or 0.0), picture.sample_id))
    return tuple(pictures[:_MOST_PICTURES])

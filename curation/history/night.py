"""What is remembered of one night: small values, plain enough for a file that is never thrown away."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from curation.history.mix import Mix
from curation.history.shift import Shift


@dataclass(frozen=True, slots=True)
class NoiseLevel:
    """Predicted share of wrong images, [0, 1], with a 90 % interval [`low`, `high`]."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class NewImages:
    """The images that were not there the night before.

    `unreadable` of them have no usable pixels. Of the `judged` ones the noise model knows; `noise_rate` is their mean
    noise probability, [0, 1], and `noise_error` its standard error, each `None` where too few are judged (1, 2).
    """

    images: int
    unreadable: int
    judged: int
    noise_rate: float | None = None
    noise_error: float | None = None


@dataclass(frozen=True, slots=True)
class CategoryNight:
    """One novel category. `flagged` samples carry the flag outlier or label flip, `decisions` are those that count.

    `kept` is how many of its samples were in the night's export. `new` and `shift` are `None` where nothing is new or
    where it is not known what is; a shift also where fewer than 20 new images can be compared.
    """

    category: str
    images: int
    decisions: int
    flagged: int
    noise: NoiseLevel | None = None
    kept: int | None = None
    new: NewImages | None = None
    shift: Shift | None = None


@dataclass(frozen=True, slots=True)
class PromiseNight:
    """Whether the export could promise to have at most `asked` wrong ones among its novel samples, [0, 1].

    Of `kept` novel samples the expected share that is wrong, with its 90 % interval; where the promise cannot be kept
    these are unknown, and `reason` says why.
    """

    asked: float
    held: bool
    kept: int | None = None
    noise: NoiseLevel | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NightFacts:
    """One night. Times are UTC; `durations_s` are seconds by step; `samples` are numbers of them by role.

    `images`, `unreadable`, `flagged` and `decisions` are of the novel samples. `new` and `gone` are in comparison with
    the night before, and `None` where that is not known: on the first night, and where its list of samples is lost
    (`note` says so). `sites` and `queries` say where the new images came from, `None` where nothing is new. `shift`
    compares the new images with earlier ones of the same categories, `None` where there are too few of either.
    """

    night_id: str
    started_at: datetime
    finished_at: datetime
    status: str
    samples: dict[str, int]
    images: int
    unreadable: int
    flagged: int
    decisions: int
    categories: tuple[CategoryNight, ...] = ()
    noise: NoiseLevel | None = None
    new: NewImages | None = None
    gone: int | None = None
    promise: PromiseNight | None = None
    shift: Shift | None = None
    sites: Mix | None = None
    queries: Mix | None = None
    durations_s: dict[str, float] = field(default_factory=dict)
    note: str = ""

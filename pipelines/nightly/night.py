"""One night while it goes on, and what is left of it when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from curation.config import Config
from curation.flow import StageResult
from curation.history.alarm import Alarm
from curation.history.night import PromiseNight
from curation.progress import Progress
from curation.stages.ingest import IngestReport
from curation.workspace import Workspace
from pipelines.nightly.log import NightLog


@dataclass
class Night:
    """What the steps of a night share: each reads what it needs and adds what it found.

    `problems` are sentences: the night went on, and ends with exit status 1. `kept` are the novel samples of each web
    category in `export`, the newest one; `exported` says that it was made tonight.
    """

    workspace: Workspace
    config: Config
    night_id: str
    started_at: datetime
    log: NightLog
    progress: Progress
    problems: list[str] = field(default_factory=list)
    sources: list[IngestReport] = field(default_factory=list)
    stages: list[StageResult] = field(default_factory=list)
    promise: PromiseNight | None = None
    kept: Mapping[str, int] | None = None
    export: Path | None = None
    exported: bool = False
    alarms: tuple[Alarm, ...] = ()
    durations_s: dict[str, float] = field(default_factory=dict)

    def problem(self, sentence: str) -> None:
        """Something is wrong that does not end the night."""
        self.problems.append(sentence)
        self.log.say("problem", f"PROBLEM: {sentence}", problem=sentence)


@dataclass(frozen=True, slots=True)
class NightResult:
    """A night that came to its end. `status` is `done` or `problems`; `folder` has its logs and its report."""

    night_id: str
    status: str
    problems: tuple[str, ...]
    alarms: tuple[str, ...]
    sources: tuple[IngestReport, ...]
    stages: dict[str, bool]
    promise: PromiseNight | None
    export: Path | None
    exported: bool
    durations_s: dict[str, float]
    folder: Path


def result_of(night: Night) -> NightResult:
    return NightResult(
        night_id=night.night_id,
        status="problems" if night.problems else "done",
        problems=tuple(night.problems),
        alarms=tuple(alarm.sentence for alarm in night.alarms),
        sources=tuple(night.sources),
        stages={stage.stage: stage.ran for stage in night.stages},
        promise=night.promise,
        export=night.export,
        exported=night.exported,
        durations_s=dict(night.durations_s),
        folder=night.log.folder,
    )

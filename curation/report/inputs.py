"""What a report is made from, gathered once, and how sure it is of each novel sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from curation.audit_plan import Audit
from curation.history.keeping import NO_HISTORY, History
from curation.noise.model import NoiseCalibration
from curation.report.record import ReportRecord
from curation.store.runs import Run, StageState
from curation.values import (
    CategoryNoise,
    Decision,
    DecisionAction,
    Evidence,
    Flag,
    NoiseEstimate,
    Role,
    Sample,
)


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """What the published snapshot and the journal know, by sample id where it is of a sample.

    `run` is the run whose results these are, `None` before the first. `unreadable` says why a sample has no pixels.
    `calibration` is what the noise model knows of its own errors, `before` the record of the report before this one;
    each `None` where there is none. `damaged` names records that could not be read. `history` are the nights so far.
    """

    workspace: str
    made_at: datetime
    noise_enabled: bool = True
    suspected_at: float = 0.5
    run: Run | None = None
    stages: Mapping[str, StageState] = field(default_factory=dict)
    samples: Sequence[Sample] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    estimates: Mapping[str, NoiseEstimate] = field(default_factory=dict)
    category_noise: Sequence[CategoryNoise] = ()
    flags: Mapping[str, Sequence[Flag]] = field(default_factory=dict)
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    audits: Sequence[Audit] = ()
    calibration: NoiseCalibration | None = None
    before: ReportRecord | None = None
    damaged: tuple[str, ...] = ()
    history: History = NO_HISTORY

    def of_role(self, role: Role) -> list[Sample]:
        """The samples of one role, in their order."""
        return [sample for sample in self.samples if sample.role is role]

    def estimated(self) -> list[Sample]:
        """The novel samples that the noise model has spoken of."""
        return [sample for sample in self.of_role(Role.NOVEL) if sample.sample_id in self.estimates]

    def undecided(self) -> list[Sample]:
        """The novel samples that the noise model has spoken of and a person has not."""
        return [sample for sample in self.estimated() if self.verdict(sample) is None]

    def verdict(self, sample: Sample) -> bool | None:
        """Whether a person has found the web category wrong; `None` where nobody has said so or the contrary."""
        decision = self.decisions.get(sample.sample_id)
        if decision is None or decision.action in (DecisionAction.UNSURE, DecisionAction.UNDO):
            return None
        return decision.action is not DecisionAction.KEEP and decision.category != sample.category

    def chance(self, sample: Sample) -> float:
        """The probability that the web category is wrong: 0 or 1 where a person has decided, else the estimate."""
        verdict = self.verdict(sample)
        return self.estimates[sample.sample_id].noise_probability if verdict is None else float(verdict)

    def carries(self, sample_id: str, *names: str) -> bool:
        """Whether a sample has one of these flags."""
        return any(flag.name in names for flag in self.flags.get(sample_id, ()))

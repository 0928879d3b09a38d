"""What was drawn for an audit: the plan that outlives the catalogue, because people's decisions belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AuditStratum:
    """Some samples of similar noise probability, and those of them that were drawn at random.

    `population` counts the samples; `lowest` and `highest` are the ends of their noise probabilities and `predicted` is
    the mean, each `None` where no noise model has spoken.
    """

    population: int
    lowest: float | None
    highest: float | None
    predicted: float | None
    drawn: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.drawn) <= self.population:
            raise ValueError(f"an audit draws 1 to {self.population} samples of a stratum, not {len(self.drawn)}")


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """A random sample of the undecided novel samples of a cleaned set, drawn to measure its noise.

    `confirmed` counts the samples of the set that a person had reviewed before: they were not drawn and count as right.
    `promise` is the noise that was promised of the set, if any; `content_hash` identifies it; `seed` repeats the draw.
    """

    seed: int
    content_hash: str
    promise: float | None
    confirmed: int
    strata: tuple[AuditStratum, ...]

    @property
    def population(self) -> int:
        """Samples that could have been drawn."""
        return sum(stratum.population for stratum in self.strata)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Ids of all samples drawn, in an order that says nothing about their noise (ids are digests)."""
        return tuple(sorted(sample_id for stratum in self.strata for sample_id in stratum.drawn))


@dataclass(frozen=True, slots=True)
class Audit:
    """A plan as the journal keeps it: its number, and when it was drawn (UTC)."""

    audit_id: int
    planned_at: datetime
    plan: AuditPlan

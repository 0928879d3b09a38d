"""The decisions that were made, with filters, and their reversal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from curation.config import Config
from curation.errors import ReviewError
from curation.review.values import annotator_name, is_lead
from curation.store.decision_history import (
    DecisionFilter,
    DecisionRecord,
    count_decisions,
    list_decisions,
    read_annotators,
)
from curation.store.decisions import append_undo, standing_by_number
from curation.store.journal import begin_writing, journal
from curation.store.samples import samples_by_id
from curation.store.snapshot import is_published, snapshot
from curation.values import Decision, Sample
from curation.workspace import Workspace

EVERYTHING = DecisionFilter()
_LARGEST = 1000


@dataclass(frozen=True, slots=True)
class ListedDecision:
    """A decision and the sample it is on, `None` where the newest snapshot does not know it any more."""

    record: DecisionRecord
    sample: Sample | None


@dataclass(frozen=True, slots=True)
class DecisionsPage:
    """Some decisions, newest first, of `total` that match; `next_before` asks for those after, `None` at the end."""

    rows: tuple[ListedDecision, ...]
    total: int
    next_before: int | None


def decisions_page(
    workspace: Workspace,
    wanted: DecisionFilter = EVERYTHING,
    *,
    size: int = 50,
    before: int | None = None,
) -> DecisionsPage:
    """The newest `size` decisions that match, of numbers below `before`; `ReviewError` for an impossible size."""
    if not 1 <= size <= _LARGEST:
        raise ReviewError(f"1 to {_LARGEST} decisions are listed at once, not {size}.", hint="Choose a size between.")
    with journal(workspace.journal) as connection:
        records = list_decisions(connection, wanted, before=before, limit=size + 1)
        total = count_decisions(connection, wanted)
    shown = records[:size]
    samples: dict[str, Sample] = {}
    if is_published(workspace):
        with snapshot(workspace) as connection_to_snapshot:
            samples = samples_by_id(connection_to_snapshot, [record.decision.sample_id for record in shown])
    return DecisionsPage(
        tuple(ListedDecision(record, samples.get(record.decision.sample_id)) for record in shown),
        total,
        shown[-1].decision_id if len(records) > size else None,
    )


def annotators(workspace: Workspace) -> list[str]:
    """Everyone who has decided anything, by name."""
    with journal(workspace.journal) as connection:
        return read_annotators(connection)


def revert(workspace: Workspace, config: Config, annotator: str, decision_ids: Sequence[int]) -> list[Decision]:
    """Take back the decisions with these numbers that still stand, by new records; returns them, newest first.

    Leads may revert anybody's decision, everyone their own; raises `ReviewError` otherwise, and reverts none then.
    """
    annotator = annotator_name(annotator)
    with journal(workspace.journal) as connection:
        begin_writing(connection)
        standing = standing_by_number(connection, decision_ids)
        others = sorted({decision.annotator for _, decision in standing} - {annotator})
        if others and not is_lead(annotator, config.review):
            raise ReviewError(
                f"{annotator} may not revert what {' and '.join(others)} decided.",
                hint="A lead may: `leads` in the section [review] of curate.toml names them.",
            )
        append_undo(connection, annotator, standing, datetime.now(UTC), context={"revert": True})
    return [decision for _, decision in standing]

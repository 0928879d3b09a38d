"""`curate export`: the cleaned set as it stands now, written in a format that training pipelines read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from curation.config import Config
from curation.current_set import (
    CurrentSet,
    StoredFacts,
    current_set,
    noise_calibration,
    noise_probabilities,
    read_facts,
)
from curation.errors import ExportError
from curation.export.writing import ExportReceipt, export_cleaned_set
from curation.progress import Progress, silent
from curation.promise import PromiseStatement
from curation.review_budget import ReviewPlan, plan_reviews, samples_to_review
from curation.review_list import review_list
from curation.sources.location import read_bytes
from curation.store.cleaned_sets import put_cleaned_set
from curation.store.connection import catalog
from curation.values import CleanedSet
from curation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written, what was promised of it, and what the reviews that were budgeted would give."""

    receipt: ExportReceipt
    promise: PromiseStatement | None
    reviews: ReviewPlan | None


def export(
    workspace: Workspace,
    config: Config,
    *,
    export_format: str,
    out: Path,
    promise: float | None = None,
    budget: int | None = None,
    hard_links: bool = False,
    overwrite: bool = False,
    with_base: bool = False,
    progress: Progress = silent,
) -> ExportResult:
    """Write the cleaned set of all novel samples (and the base ones, at weight 1) and record it in the catalogue.

    With `promise`, at most this share of the novel samples is wrong, or `ExportError` says what can be promised. With
    `budget`, the export holds `review.csv`: the samples of it whose review would take most errors out. A promise holds
    of the export as it is written, before any review; afterwards an export under the same promise keeps more.
    """
    if budget is not None and budget < 1:
        raise ExportError(f"a budget is a number of reviews from 1, not {budget}.", hint="Leave it out for none.")
    facts = read_facts(workspace, with_base=with_base)
    found = current_set(facts, config, promise)
    reviews = None if budget is None else _planned_reviews(facts, config, found, budget)
    receipt = export_cleaned_set(
        _with_statements(found, reviews),
        out,
        export_format,
        read_bytes=read_bytes,
        hard_links=hard_links,
        overwrite=overwrite,
        review_list=None if reviews is None else _list_to_review(facts, found, reviews),
        progress=progress,
    )
    with catalog(workspace) as connection:
        put_cleaned_set(
            connection,
            receipt.content_hash,
            export_format,
            out.absolute(),
            kept=receipt.kept,
            set_aside=receipt.set_aside,
        )
    return ExportResult(receipt, found.promise, reviews)


def _planned_reviews(facts: StoredFacts, config: Config, found: CurrentSet, budget: int) -> ReviewPlan:
    return plan_reviews(
        noise_probabilities(found.undecided),
        budget,
        noise_calibration(facts, config),
        confirmed=found.confirmed,
        promise=None if found.promise is None else found.promise.promise,
        set_aside=noise_probabilities(found.beyond),
    )


def _list_to_review(facts: StoredFacts, found: CurrentSet, reviews: ReviewPlan) -> bytes:
    chosen = samples_to_review(noise_probabilities(found.undecided), reviews.reviews)
    return review_list((found.undecided[position] for position in chosen), facts.estimates)


def _with_statements(found: CurrentSet, reviews: ReviewPlan | None) -> CleanedSet:
    """The cleaned set with what is said of its noise in its provenance, which goes into the manifest."""
    said = {"promise": found.promise, "reviews": reviews}
    statements = {name: asdict(statement) for name, statement in said.items() if statement is not None}
    return replace(found.cleaned_set, provenance=found.cleaned_set.provenance | statements)

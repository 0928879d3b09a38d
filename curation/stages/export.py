"""`curate export`: the cleaned set as it stands now, written in a format that training pipelines read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from curation.config import Config
from curation.current_set import (
    CurrentSet,
    StoredFacts,
    current_set,
    noise_calibration,
    noise_probabilities,
    read_facts,
    scoring_network,
)
from curation.errors import ExportError
from curation.export.names import SIMILARITY_NETWORK
from curation.export.splits import split_samples
from curation.export.tables import REVIEW
from curation.export.writing import ExportReceipt, export_cleaned_set
from curation.progress import Progress, silent
from curation.promise import PromiseStatement
from curation.remaining_noise import NoiseForecast, forecast_noise
from curation.review_budget import ReviewPlan, plan_reviews, samples_to_review
from curation.review_list import review_list
from curation.sources.location import read_bytes
from curation.store.cleaned_sets import put_cleaned_set
from curation.store.journal import journal
from curation.values import CleanedSet
from curation.workspace import Workspace, refuse_read_only


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
    everything: bool = False,
    split: Mapping[str, float] | None = None,
    progress: Progress = silent,
) -> ExportResult:
    """Write the cleaned set of all novel samples (and the base ones, at weight 1) and record it in the journal.

    With `promise`, at most this share of the novel samples is wrong, or `ExportError` says what can be promised. With
    `budget`, the export holds `review.csv`: the samples of it whose review would take most errors out. A promise holds
    of the export as it is written, before any review; afterwards an export under the same promise keeps more.

    With `everything`, the samples that would be set aside are in it too, marked in `set_aside` with the reason, unless
    they are unreadable or a person dropped them; a promise, and a budget, then speak of the unmarked samples only.
    `split` are the shares of its parts by name (`curation.export.splits`).
    """
    if budget is not None and budget < 1:
        raise ExportError(f"a budget is a number of reviews from 1, not {budget}.", hint="Leave it out for none.")
    refuse_read_only(workspace)  # it could be written elsewhere, but not recorded
    facts = read_facts(workspace, with_base=with_base)
    found = current_set(facts, config, promise, everything=everything)
    reviews = None if budget is None else _planned_reviews(facts, config, found, budget)
    network, missing = _similarity_network(workspace, facts)
    tables = {} if reviews is None else {REVIEW: _list_to_review(facts, found, reviews)}
    receipt = export_cleaned_set(
        _split(_with_statements(found, reviews, _expected_noise(facts, config, found)), split),
        out,
        export_format,
        read_bytes=read_bytes,
        hard_links=hard_links,
        overwrite=overwrite,
        beside=tables | network,
        notes=[*missing, *_marks(found.cleaned_set, promise)],
        progress=progress,
    )
    with journal(workspace.journal) as connection:
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


def _similarity_network(workspace: Workspace, facts: StoredFacts) -> tuple[dict[str, bytes], list[str]]:
    """The file of the network that the weights are of, by name; or none, and a note that says why."""
    trained = facts.stages["train-similarity"].summary
    if not workspace.network.is_file():
        return {}, ["The similarity network is not in the export: the workspace holds none."]
    data = workspace.network.read_bytes()
    if trained["network"] != scoring_network(facts.stages) or trained.get("file") != sha256(data).hexdigest():
        return {}, ["The similarity network is not in the export: that of the workspace is not the one that scored it."]
    return {SIMILARITY_NETWORK: data}, []


def _marks(cleaned_set: CleanedSet, promise: float | None) -> list[str]:
    """What a reader must know of an export of everything."""
    marked = sum(sample.set_aside is not None for sample in cleaned_set.kept)
    if not marked:
        return []
    held = "" if promise is None else f" The promise noise<={promise:g} holds of the unmarked samples only."
    return [
        f"{marked} of {len(cleaned_set.kept)} samples are marked in set_aside: the cleaned set leaves them out.{held}"
    ]


def _split(cleaned_set: CleanedSet, shares: Mapping[str, float] | None) -> CleanedSet:
    if shares is None:
        return cleaned_set
    kept = split_samples(cleaned_set.kept, shares)
    return replace(cleaned_set, kept=kept, provenance=cleaned_set.provenance | {"split": dict(shares)})


def _expected_noise(facts: StoredFacts, config: Config, found: CurrentSet) -> NoiseForecast | None:
    """What is expected of the set, without the marked ones; `None` where the noise model has not spoken of all."""
    if any(sample.noise_probability is None for sample in found.undecided):
        return None
    known = noise_probabilities(found.undecided)
    return forecast_noise(known, noise_calibration(facts, config), confirmed=found.confirmed)


def _with_statements(found: CurrentSet, reviews: ReviewPlan | None, noise: NoiseForecast | None) -> CleanedSet:
    """The cleaned set with what is said of its noise in its provenance, which goes into the manifest."""
    said = {"promise": found.promise, "reviews": reviews, "noise": noise}
    statements = {name: asdict(statement) for name, statement in said.items() if statement is not None}
    return replace(found.cleaned_set, provenance=found.cleaned_set.provenance | statements)

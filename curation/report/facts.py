"""Everything that a report says, as small values: what the page draws and `--json` prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from curation.noise.model import NoiseCalibration
from curation.report.bad_files import BadFiles, bad_files
from curation.report.budget import BudgetFacts, budget_facts
from curation.report.changes import Changes, changes_since
from curation.report.copies import CopyFacts, copy_facts
from curation.report.decided import DecisionFacts, decision_facts
from curation.report.headline import Headline, gaps, headline
from curation.report.inputs import ReportInputs
from curation.report.nights import NightsFacts, nights_facts
from curation.report.pictures import Picture, Sheets, category_sheets
from curation.report.rates import RateTable, category_rates, query_rates, site_rates


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """One field a section; `None` where there is nothing to say. `gaps` are sentences on what is missing."""

    headline: Headline
    gaps: tuple[str, ...]
    categories: RateTable
    sites: RateTable | None
    queries: RateTable | None
    calibration: NoiseCalibration | None
    budget: BudgetFacts | None
    sheets: Sheets
    copies: tuple[CopyFacts, ...]
    bad_files: BadFiles
    decisions: DecisionFacts
    changes: Changes | None
    nights: NightsFacts | None


def report_facts(inputs: ReportInputs) -> ReportFacts:
    """Work out every section."""
    return ReportFacts(
        headline=headline(inputs),
        gaps=tuple(gaps(inputs)),
        categories=category_rates(inputs),
        sites=site_rates(inputs),
        queries=query_rates(inputs),
        calibration=inputs.calibration,
        budget=budget_facts(inputs),
        sheets=category_sheets(inputs),
        copies=copy_facts(inputs),
        bad_files=bad_files(inputs),
        decisions=decision_facts(inputs),
        changes=None if inputs.before is None else changes_since(inputs, inputs.before),
        nights=nights_facts(inputs),
    )


def pictures_in(facts: ReportFacts) -> Iterator[Picture]:
    """Every picture that the page shows, some more than once."""
    for sheet in facts.sheets.shown:
        yield from chain(sheet.suspicious, sheet.trusted)
    for kind in facts.copies:
        yield from chain.from_iterable(group.pictures for group in kind.shown)
    yield from facts.bad_files.low_quality_shown
    yield from (move.picture for move in facts.decisions.moves)
    if facts.changes is not None:
        yield from chain(facts.changes.newly_suspected, facts.changes.no_longer_suspected)

"""What the screens list, as rows of plain text and numbers: column name -> values, in the order shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from app.review.wording import percent, shown_name
from curation.export.difference import ExportDifference
from curation.promise import PromiseStatement
from curation.review.agreement import Agreement
from curation.review.gold_accuracy import GoldAccuracy
from curation.review.history import ListedDecision
from curation.review.overview import CategoryProgress, Pace
from curation.values import CleanedSet, DecisionAction

Columns = dict[str, list[Any]]

_VERDICT_WORDS = {
    DecisionAction.KEEP: "✓ keep",
    DecisionAction.DROP: "✕ drop",
    DecisionAction.RELABEL: "→ ",
    DecisionAction.UNSURE: "? unsure",
}


def progress_columns(rows: Sequence[CategoryProgress]) -> Columns:
    """How far every category is; `Decided` is a share, [0, 1], drawn as a bar."""
    return {
        "Category": [shown_name(row.category) for row in rows],
        "Decided": [(row.kept + row.wrong) / row.samples if row.samples else 0.0 for row in rows],
        "Images": [row.samples for row in rows],
        "Kept": [row.kept for row in rows],
        "Wrong": [row.wrong for row in rows],
        "Waiting": [row.waiting for row in rows],
        "Second look": [row.second_look for row in rows],
        "In audit": [row.in_audit for row in rows],
        "Errors left (expected)": [round(row.errors_left, 1) for row in rows],
        "Noise predicted": [
            f"{percent(row.predicted_noise.noise_rate)} ({percent(row.predicted_noise.low)} to "
            f"{percent(row.predicted_noise.high)})"
            if row.predicted_noise
            else ""
            for row in rows
        ],
        "Wrong of decided": [percent(row.found_noise) for row in rows],
    }


def totals(rows: Sequence[CategoryProgress], speed: Pace) -> dict[str, str]:
    """The figures on top of the overview."""
    decided, samples = sum(row.kept + row.wrong for row in rows), sum(row.samples for row in rows)
    wrong = sum(row.wrong for row in rows)
    return {
        "Images decided": f"{decided:,} of {samples:,}",
        "Found wrong": f"{wrong:,}",
        "Errors left (expected)": f"{sum(row.errors_left for row in rows):,.0f}",
        "Second looks": f"{sum(row.second_look for row in rows):,}",
        "Images per hour": "" if speed.images_per_hour is None else f"{speed.images_per_hour:,.0f}",
        f"Reviews left to noise ≤ {speed.promise:.1%}": "" if speed.reviews_left is None else f"{speed.reviews_left:,}",
        "Minutes left": "" if speed.minutes_left is None else f"{speed.minutes_left:,.0f}",
    }


def people_columns(speed: Pace, gold: Sequence[GoldAccuracy]) -> Columns:
    """Everyone's pace, and how often they are right where the answer is known."""
    accuracy = {one.annotator: one for one in gold}
    people = speed.annotators
    checks = [accuracy.get(one.annotator) for one in people]
    return {
        "Annotator": [one.annotator for one in people],
        "Images": [one.images for one in people],
        "Hours of work": [round(one.hours, 2) for one in people],
        "Images per hour": [None if one.images_per_hour is None else round(one.images_per_hour) for one in people],
        "Checks right": ["" if one is None else f"{one.right} of {one.answered}" for one in checks],
        "Accuracy (90 % interval)": [
            "" if one is None or one.accuracy is None
            else f"{percent(one.accuracy)} ({percent(one.low)} to {percent(one.high)})"
            for one in checks
        ],
    }  # fmt: skip


def agreement_columns(found: Agreement) -> Columns:
    """How far every two annotators agree on what both have judged."""
    return {
        "Annotators": [f"{pair.first} and {pair.second}" for pair in found.pairs],
        "Images of both": [pair.samples for pair in found.pairs],
        "Agreed": [pair.agreed for pair in found.pairs],
        "Cohen's kappa": [None if pair.kappa is None else round(pair.kappa, 2) for pair in found.pairs],
    }


def decision_columns(rows: Sequence[ListedDecision]) -> Columns:
    """Decisions as people read them."""
    records = [row.record for row in rows]
    return {
        "When (UTC)": [record.decided_at.strftime("%Y-%m-%d %H:%M:%S") for record in records],
        "Annotator": [record.decision.annotator for record in records],
        "Verdict": [
            _VERDICT_WORDS[record.decision.action] + shown_name(record.decision.category or "") for record in records
        ],
        "Asked about": [shown_name(str(record.decision.context.get("category", ""))) for record in records],
        "Image": [record.decision.sample_id if row.sample is None else row.sample.image_id
                  for row, record in zip(rows, records, strict=True)],
        "Key": [str(record.decision.context.get("key", "")) for record in records],
        "Second look": [record.decision.second_look for record in records],
        "Taken back by": [record.taken_back_by or "" for record in records],
        "Run": [str(record.decision.context.get("run", "")) for record in records],
    }  # fmt: skip


def set_aside_columns(cleaned: CleanedSet) -> Columns:
    """How many samples are set aside for which reason, most frequent first."""
    counted = Counter(sample.reason for sample in cleaned.set_aside).most_common()
    return {
        "Set aside because": [shown_name(reason) for reason, _ in counted],
        "Images": [number for _, number in counted],
    }


def kept_columns(cleaned: CleanedSet) -> Columns:
    """How many samples of each category would be exported."""
    counted = sorted(Counter(sample.category for sample in cleaned.kept).items())
    return {"Category": [shown_name(name) for name, _ in counted], "Images": [number for _, number in counted]}


def promise_facts(promise: PromiseStatement) -> str:
    """What a promise says, in sentences."""
    said = (
        f"Of {promise.candidates:,} samples {promise.kept:,} are kept and {promise.set_aside:,} set aside as doubtful"
        f"{'' if promise.threshold is None else f', from noise probability {promise.threshold:.3f} on'}."
    )
    if promise.precision is not None and promise.recall is not None:
        said += (
            f" {percent(promise.precision)} of those are expected to be wrong, and with them "
            f"{percent(promise.recall)} of all wrong ones are out."
        )
    return f"{said} How far the noise model may be off: {promise.calibration}."


def difference_columns(found: ExportDifference) -> Columns:
    """What came, went and moved, one row a kind and category."""
    rows = [("unchanged", "", found.same)]
    rows += [("added", shown_name(name), number) for name, number in found.added.items()]
    rows += [("removed", shown_name(name), number) for name, number in found.removed.items()]
    rows += [("added because", shown_name(reason), number) for reason, number in found.added_because.items()]
    rows += [("moved", f"{shown_name(a)} → {shown_name(b)}", number) for (a, b), number in found.moved.items()]
    rows += [("removed because", shown_name(reason), number) for reason, number in found.removed_because.items()]
    names = ("Change", "What", "Images")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}

"""One sample as a report shows it, and the pictures of each category that are worth looking at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from curation.report.inputs import ReportInputs
from curation.values import Decision, DecisionAction, FlagName, Role, Sample

_A_SHEET = 6  # pictures of each kind in one category: a row on a wide screen
_MOST_PICTURES = 480  # of all sheets together: about 3 MB of thumbnails
_FEWEST = 3  # of each kind, before categories are left out


@dataclass(frozen=True, slots=True)
class Picture:
    """What is said of one sample beside its thumbnail; `None` and empty where nothing is known.

    `note` is what matters where it is shown: why it is here. `suspected` is a matter of colour: flagged as wrong.
    """

    sample_id: str
    image_id: str
    role: str
    category: str
    uri: str
    sha256: str | None
    noise_probability: float | None
    suggested_category: str | None
    explanation: str
    weight: float | None
    decision: str
    suspected: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class CategorySheet:
    """The most suspicious and the most trusted undecided samples of one category, each kind best examples first."""

    category: str
    images: int
    decided: int
    noise_rate: float | None
    suspicious: tuple[Picture, ...]
    trusted: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Sheets:
    """The sheets that are shown, noisiest category first, and how many categories have none for want of room.

    `ranked_by` is "noise probability", or "weight" where no noise model has spoken.
    """

    shown: tuple[CategorySheet, ...]
    left_out: int
    a_kind: int
    ranked_by: str


def picture_of(inputs: ReportInputs, sample: Sample, note: str = "") -> Picture:
    """Gather what is known of a sample."""
    estimate, evidence = inputs.estimates.get(sample.sample_id), inputs.evidence.get(sample.sample_id)
    decision = inputs.decisions.get(sample.sample_id)
    return Picture(
        sample_id=sample.sample_id,
        image_id=sample.image_id,
        role=sample.role.value,
        category=sample.category,
        uri=sample.uri,
        sha256=sample.sha256,
        noise_probability=None if estimate is None else estimate.noise_probability,
        suggested_category=None if estimate is None else estimate.suggested_category,
        explanation="" if estimate is None else estimate.explanation,
        weight=None if evidence is None else evidence.weight,
        decision="" if decision is None else _told(decision),
        suspected=inputs.carries(sample.sample_id, FlagName.OUTLIER, FlagName.LABEL_FLIP),
        note=note,
    )


def _told(decision: Decision) -> str:
    done = {
        DecisionAction.KEEP: "kept",
        DecisionAction.DROP: "dropped",
        DecisionAction.RELABEL: f"relabelled to {decision.category}",
        DecisionAction.UNSURE: "unsure",
        DecisionAction.UNDO: "undone",
    }
    return f"{done[decision.action]} by {decision.annotator}"


def category_sheets(inputs: ReportInputs) -> Sheets:
    """A sheet for each novel category, as many and as large as there is room for.

    Only undecided samples are shown: what a person has seen need not be looked at again. A sample is on its sheet once.
    """
    by_noise = bool(inputs.estimates)
    doubt = (
        {name: item.noise_probability for name, item in inputs.estimates.items()}
        if by_noise
        else {name: -item.weight for name, item in inputs.evidence.items()}
    )
    members: dict[str, list[Sample]] = defaultdict(list)
    for sample in inputs.of_role(Role.NOVEL):
        if sample.sample_id in doubt:
            members[sample.category].append(sample)
    rates = {item.category: item.noise_rate for item in inputs.category_noise}
    names = sorted(members, key=lambda name: (-rates.get(name, 0.0), name))
    a_kind, number = _room(len(names))
    shown = []
    for name in names[:number]:
        open_ones = [sample for sample in members[name] if inputs.verdict(sample) is None]
        ranked = sorted(open_ones, key=lambda sample: (-doubt[sample.sample_id], sample.sample_id))
        most = min(a_kind, (len(ranked) + 1) // 2)
        trusted = ranked[most:][::-1][:a_kind]
        shown.append(
            CategorySheet(
                category=name,
                images=len(members[name]),
                decided=len(members[name]) - len(open_ones),
                noise_rate=rates.get(name),
                suspicious=_pictures(inputs, ranked[:most]),
                trusted=_pictures(inputs, trusted),
            )
        )
    return Sheets(tuple(shown), len(names) - len(shown), a_kind, "noise probability" if by_noise else "weight")


def _room(categories: int) -> tuple[int, int]:
    """(pictures of each kind, categories): all of them with fewer pictures each, then the noisiest ones only."""
    a_kind = max(_FEWEST, min(_A_SHEET, _MOST_PICTURES // (2 * max(categories, 1))))
    return a_kind, min(categories, _MOST_PICTURES // (2 * a_kind))


def _pictures(inputs: ReportInputs, samples: Sequence[Sample]) -> tuple[Picture, ...]:
    return tuple(picture_of(inputs, sample) for sample in samples)

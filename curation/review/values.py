"""What travels between the review and its screens."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from curation.config import ReviewConfig
from curation.errors import ReviewError
from curation.values import DecisionAction, FlagName


class ReviewMode(StrEnum):
    """Why a sample is on a page: its category is reviewed, others left it unsettled, or an audit drew it."""

    CATEGORY = "category"
    SECOND_LOOK = "second_look"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Tile:
    """One sample as the annotator sees it before deciding.

    `preset` is the verdict set beforehand, with `preset_category` where it is relabel. `likely` are up to nine
    categories other than the web category, likeliest first. In an audit nothing here tells what the noise model thinks.
    """

    sample_id: str
    image_id: str
    web_category: str
    noise_probability: float | None
    explanation: str
    preset: DecisionAction
    preset_category: str | None
    likely: tuple[str, ...]
    flags: tuple[FlagName, ...]


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """Samples of one category under one question, most suspicious first; gold checks among them look like the others.

    `references` are ids of trusted samples of the category. The page is its annotator's until `leased_until` (UTC), and
    for `lease_seconds` more after every decision.
    """

    page_id: str
    mode: ReviewMode
    category: str
    run_id: str
    tiles: tuple[Tile, ...]
    references: tuple[str, ...]
    leased_until: datetime
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an annotator says of one tile; `key` is the key pressed, empty for a preset that was confirmed."""

    sample_id: str
    action: DecisionAction
    category: str | None
    key: str


def page_text(page: ReviewPage) -> str:
    """The page as JSON, for `page_of_text`."""
    return json.dumps(page, default=_plain)


def page_of_text(text: str) -> ReviewPage:
    """The page that `page_text` wrote."""
    stored = json.loads(text)
    tiles = tuple(
        Tile(
            **tile
            | {
                "preset": DecisionAction(tile["preset"]),
                "likely": tuple(tile["likely"]),
                "flags": tuple(FlagName(name) for name in tile["flags"]),
            }
        )
        for tile in stored["tiles"]
    )
    return ReviewPage(
        **stored
        | {
            "mode": ReviewMode(stored["mode"]),
            "tiles": tiles,
            "references": tuple(stored["references"]),
            "leased_until": datetime.fromisoformat(stored["leased_until"]),
        }
    )


def _plain(value: ReviewPage | Tile | datetime) -> dict[str, Any] | str:
    if isinstance(value, datetime):
        return value.isoformat()
    return {field.name: getattr(value, field.name) for field in fields(value)}


def annotator_name(name: str) -> str:
    """The name without spaces around it; `ReviewError` where none is left."""
    if not name.strip():
        raise ReviewError("a name is needed: every decision is kept with who made it.", hint="Enter your name.")
    return name.strip()


def is_lead(name: str, review: ReviewConfig) -> bool:
    """Whether the configuration names this annotator among the leads; logins come in any case."""
    return name.casefold() in {lead.casefold() for lead in review.leads}

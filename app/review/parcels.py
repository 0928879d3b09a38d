"""What a browser sends, read with suspicion: nothing in it is believed that the page it speaks of does not say too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from curation.review.pages import LARGEST_PAGE
from curation.review.values import ReviewMode, ReviewPage, Verdict
from curation.values import DecisionAction

_GIVEN = (DecisionAction.KEEP, DecisionAction.DROP, DecisionAction.RELABEL, DecisionAction.UNSURE)
_KEYS = {"", "click", *"qwent123456789"}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing an annotator did: `verdicts`, `confirm` or `undo`. `seq` counts the events of one `client` from 1.

    An undo takes back what the event numbered `of` of its client wrote, or without one the newest `steps` decisions; it
    `reopens` its page where that had been confirmed.
    """

    seq: int
    kind: str
    page_id: str | None
    verdicts: tuple[Any, ...]
    steps: int
    of: int | None
    reopens: bool


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a browser says of a page that it shows, for a server that has forgotten it."""

    mode: ReviewMode
    run_id: str
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Everything that a browser has not seen acknowledged, oldest first, and what it asks for beside.

    `pages` holds facts of the pages that the events speak of; `has` are the ids of all pages in the browser; `left` are
    parcels of tabs that are gone, as those had numbered them; `zoom` and `evidence` are sample ids or `None`.
    """

    client: str
    events: tuple[Event, ...]
    pages: dict[str, PageFacts]
    has: frozenset[str]
    left: tuple[Parcel, ...]
    zoom: str | None
    evidence: str | None


def read_parcel(value: Any) -> Parcel | None:
    """The parcel in a plain value; `None` for anything that is none. Events that make no sense are left out."""
    parcel = _read_parcel(value)
    if parcel is None:
        return None
    left = value.get("left")
    of_gone_tabs = map(_read_parcel, left if isinstance(left, list) else [])
    return replace(parcel, left=tuple(one for one in of_gone_tabs if one is not None))


def _read_parcel(value: Any) -> Parcel | None:
    if not isinstance(value, dict) or not isinstance(value.get("client"), str):
        return None
    asked, given = value.get("asked"), value.get("events")
    asked = asked if isinstance(asked, dict) else {}
    events = [event for event in map(_read_event, given if isinstance(given, list) else []) if event is not None]
    return Parcel(
        value["client"][:64],
        tuple(sorted(events, key=lambda event: event.seq)),
        _read_pages(value.get("pages")),
        _read_ids(value.get("has")),
        (),
        _text(asked.get("zoom")),
        _text(asked.get("evidence")),
    )


def checked_verdicts(page: ReviewPage, event: Event) -> list[Verdict]:
    """Those verdicts of an event that are possible on this page: a sample of it, an action, a category to relabel to.

    Whether the workspace has such a category is asked where it is written.
    """
    tiles = {tile.sample_id: tile for tile in page.tiles}
    verdicts = []
    for value in event.verdicts:
        tile = tiles.get(value.get("sample_id", "")) if isinstance(value, dict) else None
        action = value.get("action") if tile is not None else None
        if tile is None or action not in _GIVEN:
            continue
        category = _text(value.get("category")) if action == DecisionAction.RELABEL else None
        if action == DecisionAction.RELABEL and not category:
            continue
        key = value.get("key") if value.get("key") in _KEYS else ""
        verdicts.append(Verdict(tile.sample_id, DecisionAction(action), category, key))
    return verdicts


def _read_pages(value: Any) -> dict[str, PageFacts]:
    pages = {}
    for page_id, facts in value.items() if isinstance(value, dict) else ():
        if isinstance(facts, dict) and facts.get("mode") in set(ReviewMode) and isinstance(facts.get("samples"), list):
            samples = tuple(sample for sample in facts["samples"] if isinstance(sample, str))
            pages[page_id] = PageFacts(ReviewMode(facts["mode"]), _text(facts.get("run_id")) or "", samples)
    return pages


def _read_event(value: Any) -> Event | None:
    if not isinstance(value, dict) or not isinstance(value.get("seq"), int):
        return None
    if value.get("type") not in ("verdicts", "confirm", "undo"):
        return None
    verdicts, steps, of = value.get("verdicts"), value.get("steps"), value.get("of")
    return Event(
        value["seq"],
        value["type"],
        _text(value.get("page_id")),
        tuple(verdicts) if isinstance(verdicts, list) else (),
        steps if isinstance(steps, int) and 0 <= steps <= LARGEST_PAGE else 0,
        of if isinstance(of, int) else None,
        value.get("reopens") is True,
    )


def _read_ids(value: Any) -> frozenset[str]:
    return frozenset(name for name in (value if isinstance(value, list) else ()) if isinstance(name, str))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None

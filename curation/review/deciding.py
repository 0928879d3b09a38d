"""Decisions of a page, written at once and durably, and taken back by new records.

A click is never refused because a lease has ended: what two people then say of a sample agrees, or gets a second look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

from curation.errors import ReviewError
from curation.review.values import ReviewMode, ReviewPage, Tile, Verdict, annotator_name, page_text
from curation.store.category_ids import category_ids
from curation.store.decisions import (
    append_decisions,
    append_undo,
    is_known_request,
    last_steps,
    standing_decisions,
    steps_of_request,
)
from curation.store.gold_checks import gold_ids_of_page
from curation.store.journal import JournalConnection, begin_writing, journal
from curation.store.leases import renew_leases, take_leases
from curation.store.open_pages import close_page, put_open_page
from curation.values import Decision, DecisionAction
from curation.workspace import Workspace


def decide(
    workspace: Workspace,
    page: ReviewPage,
    annotator: str,
    verdicts: Iterable[Verdict],
    *,
    request: str | None = None,
) -> int:
    """Write these verdicts and renew the lease of the page; returns how many decisions were written.

    All or none, in one transaction; on the disk when this returns. `request` names what the browser sent: a second call
    with the same name writes nothing. Raises `ReviewError` for a verdict that cannot be.
    """
    annotator, chosen, now = annotator_name(annotator), _checked(page, verdicts), datetime.now(UTC)
    with journal(workspace.journal) as connection:
        begin_writing(connection)
        written = _write(connection, page, annotator, chosen, now, request)
        until = now + timedelta(seconds=page.lease_seconds)
        if renew_leases(connection, page.page_id, annotator, until) == 0:
            _open_again(connection, page, annotator, now, until)
    return written


def confirm_page(
    workspace: Workspace,
    page: ReviewPage,
    annotator: str,
    verdicts: Iterable[Verdict] = (),
    *,
    request: str | None = None,
) -> int:
    """Write these verdicts, and its preset for every other tile without a decision; then give the page back.

    A verdict without a key is a preset, and not written where this annotator has decided already. Returns how many
    decisions were written; all or none, like `decide`.
    """
    annotator, chosen, now = annotator_name(annotator), _checked(page, verdicts), datetime.now(UTC)
    with journal(workspace.journal) as connection:
        begin_writing(connection)
        decided = own_decisions(connection, page, annotator)
        clicked = [verdict for verdict in chosen if verdict.key or verdict.sample_id not in decided]
        said = {verdict.sample_id for verdict in clicked} | decided.keys()
        presets = [
            Verdict(tile.sample_id, tile.preset, tile.preset_category, key="")
            for tile in page.tiles
            if tile.sample_id not in said
        ]
        written = _write(connection, page, annotator, [*clicked, *presets], now, request)
        close_page(connection, annotator, page.page_id)
    return written


def undo(
    workspace: Workspace,
    annotator: str,
    steps: int = 1,
    *,
    request: str | None = None,
    of: str | None = None,
) -> list[Decision]:
    """Take back the last `steps` decisions of this annotator that still stand, newest first; returns them.

    Across pages, sessions and restarts, and nobody else's. With `of`, those instead that the request of this name
    wrote, whatever was decided since. A decision that an older one had been before stands again then. A second call
    with the same `request` does nothing.
    """
    if steps < 1:
        raise ReviewError(f"at least one step is taken back, not {steps}.", hint="Give a number from 1.")
    annotator, now = annotator_name(annotator), datetime.now(UTC)
    with journal(workspace.journal) as connection:
        begin_writing(connection)
        if request is not None and is_known_request(connection, annotator, request):
            return []
        if of is None:
            samples, gold = last_steps(connection, annotator, steps)
        else:
            samples, gold = steps_of_request(connection, annotator, of)
        context = {"undo": len(samples) + len(gold)}
        append_undo(connection, annotator, samples, now, context=context, request=request)
        append_undo(connection, annotator, gold, now, context=context, table="gold_decisions", request=request)
    return [decision for _, decision in (*samples, *gold)]


def known_categories(workspace: Workspace) -> list[str]:
    """Every category that a sample can be relabelled to, in the order of the alphabet."""
    with journal(workspace.journal) as connection:
        return sorted(category_ids(connection))


def is_written(workspace: Workspace, annotator: str, request: str) -> bool:
    """Whether decisions of this annotator's request are in the journal."""
    with journal(workspace.journal) as connection:
        return is_known_request(connection, annotator_name(annotator), request)


def _open_again(
    connection: JournalConnection, page: ReviewPage, annotator: str, now: datetime, until: datetime
) -> None:
    """Take what others do not have of a page that was given back, as after an undo, or whose time has ended."""
    gold = gold_ids_of_page(connection, page.page_id, annotator)
    held = [tile.sample_id for tile in page.tiles if tile.sample_id not in gold]
    take_leases(connection, held, page.page_id, annotator, now, until)
    put_open_page(connection, page.page_id, annotator, page.mode.value, page.category, page_text(page))


def _checked(page: ReviewPage, verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts, with "relabel to the web category" said as keep."""
    tiles = {tile.sample_id: tile for tile in page.tiles}
    return [_checked_verdict(tiles.get(verdict.sample_id), verdict) for verdict in verdicts]


def _checked_verdict(tile: Tile | None, verdict: Verdict) -> Verdict:
    if tile is None:
        raise ReviewError(
            f"{verdict.sample_id!r} is not on this page, so nothing can be decided of it here.",
            hint="Load the page again.",
        )
    if verdict.action is DecisionAction.UNDO or (verdict.action is DecisionAction.RELABEL) != bool(verdict.category):
        raise ReviewError(
            f"{verdict.action.value!r} with the category {verdict.category!r} is no verdict.",
            hint="Keep, drop and unsure go without a category, relabel with one; undo is a call of its own.",
        )
    if verdict.category == tile.web_category:
        return Verdict(verdict.sample_id, DecisionAction.KEEP, None, verdict.key)
    return verdict


def _write(
    connection: JournalConnection,
    page: ReviewPage,
    annotator: str,
    verdicts: Sequence[Verdict],
    now: datetime,
    request: str | None,
) -> int:
    if request is not None and is_known_request(connection, annotator, request):
        return 0
    _refuse_unknown_categories(connection, verdicts)
    gold = gold_ids_of_page(connection, page.page_id, annotator)
    tiles = {tile.sample_id: tile for tile in page.tiles}
    written = 0
    for verdict in verdicts:  # one by one: the order in which they are taken back is that of the page
        decision = _decision(page, tiles[verdict.sample_id], annotator, verdict)
        written += append_decisions(
            connection,
            [decision],
            now,
            table="gold_decisions" if verdict.sample_id in gold else "decisions",
            request=request,
        )
    return written


def _decision(page: ReviewPage, tile: Tile, annotator: str, verdict: Verdict) -> Decision:
    context = {
        "run": page.run_id,
        "page": page.page_id,
        "mode": page.mode.value,
        "category": page.category,
        "key": verdict.key,
        "preset": tile.preset.value,
        "noise_probability": tile.noise_probability,
    }
    second_look = page.mode is ReviewMode.SECOND_LOOK
    return Decision(tile.sample_id, verdict.action, annotator, verdict.category, context, second_look)


def own_decisions(connection: JournalConnection, page: ReviewPage, annotator: str) -> dict[str, Decision]:
    """Tile -> what this annotator last decided of it in the mode of the page, of those that they have."""
    ids = [tile.sample_id for tile in page.tiles]
    second_look = page.mode is ReviewMode.SECOND_LOOK
    answered = standing_decisions(connection, ids, table="gold_decisions", with_context=False)
    standing = standing_decisions(connection, ids, with_context=False) | answered
    return {
        one.sample_id: one
        for decisions in standing.values()
        for one in decisions
        if one.annotator == annotator and one.second_look is second_look
    }


def _refuse_unknown_categories(connection: JournalConnection, verdicts: Iterable[Verdict]) -> None:
    wanted = {verdict.category for verdict in verdicts if verdict.category}
    if not wanted:
        return
    known = category_ids(connection)
    for name in sorted(wanted - known.keys()):
        close = get_close_matches(name, known, n=3)
        raise ReviewError(
            f"{name!r} is no category of this workspace, so no image can be relabelled to it.",
            hint=f"Did you mean {' or '.join(map(repr, close))}?" if close else "Ingest that category first.",
        )

"""The next page of the review: chosen and leased in one transaction, then read from the snapshot."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from curation.config import Config
from curation.errors import ReviewError
from curation.review.deciding import own_decisions
from curation.review.gold import GoldSource, choose_donors, make_checks, trusted_samples
from curation.review.queue import ReviewQueue, loaded_queue, review_queue
from curation.review.tiles import blinded, read_tiles
from curation.review.values import ReviewMode, ReviewPage, Tile, annotator_name, page_of_text, page_text
from curation.store.gold_checks import GoldCheck, put_gold_checks
from curation.store.journal import JournalConnection, begin_writing, journal
from curation.store.leases import leased_samples, renew_leases, take_leases
from curation.store.open_pages import close_page, find_open_page, put_open_page
from curation.store.snapshot import is_published
from curation.workspace import Workspace

LARGEST_PAGE = 500


@dataclass(frozen=True, slots=True)
class _Choice:
    """What is on a page: its samples in order, those of them whose places checks take, and what helps to show it."""

    page_id: str
    category: str
    window: tuple[str, ...]
    donors: tuple[str, ...]
    trusted: tuple[str, ...]
    references: tuple[str, ...]


def next_page(
    workspace: Workspace,
    config: Config,
    annotator: str,
    *,
    size: int | None = None,
    category: str | None = None,
    mode: ReviewMode = ReviewMode.CATEGORY,
    held: Sequence[str] = (),
) -> ReviewPage | None:
    """The next page for this annotator, on lease: nobody else gets its samples meanwhile. `None` where none waits.

    One that is on lease to them but not among `held`, which a closed browser or a killed server has left, is given
    again, with what they decided on it as presets. Without `category`, a new page is of that where it holds most errors
    to be expected. Raises `ReviewError` for a page that cannot be.
    """
    annotator, size = annotator_name(annotator), _checked_size(size or config.review.page_size)
    queue, now = review_queue(workspace), datetime.now(UTC)
    until = now + timedelta(minutes=config.review.lease_minutes)
    with queue.lock:
        with journal(workspace.journal) as connection:
            queue.catch_up(connection)  # the long first time must not hold up those who write
        with journal(workspace.journal, durable=False) as connection:
            begin_writing(connection)
            left = find_open_page(connection, annotator, mode.value, category, held=held, now=now)
            if left is not None:
                return _again(connection, page_of_text(left), annotator, now)
            queue.catch_up(connection)
            leased = leased_samples(connection, now)
            choice = _choose(queue, config, annotator, leased, size, category, mode)
            if choice is None:
                return None
            taken = [sample_id for sample_id in choice.window if sample_id not in choice.donors]
            take_leases(connection, taken, choice.page_id, annotator, now, until)
    try:
        tiles, checks = _tiles(config, queue, choice, annotator, mode)
    except Exception:  # whatever it was: a page that nobody sees must not keep its samples from others
        with journal(workspace.journal, durable=False) as connection:
            close_page(connection, annotator, choice.page_id)
        raise
    page = ReviewPage(
        page_id=choice.page_id,
        mode=mode,
        category=choice.category,
        run_id=queue.order.run_id,
        tiles=tiles,
        references=choice.references,
        leased_until=until,
        lease_seconds=config.review.lease_minutes * 60,
    )
    with journal(workspace.journal, durable=False) as connection:
        put_gold_checks(connection, checks, now)
        put_open_page(connection, page.page_id, annotator, mode.value, page.category, page_text(page))
    return page


def release_page(workspace: Workspace, page: ReviewPage, annotator: str) -> None:
    """Give a page back: what was not decided on waits for others again."""
    with journal(workspace.journal, durable=False) as connection:
        close_page(connection, annotator_name(annotator), page.page_id)


def release_all_pages(workspace: Workspace, annotator: str) -> int:
    """Give back whatever this annotator held, as after a closed browser; returns how many samples that were."""
    with journal(workspace.journal, durable=False) as connection:
        return close_page(connection, annotator_name(annotator))


def newest_run(workspace: Workspace) -> str | None:
    """The run of the newest snapshot, to be offered where a page is of an older one; `None` before the first run."""
    return loaded_queue(workspace).order.run_id or None if is_published(workspace) else None


def _checked_size(size: int) -> int:
    if not 1 <= size <= LARGEST_PAGE:
        raise ReviewError(f"a page has 1 to {LARGEST_PAGE} images, not {size}.", hint="Choose a size between.")
    return size


def _again(connection: JournalConnection, page: ReviewPage, annotator: str, now: datetime) -> ReviewPage:
    """The page as its annotator left it, on lease anew."""
    decided = own_decisions(connection, page, annotator)
    tiles = tuple(
        replace(tile, preset=own.action, preset_category=own.category)
        if (own := decided.get(tile.sample_id)) is not None
        else tile
        for tile in page.tiles
    )
    page = replace(page, tiles=tiles, leased_until=now + timedelta(seconds=page.lease_seconds))
    renew_leases(connection, page.page_id, annotator, page.leased_until)
    return page


def _choose(
    queue: ReviewQueue,
    config: Config,
    annotator: str,
    leased: set[str],
    size: int,
    category: str | None,
    mode: ReviewMode,
) -> _Choice | None:
    open_rows = queue.waiting(annotator, config, mode)
    open_rows[queue.rows_of(leased)] = False
    window = queue.next_rows(open_rows, size, category, mode)
    if len(window) == 0:
        return None
    order, page_id = queue.order, secrets.token_hex(8)
    name = order.categories[order.codes[window[0]]]
    generator = np.random.default_rng(int(page_id, 16))
    share = config.review.gold if mode is ReviewMode.CATEGORY else 0.0
    donors = choose_donors(window, share, generator)
    trusted = trusted_samples(queue, name, window, len(donors), int(page_id, 16)) if len(donors) else ()
    left_out = queue.waiting_for_anyone(config, ReviewMode.AUDIT)
    left_out[window] = True
    left_out[queue.rows_of(trusted)] = True
    references = queue.trusted_rows(config, name, config.review.reference_strip, left_out)
    if len(references) == 0:  # the page holds all of a small category: its own best ones are better than none
        left_out[window] = queue.waiting_for_anyone(config, ReviewMode.AUDIT)[window]
        references = queue.trusted_rows(config, name, config.review.reference_strip, left_out)
    return _Choice(
        page_id,
        name,
        window=tuple(order.sample_ids[row] for row in window),
        donors=tuple(order.sample_ids[row] for row in donors),
        trusted=trusted,
        references=tuple(order.sample_ids[row] for row in references),
    )


def _tiles(
    config: Config, queue: ReviewQueue, choice: _Choice, annotator: str, mode: ReviewMode
) -> tuple[tuple[Tile, ...], list[GoldCheck]]:
    """The tiles of the page, and the checks among them; a place for which there is no check stays empty."""
    with queue.snapshot.reading() as connection:
        tiles = read_tiles(connection, choice.window, config.review)
        source = GoldSource(choice.page_id, annotator, choice.category, choice.trusted)
        checks = make_checks(connection, source, choice.donors) if choice.donors else []
    if mode is ReviewMode.AUDIT:
        return tuple(blinded(tile) for tile in tiles), []
    disguised = {check.donor_id: check.gold_id for check in checks}
    shown = (tile for tile in tiles if tile.sample_id in disguised or tile.sample_id not in choice.donors)
    return tuple(replace(tile, sample_id=disguised.get(tile.sample_id, tile.sample_id)) for tile in shown), checks

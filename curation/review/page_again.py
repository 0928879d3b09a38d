"""A page that was given out by a server that is gone: found or rebuilt for the verdicts that a browser still holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from curation.config import Config
from curation.review.queue import waiting_samples
from curation.review.tiles import blinded, read_tiles
from curation.review.values import ReviewMode, ReviewPage, Tile, annotator_name, page_of_text
from curation.store.gold_checks import gold_ids_of_page, read_gold_check
from curation.store.journal import journal
from curation.store.open_pages import read_open_page
from curation.store.samples import samples_by_id
from curation.store.snapshot import snapshot
from curation.values import Role
from curation.workspace import Workspace


def page_as_given(workspace: Workspace, annotator: str, page_id: str) -> ReviewPage | None:
    """The page of this id as this annotator got it, while the journal keeps it: until it is given back."""
    with journal(workspace.journal) as connection:
        text = read_open_page(connection, page_id, annotator_name(annotator))
    return None if text is None else page_of_text(text)


def page_again(
    workspace: Workspace,
    config: Config,
    annotator: str,
    page_id: str,
    *,
    mode: ReviewMode,
    run_id: str,
    sample_ids: Sequence[str],
) -> ReviewPage | None:
    """The page of this annotator with these tiles; `None` where nothing of it is known.

    Nothing is believed that cannot be looked up: of `sample_ids` those stay that are novel samples of the newest
    snapshot, all of one category, or gold checks that this annotator was shown on this page. A second look is believed
    only of samples that wait for one by this annotator, as it outweighs what others said. It has no references.
    """
    annotator = annotator_name(annotator)
    if mode is ReviewMode.SECOND_LOOK:
        waiting = set(waiting_samples(workspace, config, annotator, mode))
        sample_ids = [name for name in sample_ids if name in waiting]
    with journal(workspace.journal) as connection:
        gold = gold_ids_of_page(connection, page_id, annotator) & set(sample_ids)
        checks = {gold_id: read_gold_check(connection, gold_id) for gold_id in sorted(gold)}
    shown_as = {name: name for name in sample_ids if name not in gold}
    shown_as |= {gold_id: check.donor_id for gold_id, check in checks.items() if check is not None}
    with snapshot(workspace) as connection_to_snapshot:
        samples = samples_by_id(connection_to_snapshot, sorted(set(shown_as.values())))
        novel = [name for name, sample in samples.items() if sample.role is Role.NOVEL]
        tiles = {tile.sample_id: tile for tile in read_tiles(connection_to_snapshot, novel, config.review)}
    known = [replace(tiles[shown_as[name]], sample_id=name) for name in sample_ids if shown_as.get(name) in tiles]
    if not known:
        return None
    of_category = tuple(_shown(tile, mode) for tile in known if tile.web_category == known[0].web_category)
    seconds = config.review.lease_minutes * 60
    return ReviewPage(
        page_id=page_id,
        mode=mode,
        category=known[0].web_category,
        run_id=run_id,
        tiles=of_category,
        references=(),
        leased_until=datetime.now(UTC) + timedelta(seconds=seconds),
        lease_seconds=seconds,
    )


def _shown(tile: Tile, mode: ReviewMode) -> Tile:
    return blinded(tile) if mode is ReviewMode.AUDIT else tile

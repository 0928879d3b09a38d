"""Which samples wait for whom: the order of a snapshot, and what the journal says was done since."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.config import Config
from curation.errors import ReviewError
from curation.review.order import BoolArray, ReviewOrder, fair_draw, load_order
from curation.review.values import ReviewMode, is_lead
from curation.standing import decision_that_counts, votes_of
from curation.store.audits import newest_audit
from curation.store.connection import ReadersConnection
from curation.store.decisions import changed_since, is_record, newest_record, standing_decisions
from curation.store.journal import JournalConnection, journal, keep_open
from curation.store.snapshot import current_snapshot
from curation.values import Decision, DecisionAction
from curation.workspace import Workspace

Rows = NDArray[np.int64]

ACTIONS = (DecisionAction.KEEP, DecisionAction.DROP, DecisionAction.RELABEL, DecisionAction.UNSURE)
_DOUBTFUL = 0.5  # of suspicion: from here on an image is rather wrong than a reference
_SURELY_RIGHT = 0.1  # below this suspicion; of 504 such images of birds 3 are wrong
_SHORTEST_PAGE = 12
NONE = -1  # where no decision counts; else the place in `ACTIONS`


def fullest_page(rows: Rows, codes: NDArray[np.int32], suspicion: NDArray[np.float32], size: int) -> Rows:
    """Of `rows`, the most suspicious of the category where a page of `size` holds most errors to be expected.

    `codes` and `suspicion` (N,) are of all samples; `rows` are sorted by category, most suspicious first within one. A
    page with doubtful samples ends before those that are surely right.
    """
    own = codes[rows]
    samples = np.bincount(own)
    first_of = np.cumsum(samples) - samples
    on_page: BoolArray = np.arange(len(own)) - first_of[own] < size
    errors = np.bincount(own[on_page], weights=suspicion[rows[on_page]])
    errors[samples == 0] = -1
    first: Rows = rows[own == int(errors.argmax())][:size]
    doubtful = int((suspicion[first] >= _SURELY_RIGHT).sum())
    return first[: max(doubtful, _SHORTEST_PAGE)] if doubtful else first


class ReviewQueue:
    """The samples of one snapshot with what people have said of each, kept up to date from the journal.

    `votes` (N,) counts who voted on a sample, `counts` (N,) is the decision that counts (`ACTIONS`, or `NONE`),
    `settled` (N,) tells where a second look stands. `snapshot` is held open for what else is read of it. Whoever uses
    the queue holds `lock`, and takes it before the journal's.
    """

    def __init__(self, order: ReviewOrder, snapshot: ReadersConnection, journal_kept_open: JournalConnection) -> None:
        self.order, self.snapshot = order, snapshot
        self._journal_kept_open = journal_kept_open
        self.lock = threading.Lock()
        self._newest, self._written_at = 0, ""
        self._audit_id = 0
        self._audited: Rows = self.rows_of(())
        self._voted: dict[str, BoolArray] = {}
        size = len(order.sample_ids)
        self.votes = np.zeros(size, dtype=np.int16)
        self.counts = np.full(size, NONE, dtype=np.int8)
        self.settled: BoolArray = np.zeros(size, dtype=np.bool_)

    def let_go(self, *, everything: bool) -> None:
        """Close what was held; the snapshot closes by itself when its last reader has finished, or now (`everything`).

        Now, where another file has its name: DuckDB gives whoever opens a path what this process has open there.
        """
        self._journal_kept_open.close()
        if everything:
            self.snapshot.close()

    def catch_up(self, connection: JournalConnection) -> None:
        """Take in what was decided since the last time; all of it the first time, and where it is another journal."""
        newest, written_at = newest_record(connection)
        if self._newest and not is_record(connection, self._newest, self._written_at):
            self._newest, self._voted = 0, {}
            self.votes[:], self.counts[:], self.settled[:] = 0, NONE, False
        if newest > self._newest:
            changed = changed_since(connection, self._newest) if self._newest else None
            standing = standing_decisions(connection, changed, with_context=False)
            for sample_id in standing if changed is None else changed:
                self._take_in(sample_id, standing.get(sample_id, []))
            self._newest, self._written_at = newest, written_at
        audit = newest_audit(connection)
        self._audit_id = 0 if audit is None else audit.audit_id
        self._audited = self.rows_of(() if audit is None else audit.plan.drawn)

    def waiting(self, annotator: str, config: Config, mode: ReviewMode = ReviewMode.CATEGORY) -> BoolArray:
        """Which samples wait for this annotator, (N,)."""
        seen = self._voted.get(annotator)
        waiting = self.waiting_for_anyone(config, mode)
        if seen is not None and not (mode is ReviewMode.SECOND_LOOK and is_lead(annotator, config.review)):
            waiting &= ~seen
        return waiting

    def waiting_for_anyone(self, config: Config, mode: ReviewMode = ReviewMode.CATEGORY) -> BoolArray:
        """Which samples wait for somebody, (N,).

        Open samples of the newest audit wait for the audit alone: presets would sway who reviews them.
        """
        needed = self.votes_needed(config)
        if mode is ReviewMode.SECOND_LOOK:
            unsure: BoolArray = self.counts == ACTIONS.index(DecisionAction.UNSURE)
            return unsure & (self.votes >= needed) & ~self.settled
        in_audit: BoolArray = np.zeros(len(self.counts), dtype=np.bool_)
        in_audit[self._audited] = True
        in_audit &= self.counts == NONE
        if mode is ReviewMode.AUDIT:
            return in_audit
        lacking: BoolArray = self.votes < needed
        return lacking & ~self.settled & ~in_audit & self.asked_about(config)

    def trusted_rows(self, config: Config, category: str, number: int, left_out: BoolArray) -> Rows:
        """The most trusted samples of a category but those `left_out` (N,): kept by people first, no near copies.

        What waits for a second annotator is never among them: that would tell what the first one said.
        """
        rows = np.arange(len(self.counts))[self.order.of_category(self._code_of(category))]
        kept = self.counts[rows] == ACTIONS.index(DecisionAction.KEEP)
        halfway = (self.votes > 0) & (self.votes < self.votes_needed(config))
        fit = (kept | (self.counts[rows] == NONE)) & (self.order.suspicion[rows] < _DOUBTFUL)
        fit &= ~halfway[rows] & ~left_out[rows]
        for carried in self.order.carries.values():
            fit &= ~carried[rows]
        rows, kept = rows[fit], kept[fit]
        best: Rows = np.lexsort((-self.order.weight[rows], self.order.suspicion[rows], ~kept))[:number]
        return np.asarray(rows[best])

    def votes_needed(self, config: Config) -> NDArray[np.int16]:
        """1 or, for the share that overlaps, 2, (N,)."""
        overlaps: BoolArray = self.order.chance < config.review.overlap
        return overlaps.astype(np.int16) + np.int16(1)

    def asked_about(self, config: Config) -> BoolArray:
        """Which samples the question of a page can settle, (N,)."""
        asked = np.ones(len(self.counts), dtype=np.bool_)
        for flag, carried in self.order.carries.items():
            if flag in config.cleaned_set.set_aside:
                asked &= ~carried
        return asked

    def rows_of(self, sample_ids: Iterable[str]) -> Rows:
        """Where these samples lie in the order; those that are not in it are left out."""
        place = self.order.place
        return np.array([place[name] for name in sample_ids if name in place], dtype=np.int64)

    def next_rows(self, open_rows: BoolArray, size: int, category: str | None, mode: ReviewMode) -> Rows:
        """The next page among `open_rows` (N,), all of one category; empty when there is nothing.

        The most suspicious samples of the category where such a page holds most errors to be expected, unless one is
        given. A page with doubtful ones ends before those that are surely right, which come last of all. In an audit
        the category and the samples are drawn, so that no place on a page says anything.
        """
        rows: Rows = np.flatnonzero(open_rows)
        if category is not None:
            rows = rows[self.order.codes[rows] == self._code_of(category)]
        if len(rows) == 0:
            return rows
        if mode is ReviewMode.AUDIT:
            codes = self.order.codes[rows]
            names = {int(code): self.order.categories[code] for code in np.unique(codes)}
            drawn = min(names, key=lambda code: fair_draw(f"audit {self._audit_id}", names[code]))
            chosen = rows[codes == drawn]
            ids = self.order.sample_ids
            draws = [fair_draw(f"audit {self._audit_id}", ids[row]) for row in chosen]
            return np.asarray(chosen[np.argsort(draws)][:size])
        return fullest_page(rows, self.order.codes, self.order.suspicion, size)

    def _code_of(self, category: str) -> int:
        if category not in self.order.categories:
            raise ReviewError(
                f"there is no scored image of a category {category!r}.", hint="Choose one of those in the overview."
            )
        return self.order.categories.index(category)

    def _take_in(self, sample_id: str, standing: list[Decision]) -> None:
        row = self.order.place.get(sample_id)
        if row is None:  # decided under an earlier snapshot, gone from this one
            return
        votes = votes_of(standing)
        decision = decision_that_counts(standing)
        self.votes[row] = len(votes)
        self.counts[row] = NONE if decision is None else ACTIONS.index(decision.action)
        self.settled[row] = any(one.second_look for one in standing)
        for seen in self._voted.values():
            seen[row] = False
        for name in votes:
            if name not in self._voted:
                self._voted[name] = np.zeros(len(self.counts), dtype=np.bool_)
            self._voted[name][row] = True


_QUEUES: dict[Path, tuple[tuple[Path, int], ReviewQueue]] = {}
_LOADING = threading.Lock()


def review_queue(workspace: Workspace) -> ReviewQueue:
    """The queue of the newest snapshot; `ReviewError` where nothing has been scored yet."""
    queue = loaded_queue(workspace)
    if not queue.order.sample_ids:
        raise ReviewError(
            "no novel image has been scored yet, so there is nothing to review.",
            hint=f"`curate run {workspace.root}` does the work.",
        )
    return queue


def waiting_samples(workspace: Workspace, config: Config, annotator: str, mode: ReviewMode) -> list[str]:
    """The samples that wait for this annotator just now, leased or not, in the order of review."""
    queue = review_queue(workspace)
    with queue.lock:
        with journal(workspace.journal) as connection:
            queue.catch_up(connection)
        rows = np.flatnonzero(queue.waiting(annotator, config, mode))
    return [queue.order.sample_ids[row] for row in rows]


def waiting_for_others(workspace: Workspace, config: Config, annotator: str, mode: ReviewMode) -> int:
    """How many samples wait for somebody, but not for this annotator."""
    queue = review_queue(workspace)
    with queue.lock:
        with journal(workspace.journal) as connection:
            queue.catch_up(connection)
        everyones, own = queue.waiting_for_anyone(config, mode), queue.waiting(annotator, config, mode)
    return int((everyones & ~own).sum())


def loaded_queue(workspace: Workspace) -> ReviewQueue:
    """The queue of the newest snapshot, empty or not, read once in this process."""
    path = current_snapshot(workspace)
    with _LOADING:
        version = (path, path.stat().st_mtime_ns)  # names begin again in a workspace that was rebuilt
        known = _QUEUES.get(workspace.root)
        if known is None or known[0] != version:
            if known is not None:
                known[1].let_go(everything=known[0][0] == path)
            snapshot = ReadersConnection(path)
            queue = ReviewQueue(load_order(path, snapshot), snapshot, keep_open(workspace.journal))
            known = _QUEUES[workspace.root] = (version, queue)
    return known[1]

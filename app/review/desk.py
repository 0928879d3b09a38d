"""What one browser has before it on the Review screen: pages made ready, what was acknowledged, what was asked for.

Everything that would be missed is in the journal; a desk can be lost at any time, and the next one gets the same pages.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.review.parcels import Event, PageFacts, Parcel, checked_verdicts, read_parcel
from app.review.pictures import ZOOM_PX, address_of, page_data
from curation.config import Config
from curation.errors import CurationError, ReviewError
from curation.review.deciding import confirm_page, decide, is_written, known_categories, undo
from curation.review.page_again import page_again, page_as_given
from curation.review.pages import next_page, release_page
from curation.review.values import ReviewMode, ReviewPage
from curation.workspace import Workspace

_REMEMBERED = 5  # confirmed pages that undo can bring back to the screen with all their tiles, and refused events


@dataclass(frozen=True, slots=True)
class Choice:
    """What an annotator wants to review: one category or whatever is most worth it, how many tiles at once."""

    mode: ReviewMode = ReviewMode.CATEGORY
    category: str | None = None
    size: int = 60


@dataclass(frozen=True, slots=True)
class ReadyPage:
    """A page and, for the browser, the same with its pictures."""

    page: ReviewPage
    data: dict[str, Any]


@dataclass
class Desk:
    """The Review screen of one annotator in one browser. Not for several threads at once."""

    workspace: Workspace
    config: Config
    annotator: str
    choice: Choice
    workers: ThreadPoolExecutor
    pages: list[ReadyPage] = field(default_factory=list)  # on screen, then the next one
    in_browser: frozenset[str] = frozenset()  # ids of the pages that need not be sent again
    confirmed: list[ReadyPage] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    zoom: dict[str, Any] | None = None
    evidence: dict[str, Any] | None = None
    undone: dict[str, Any] | None = None
    none_left: bool = False
    notice: str | None = None  # while it is true
    refused: dict[str, Any] | None = None  # the newest events that can never be written, and why the last cannot
    answers: int = 0
    _coming: Future[ReadyPage | None] | None = None

    @cached_property
    def categories(self) -> list[str]:
        """What an image may show, known since this desk was set up."""
        return known_categories(self.workspace)

    def fetch(self, *, wait: bool = False) -> None:
        """Have the page on screen and the one after it; the latter is made ready beside. `wait` for the first."""
        while True:
            if self._coming is not None and (self._coming.done() or (wait and not self.pages)):
                made, self._coming = self._coming.result(), None
                if made is None:
                    self.none_left = True
                else:
                    self.pages.append(made)
            elif self._coming is None and len(self.pages) < 2 and not self.none_left:
                self._coming = self.workers.submit(self._make_ready, tuple(ready.page.page_id for ready in self.pages))
                if self.pages or not wait:
                    return
            else:
                return

    def receive(self, values: list[Any], may_write: Callable[[], bool]) -> None:
        """Write down what a browser has sent, each event once, and answer what it asks; `may_write` is asked first."""
        for parcel in filter(None, map(read_parcel, values)):
            self.answers += 1
            self.in_browser = parcel.has
            sent = [one for one in (*parcel.left, parcel) if one.events]
            if sent and may_write():
                self._write_down(sent)
            elif sent:
                self.notice = (
                    "Not saved yet: you are not signed in any more, or may not decide here. This browser keeps it "
                    "until you may. Sign in again."
                )
            if parcel.zoom is not None:
                self.zoom = {
                    "sample_id": parcel.zoom,
                    "picture": address_of(self.workspace, self.config, parcel.zoom, ZOOM_PX),
                }
            if parcel.evidence is not None:
                self.evidence = self._evidence(parcel.evidence)

    def _evidence(self, sample_id: str) -> dict[str, Any]:
        from app.review.evidence import evidence_data  # loads torch, which no page needs

        blind = self.choice.mode is ReviewMode.AUDIT
        try:
            return evidence_data(self.workspace, self.config, sample_id, blind=blind)
        except CurationError as error:
            return {
                "sample_id": sample_id,
                "title": str(error),
                "picture": None,
                "sentences": [],
                "groups": [],
                "facts": [],
            }

    def leave(self) -> None:
        """Give the pages back to the queue; what was decided on them stays decided."""
        if self._coming is not None and (made := self._coming.result()) is not None:
            self.pages.append(made)
        for ready in self.pages:
            release_page(self.workspace, ready.page, self.annotator)
        self.pages, self._coming, self.none_left = [], None, False

    def _make_ready(self, held: tuple[str, ...]) -> ReadyPage | None:
        page = next_page(
            self.workspace,
            self.config,
            self.annotator,
            size=self.choice.size,
            category=self.choice.category,
            mode=self.choice.mode,
            held=held,
        )
        return None if page is None else ReadyPage(page, page_data(self.workspace, self.config, page))

    def _write_down(self, parcels: list[Parcel]) -> None:
        """Write the events; where the journal cannot be written they stay with the browser, which sends them again."""
        self.notice = None
        try:
            for parcel in parcels:
                self._write(parcel)
        except CurationError as error:
            self.notice = f"Not saved yet, and tried again until it is: {error}"

    def _write(self, parcel: Parcel) -> None:
        for event in parcel.events:
            if event.seq <= self.acknowledged.get(parcel.client, 0):
                continue  # a parcel that was sent again: this much of it is written already
            request = f"{parcel.client}/{event.seq}"  # written once, even if this server has forgotten that it was
            try:
                if event.kind == "undo":
                    self._undo(parcel.client, event, request)
                else:
                    self._decide(event, request, parcel.pages)
            except ReviewError as error:  # it cannot be written, however often it is sent
                self._refuse(parcel.client, event.seq, f"Not saved: {error}")
            self.acknowledged[parcel.client] = event.seq

    def _refuse(self, client: str, seq: int, said: str) -> None:
        before = self.refused["seqs"] if self.refused is not None and self.refused["client"] == client else []
        self.refused = {"client": client, "seqs": [*before, seq][-_REMEMBERED:], "said": said}

    def _decide(self, event: Event, request: str, facts: dict[str, PageFacts]) -> None:
        ready = self._page(event.page_id)
        if ready is None and is_written(self.workspace, self.annotator, request):
            return  # a tab that is gone did not live to hear it
        page = ready.page if ready is not None else self._forgotten_page(event.page_id, facts)
        verdicts = [] if page is None else checked_verdicts(page, event)
        if page is not None and event.kind == "verdicts":
            decide(self.workspace, page, self.annotator, verdicts, request=request)
        elif page is not None:
            confirm_page(self.workspace, page, self.annotator, verdicts, request=request)
            if ready is not None and ready in self.pages:
                self.pages.remove(ready)
                self.confirmed = [*self.confirmed, ready][-_REMEMBERED:]
                self.none_left = False
        if len(verdicts) < len(event.verdicts):
            raise ReviewError(
                f"{len(event.verdicts) - len(verdicts)} of {len(event.verdicts)} verdicts are on images that this page "
                "does not have any more.",
                hint="They come again on a later page, if they are still in the newest run.",
            )

    def _undo(self, client: str, event: Event, request: str) -> None:
        of = None if event.of is None else f"{client}/{event.of}"
        taken_back = []
        if event.steps:
            taken_back = undo(self.workspace, self.annotator, event.steps, request=request, of=of)
        self.undone = {"client": client, "seq": event.seq, "samples": [decision.sample_id for decision in taken_back]}
        again = next((ready for ready in self.confirmed if ready.page.page_id == event.page_id), None)
        if again is not None and event.reopens:
            self.confirmed.remove(again)
            self.pages.insert(0, again)

    def _page(self, page_id: str | None) -> ReadyPage | None:
        """The page of this id: one on the desk, or one just confirmed."""
        found = (ready for ready in (*self.pages, *self.confirmed) if ready.page.page_id == page_id)
        return next(found, None)

    def _forgotten_page(self, page_id: str | None, facts: dict[str, PageFacts]) -> ReviewPage | None:
        """A page that was given out before this server was started, or to another tab."""
        if page_id is None:
            return None
        if (given := page_as_given(self.workspace, self.annotator, page_id)) is not None:
            return given
        if (said := facts.get(page_id)) is None:
            return None
        return page_again(
            self.workspace,
            self.config,
            self.annotator,
            page_id,
            mode=said.mode,
            run_id=said.run_id,
            sample_ids=said.samples,
        )

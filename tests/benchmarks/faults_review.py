"""`kill -9` of the review app as decisions arrive: what was acknowledged is in the journal, and all of it once."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from app.review.desk import Choice, Desk
from curation.store.journal import journal
from curation.workspace import Workspace, create_workspace
from tests.benchmarks.faults_world import TOKEN, FaultRow, World, assert_no_orphans

_ACTIONS = ("keep", "drop", "unsure")
_TILES = 6


class Browser:
    """What the page of one annotator does: numbers its events, and sends each again until it is acknowledged."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.page: dict[str, Any] = {}
        self.outbox: list[dict[str, Any]] = []
        self.written: list[tuple[str, str]] = []  # what the journal has to hold in the end, in this order
        self.acknowledged = 0
        self._standing: list[str] = []
        self._seq = 0

    def act(self) -> None:
        """One verdict more, or one taken back."""
        self._seq += 1
        event = {"seq": self._seq, "page_id": self.page["page_id"]}
        if self._standing and self.chance.random() < 0.15:
            self.outbox.append(event | {"type": "undo", "steps": 1})
            self.written.append((self._standing.pop(), "undo"))
            return
        sample, action = self.chance.choice(self.page["samples"]), self.chance.choice(_ACTIONS)
        self.outbox.append(
            event | {"type": "verdicts", "verdicts": [{"sample_id": sample, "action": action, "key": action[0]}]}
        )
        self.written.append((sample, action))
        self._standing.append(sample)

    def parcel(self) -> dict[str, Any]:
        """Everything that has not been acknowledged."""
        facts = {name: self.page[name] for name in ("mode", "run_id", "samples")}
        return {"client": "browser", "events": list(self.outbox), "pages": {self.page["page_id"]: facts}, "has": []}

    def hear(self, acknowledged: int, notice: str | None = None, refused: object = None) -> None:
        """Drop what has been acknowledged; nothing of it may have been refused."""
        if refused is not None:
            raise AssertionError(f"{notice} {refused}, of {self.outbox} on {self.page}")
        self.acknowledged = max(self.acknowledged, acknowledged)
        self.outbox = [event for event in self.outbox if event["seq"] > self.acknowledged]


def kill_review(world: World, deaths: int, *, seed: int = 0) -> FaultRow:
    """Kill what serves one annotator, again and again, before, while and after it writes what the browser sends."""
    chance = random.Random(seed)
    workspace = world.copy(world.finished, f"review-{seed}")
    before = len(records(workspace))
    browser = Browser(chance)
    for death in range(deaths + 1):
        child, server = _serve(workspace)
        shown = server.recv()
        assert not browser.page or shown["samples"] == browser.page["samples"], "another page after a kill"
        browser.page = shown
        for _ in range(chance.randint(1, 3) if death < deaths else 1):
            for _ in range(chance.randint(1, 4)):
                browser.act()
            server.send(browser.parcel())
            if death < deaths and chance.random() < 0.7:
                time.sleep(chance.uniform(0, 0.03))
                break
            browser.hear(*server.recv())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with suppress(EOFError, ConnectionError):
            while True:
                browser.hear(*server.recv())  # it had been said, and so shown as saved
        server.close()
        assert_no_orphans(child)
        there = records(workspace)[before:]
        known = browser.written[: len(there)]
        if there != known or len(there) < browser.acknowledged:
            raise AssertionError(
                f"after death {death} the journal has {there}, not {browser.written}; "
                f"acknowledged are {browser.acknowledged}"
            )
    if records(workspace)[before:] != browser.written or browser.outbox:
        raise AssertionError("the journal does not hold every decision once")
    return FaultRow(
        "kill -9 of the review app",
        f"the process that serves an annotator, as {len(browser.written)} verdicts and undos arrive",
        deaths,
        "",
        "what was acknowledged is in the journal; in the end each is there once, in order; the same page comes back",
    )


def records(workspace: Workspace) -> list[tuple[str, str]]:
    """(sample, action) of everything in the journal, answers to hidden checks included, in its order."""
    query = """
        SELECT sample_id, action FROM (
            SELECT sample_id, action, step FROM decisions UNION ALL SELECT sample_id, action, step FROM gold_decisions
        ) ORDER BY step
    """
    with journal(workspace.journal) as connection:
        rows = connection.execute(query).fetchall()
    return [(str(sample), str(action)) for sample, action in rows]


def _serve(workspace: Workspace) -> tuple[int, Connection]:
    """A forked process with the desk of one annotator; it answers each parcel with what it has written."""
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        ours.close()
        os.environ[TOKEN] = str(os.getpid())
        with suppress(EOFError, BrokenPipeError):
            _be_server(workspace, theirs)
        os._exit(0)
    theirs.close()
    return child, ours


def _be_server(workspace: Workspace, browser: Connection) -> None:
    with ThreadPoolExecutor(1) as workers:
        desk = open_desk(workspace, workers)
        browser.send(page_of(desk))
        while True:
            parcel = browser.recv()
            desk.receive([parcel], lambda: True)
            browser.send((desk.acknowledged.get("browser", 0), desk.notice, desk.refused))


def open_desk(workspace: Workspace, workers: ThreadPoolExecutor) -> Desk:
    """The review screen of one annotator, with a page on it."""
    desk = Desk(workspace, workspace.config(), "annotator", Choice(size=_TILES), workers)
    desk.fetch(wait=True)
    return desk


def page_of(desk: Desk) -> dict[str, Any]:
    """What the browser knows of the page on the desk."""
    page = desk.pages[0].page
    samples = [tile.sample_id for tile in page.tiles]
    return {"page_id": page.page_id, "mode": page.mode.value, "run_id": page.run_id, "samples": samples}


def kill_server(world: World, deaths: int, *, seed: int = 0) -> FaultRow:
    """Kill the real server under a real browser; the browser test does the same with fewer deaths."""
    from playwright.sync_api import sync_playwright

    from tests.review_browser import BROWSED, CHROMIUM, new_tab
    from tests.review_server import ReviewServer, make_review_workspace
    from tests.test_review_browser_survival import survive_kills

    if CHROMIUM is None:
        return FaultRow("kill -9 of its server", "skipped: no Chromium here", 0, "", "")
    (world.folder / "review").mkdir()
    workspace = create_workspace(world.folder / "review" / "ws", BROWSED)
    make_review_workspace(workspace)
    server = ReviewServer(workspace)
    server.start()
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            survive_kills(new_tab(chromium.new_context()), server, deaths, seed)
    finally:
        server.kill()
    return FaultRow(
        "kill -9 of its server",
        "`curate review` under Chromium, keys pressed meanwhile, half of the times with a reload",
        deaths,
        "",
        "what was shown as saved was; everything is written once; undo takes back the newest",
    )

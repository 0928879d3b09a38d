"""The review app in Chromium: from a key to the next frame, from a key to the journal, the server's memory."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from curation.config import write_config
from curation.store.decisions import newest_record
from curation.store.journal import journal
from curation.workspace import Workspace
from tests.review_server import ReviewServer

# The second frame after a key begins when the first, which shows what the key did, has been painted. Waited for in the
# page, since a locator looks only now and then.
_CLOCK = """
    window.repaints = [];
    addEventListener("keydown", (event) => requestAnimationFrame(() => requestAnimationFrame(
        () => window.repaints.push(performance.now() - event.timeStamp))), true);
    window.turns = [];
    const roots = [...document.querySelectorAll("*")].map((one) => one.shadowRoot);
    const root = roots.find((one) => one?.querySelector(".tiles"));
    const first = () => root.querySelector(".tile")?.dataset.sample;
    addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        const before = first();
        const look = () => (first() ?? before) === before
            ? requestAnimationFrame(look) : window.turns.push(performance.now() - event.timeStamp);
        requestAnimationFrame(look);
    }, true);
"""
_PATIENCE_MS = 60_000
_KEYS = ("e", "q", "n", "w")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window; stops with a word where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise SystemExit("no Chromium here: `apt-get install chromium` gives one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served(workspace: Workspace, tiles: int) -> Iterator[ReviewServer]:
    """The review app with pages of so many tiles, in a process of its own."""
    config = workspace.config()
    review = config.review.model_copy(update={"page_size": tiles, "gold": 0.0})  # answers to checks lie elsewhere
    write_config(config.model_copy(update={"review": review}), workspace.config_file)
    server = ReviewServer(workspace)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def sit_down(page: Page, server: ReviewServer, name: str) -> float:
    """Sign in on the Review screen; returns the milliseconds until the tiles are there."""
    page.set_viewport_size({"width": 1600, "height": 1000})
    page.goto(server.address)
    page.get_by_role("textbox", name="Your name").fill(name)
    started = time.perf_counter()
    page.get_by_role("button", name="Begin").click()
    page.locator(".tile").first.wait_for(timeout=_PATIENCE_MS)
    elapsed_ms = 1000 * (time.perf_counter() - started)
    page.evaluate(_CLOCK)
    return elapsed_ms


def key_to_repaint(page: Page, presses: int, pause_s: float) -> list[float]:
    """Milliseconds from a key to the frame after the one that shows it: a verdict, then a move, in turn."""
    page.evaluate("window.repaints.length = 0")
    for number in range(presses):
        page.keyboard.press("ArrowRight" if number % 2 else _KEYS[number // 2 % len(_KEYS)])
        time.sleep(pause_s)
    page.wait_for_function(f"window.repaints.length >= {presses}")
    return [float(value) for value in page.evaluate("window.repaints")]


def key_to_disk(page: Page, workspace: Workspace, presses: int, pause_s: float) -> list[float]:
    """Milliseconds from a key until its record can be read in the journal."""
    took = []
    with journal(workspace.journal) as connection:
        for number in range(presses):
            before, _ = newest_record(connection)
            started = time.perf_counter()
            page.keyboard.press(_KEYS[number % len(_KEYS)])
            while newest_record(connection)[0] == before:
                time.sleep(0.0005)
            took.append(1000 * (time.perf_counter() - started))
            page.keyboard.press("ArrowRight")
            time.sleep(pause_s)
    return took


def confirm_and_wait(page: Page) -> float:
    """Milliseconds from Enter until the tiles of the next page are there."""
    before = page.evaluate("window.turns.length")
    page.keyboard.press("Enter")
    page.wait_for_function(f"window.turns.length > {before}", timeout=_PATIENCE_MS)
    return float(page.evaluate("window.turns.at(-1)"))


def several(browser: Browser, server: ReviewServer, number: int, rounds: int = 60) -> list[float]:
    """`key_to_repaint` of `number` annotators, each in a browser: two keys a second, a page every ten seconds."""
    with ExitStack() as stack:
        pages = [stack.enter_context(browser.new_context()).new_page() for _ in range(number)]
        for place, page in enumerate(pages):
            sit_down(page, server, f"one of several {place}")
        for turn in range(rounds):
            for page in pages:
                page.keyboard.press("Enter" if turn % 20 == 19 else _KEYS[turn % len(_KEYS)])
                time.sleep(0.5 / number)
        for page in pages:
            all_saved(page)
        return [float(value) for page in pages for value in page.evaluate("window.repaints")]


def all_saved(page: Page) -> None:
    page.locator(".saving", has_text="all saved").wait_for(timeout=_PATIENCE_MS)


def resident_mib(server: ReviewServer) -> float:
    """Memory of the server's own process, without those that decode."""
    assert server.process is not None
    return psutil.Process(server.process.pid).memory_info().rss / 2**20

"""Annotators beside nights and exports, each in a process: two in browsers, two at the library, one who looks around.

All of them note how long they waited, what was acknowledged, and everything that looked like an error.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page
from playwright.sync_api import TimeoutError as TookTooLong

from curation.files import replace_text
from curation.review.deciding import confirm_page, decide
from curation.review.pages import newest_run, next_page
from curation.review.values import Verdict
from curation.values import DecisionAction
from curation.workspace import Workspace
from tests.benchmarks.review_browser import chromium

_PATIENCE_MS = 30_000
_KEYS = {"e": DecisionAction.DROP, "q": DecisionAction.KEEP, "n": DecisionAction.UNSURE}

# In the page, since a look from outside takes as long as what is looked at. A key is painted when the second frame
# after it begins; it is acknowledged when what the browser keeps of events that are not yet saved has no event of it.
_CLOCK = r"""
    window.waits = [];
    window.said = [];
    window.late = 0;
    const roots = () => [...document.querySelectorAll("*")].map((one) => one.shadowRoot);
    let root = null;
    const find = (selector) => {
        if (!root?.host?.isConnected) root = roots().find((one) => one?.querySelector(".saving"));
        return root?.querySelector(selector);
    };
    const first = () => find(".tile")?.dataset.sample;
    const unsaved = () => Object.keys(localStorage).filter((key) => /^curate-outbox.*\/\d+-\d+$/.test(key))
        .flatMap((key) => JSON.parse(localStorage.getItem(key)).events.map((one) => one.seq));
    const note = (what, event) => {
        const seconds = (performance.now() - event.timeStamp) / 1000;
        window.waits.push([what, Date.now() / 1000 - seconds, seconds]);
    };
    const when = (holds, then) => {  // a look at every frame would have the browser draw without end
        const look = () => (holds() ? then() : setTimeout(look, 10));
        setTimeout(look, 0);
    };
    addEventListener("keydown", (event) => {
        if (!"eqnzEnter".includes(event.key)) return;
        const before = first();
        requestAnimationFrame(() => requestAnimationFrame(() => note("key to repaint", event)));
        setTimeout(() => {
            const seq = Math.max(0, ...unsaved());
            const acknowledged = () => !unsaved().includes(seq);
            const what = event.key === "Enter" ? "page confirmed to acknowledged" : "key to acknowledged";
            when(acknowledged, () => note(what, event));
        });
        const none = () => find(".empty")?.textContent.startsWith("Nothing is left");
        const turned = () => (first() ?? before) !== before || none();
        if (event.key === "Enter") when(turned, () => note("page to next page", event));
    }, true);
    let last = "";
    setInterval(() => {
        const late = find(".saving")?.textContent ?? "";
        const notice = find(".notice");
        window.late += late.startsWith("not saved") ? 0.05 : 0;
        const now = [notice && !notice.hidden ? notice.textContent : ""]
            .concat([...document.querySelectorAll('[data-testid="stException"], [data-testid="stAlertContentError"]')]
                .map((one) => one.textContent)).filter(Boolean).join(" | ");
        if (now && now !== last) window.said.push(now);
        last = now;
    }, 50);
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Everybody begins at once, when all have sat down: the server has been there all day, and so have they."""

    workspace: Workspace
    address: str
    folder: Path
    people: int
    seconds: float

    def sit(self, name: str) -> float:
        """Wait for the others; returns when to stop (seconds since 1970)."""
        (self.folder / f"seated {name}").touch()
        while not (self.folder / "until").exists():
            time.sleep(0.05)
        return float((self.folder / "until").read_text())

    def give(self, everybody: Sequence[Future[Seen]]) -> float:
        """Wait for everybody, and begin; returns when to stop. Raises what keeps anybody from sitting down."""
        while len(list(self.folder.glob("seated *"))) < self.people:
            for one in everybody:
                if one.done():
                    one.result()
            time.sleep(0.05)
        until = time.time() + self.seconds
        replace_text(self.folder / "until", repr(until))
        return until


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody waited `seconds` for `what`, from `began_at` (seconds since 1970) on."""

    what: str
    began_at: float
    seconds: float


@dataclass
class Seen:
    """What one annotator met. `acknowledged`: by sample, the actions whose record they were told of, in their order; an
    empty text stands for whatever was set beforehand and confirmed with its page.
    `late_s` is how long the app said "not saved yet", which it does when that takes longer than a second and a half."""

    annotator: str
    waits: list[Wait] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    late_s: float = 0.0
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    pages: int = 0

    @contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        began_at, started = time.time(), time.perf_counter()
        yield
        self.waits.append(Wait(what, began_at, time.perf_counter() - started))

    @contextmanager
    def patiently(self, page: Page, what: str) -> Iterator[None]:
        """What does not come at all is an error, told with what is on the screen instead."""
        began_at = time.time()
        try:
            yield
        except TookTooLong:
            self.waits.append(Wait(f"{what} did not come", began_at, time.time() - began_at))
            self.errors.append(f"{what} did not come: {page.locator('body').inner_text()[:1000]!r}")

    def was_told(self, sample_id: str, action: str) -> None:
        self.acknowledged.setdefault(sample_id, []).append(action)


def at_the_browser(start: Start, name: str, pause_s: float, keys: int) -> Seen:
    """Review by keys until then, `keys` verdicts on each page and the rest by Enter."""
    seen = Seen(name)
    with chromium() as browser:
        page = browser.new_page()
        _listen(page, seen)
        _sit_down(page, start.address, seen)
        page.evaluate(_CLOCK)
        until = start.sit(name)
        while time.time() < until and page.locator(".tile").count():
            with seen.patiently(page, "page"):
                _review_page(page, seen, pause_s, keys)
        page.locator(".saving", has_text="all saved").wait_for(timeout=_PATIENCE_MS)
        seen.waits += [Wait(*wait) for wait in page.evaluate("window.waits")]
        seen.errors += page.evaluate("window.said")
        seen.late_s = page.evaluate("window.late")
    return seen


def _review_page(page: Page, seen: Seen, pause_s: float, keys: int) -> None:
    """Verdicts on the first tiles, the first one taken back and given again, then Enter."""
    shown = page.locator(".tile").evaluate_all("tiles => tiles.map((tile) => tile.dataset.sample)")
    told = {sample: [""] for sample in shown}
    for place, sample in enumerate(shown[:keys]):
        key = list(_KEYS)[(place + seen.pages) % len(_KEYS)]
        for pressed in (key, "z", key) if place == 0 else (key,):
            _press(page, pressed, pause_s)
        told[sample] = [_KEYS[key].value, "undo", _KEYS[key].value] if place == 0 else [_KEYS[key].value]
        _press(page, "ArrowRight", 0.0)
    turned = page.evaluate("window.waits.filter(([what]) => what === 'page to next page').length")
    page.keyboard.press("Enter")
    page.wait_for_function(
        f"window.waits.filter(([what]) => what === 'page to next page').length > {turned}",
        timeout=_PATIENCE_MS,
        polling=50,  # the default, at every frame, has the browser draw without end
    )
    page.locator(".saving", has_text="all saved").wait_for(timeout=_PATIENCE_MS)
    for sample, actions in told.items():
        for action in actions:
            seen.was_told(sample, action)
    seen.pages += 1


def _press(page: Page, key: str, pause_s: float) -> None:
    page.keyboard.press(key)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    time.sleep(pause_s)


def at_the_library(start: Start, name: str, pause_s: float, keys: int) -> Seen:
    """The same without a browser: pages, decisions and confirmations as the app writes them."""
    workspace = start.workspace
    seen, chance, config = Seen(name), random.Random(name), workspace.config()
    newest_run(workspace)  # reads the queue
    until = start.sit(name)
    while time.time() < until:
        with seen.waiting_for("library: page"):
            page = next_page(workspace, config, name)
        if page is None:
            break
        for tile in page.tiles[:keys]:
            action = chance.choice(list(_KEYS.values()))
            with seen.waiting_for("library: decision written"):
                decide(workspace, page, name, [Verdict(tile.sample_id, action, None, "e")])
            seen.was_told(tile.sample_id, action.value)
            time.sleep(pause_s)
        with seen.waiting_for("library: page confirmed"):
            confirm_page(workspace, page, name)
        for tile in page.tiles[keys:]:
            seen.was_told(tile.sample_id, "")
        seen.pages += 1
    return seen


# Screen -> what is drawn last on it.
_SCREENS = {
    "Overview": "How far they agree",
    "Decisions": "Take back the 0 marked",
    "Cleaned sets": "With the clean base images, at weight 1",
    "Search": "How many",
    "Review": None,
}


def looking_around(start: Start, name: str, pause_s: float) -> Seen:
    """Open every screen in turn, and export from the app whenever no export of it runs."""
    seen = Seen(name)
    with chromium() as browser:
        page = browser.new_page()
        _listen(page, seen)
        _sit_down(page, start.address, seen)
        page.evaluate(_CLOCK)
        _visit_all(page, Seen(name), 0.0)  # the server has been there all day, and has shown all of them before
        until = start.sit(name)
        while time.time() < until:
            _visit_all(page, seen, pause_s)
            seen.pages += 1
        seen.errors += page.evaluate("window.said")
    return seen


def _visit_all(page: Page, seen: Seen, pause_s: float) -> None:
    for screen, last in _SCREENS.items():
        time.sleep(pause_s)
        with seen.patiently(page, screen), seen.waiting_for(f"screen {screen}"):
            page.get_by_role("link", name=screen, exact=True).click()
            shown = page.locator(".tile").first if last is None else page.get_by_text(last).first
            shown.wait_for(timeout=_PATIENCE_MS)
        if screen == "Cleaned sets":
            with seen.patiently(page, "figures"), seen.waiting_for("figures of the cleaned set: work"):
                page.get_by_text("Confirmed by people").first.wait_for(timeout=_PATIENCE_MS)
            with seen.patiently(page, "export"):
                _export(page, seen)


def _export(page: Page, seen: Seen) -> None:
    """Start one, unless one runs; wait until the app says that it was started."""
    button = page.get_by_role("button", name="Export under the flags")
    if not button.is_enabled():
        return
    name = f"app-{time.time_ns() // 10**6}"
    page.get_by_role("textbox", name="Name").fill(name)
    with seen.waiting_for("app: export started"):
        button.click()
        page.get_by_text(re.compile(f"{name}: ")).first.wait_for(timeout=_PATIENCE_MS)


def _sit_down(page: Page, address: str, seen: Seen) -> None:
    page.set_viewport_size({"width": 1000, "height": 700})
    page.goto(address)
    page.get_by_role("textbox", name="Your name").fill(seen.annotator)
    page.get_by_role("button", name="Begin").click()
    page.locator(".tile").first.wait_for(timeout=_PATIENCE_MS)


def _listen(page: Page, seen: Seen) -> None:
    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            seen.errors.append(f"console: {message.text}")

    page.on("console", heard)
    page.on("pageerror", lambda error: seen.errors.append(f"page: {error}"))

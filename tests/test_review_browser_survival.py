"""What an annotator saw saved is in the journal, once: closed tabs, killed servers, a run that writes meanwhile."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.review_browser import (
    SIZE,
    all_saved,
    begin,
    first_page,
    needs_chromium,
    new_tab,
    press,
    sample_ids,
    tile,
)
from tests.review_server import ROOT, ReviewServer, actions_of, decisions_of, records_of

pytestmark = needs_chromium
KILLS = 4


@contextmanager
def nightly_run(server: ReviewServer) -> Iterator[subprocess.Popen[bytes]]:
    """One that has published its first snapshot, and goes on meanwhile."""
    command = [sys.executable, "-m", "tests.nightly_run", str(server.workspace.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as run:
        assert run.stdout is not None and run.stdout.readline()
        yield run
        run.kill()


def test_closed_and_reloaded_tabs__leave_their_verdicts_to_the_next(
    page: Page, window: BrowserContext, server: ReviewServer
) -> None:
    shown = begin(page, server, "closes")
    press(page, "e")
    all_saved(page)
    other = new_tab(window)
    other.goto(server.address)
    assert first_page(other) == shown  # the browser remembers who it is, the journal which page they had
    server.kill()
    press(page, "ArrowRight", "n", "ArrowRight", "q", "z")  # the last is taken back
    press(other, "End", "n")
    for each, number in ((page, 3), (other, 1)):
        expect(each.locator(".saving")).to_have_text(f"not saved yet: {number}", timeout=10_000)
    page.goto("about:blank")
    assert records_of(server.workspace, "closes") == [(shown[0], "drop")]
    server.start()
    other.reload()
    assert first_page(other) == shown
    all_saved(other)
    records = records_of(server.workspace, "closes")
    undone = (shown[2], "undo")
    assert Counter(records) == Counter(
        [(shown[0], "drop"), (shown[1], "unsure"), (shown[2], "keep"), undone, (shown[-1], "unsure")]
    )
    press(other, "z")  # what was newest
    all_saved(other)
    assert len(records_of(server.workspace, "closes")) == len(records) + 1
    assert other.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('curate-outbox'))") == []
    other.close()
    page.goto(server.address)


def test_kills__the_keyboard_comes_back_when_the_server_does(page: Page, server: ReviewServer) -> None:
    shown = begin(page, server, "waits")
    press(page, "ArrowRight")
    server.kill()
    expect(page.get_by_role("dialog")).to_be_visible(timeout=30_000)  # Streamlit's own, which takes the keyboard
    server.start()
    expect(page.get_by_role("dialog")).to_be_hidden(timeout=30_000)
    expect(tile(page, 1)).to_be_focused(timeout=30_000)
    press(page, "e")
    all_saved(page)
    assert records_of(server.workspace, "waits") == [(shown[1], "drop")]


def test_kills__at_random_moments_lose_nothing_that_was_shown_as_saved(page: Page, server: ReviewServer) -> None:
    survive_kills(page, server, KILLS, seed=7)  # `python -m tests.benchmarks faults` does more


def survive_kills(page: Page, server: ReviewServer, kills: int, seed: int) -> None:
    """Kill the server as keys are pressed; what the browser showed as saved is there, and everything once."""
    shown = begin(page, server, "is killed")
    chance = random.Random(seed)
    decided: dict[str, str] = {}
    for kill in range(kills):
        for place in chance.sample(range(SIZE), 3):
            key, action = chance.choice([("q", "keep"), ("e", "drop"), ("n", "unsure")])
            tile(page, place).focus()
            press(page, key)
            decided[shown[place]] = action
            page.wait_for_timeout(chance.uniform(0, 150))
        saved = dict(decided) if page.locator(".saving").inner_text() == "all saved" else {}
        server.kill()
        assert actions_of(server.workspace, list(saved)) == list(saved.values())
        server.start()
        if kill % 2:
            page.reload()  # what the browser had in memory is gone too
        assert first_page(page) == shown
        all_saved(page)
    page.reload()
    assert first_page(page) == shown
    stands = {sample: tile(page, place).get_attribute("data-action") for place, sample in enumerate(shown)}
    assert {sample: stands[sample] for sample in decided} == decided
    assert actions_of(server.workspace, list(decided)) == list(decided.values())
    records = records_of(server.workspace, "is killed")
    assert len(records) == 3 * kills
    press(page, "z", "z")  # by a browser and a server that have seen none of it
    all_saved(page)
    undone = [(sample, "undo") for sample, _ in reversed(records[-2:])]
    assert records_of(server.workspace, "is killed") == [*records, *undone]


def test_run__writes_meanwhile_and_is_offered(chromium: Browser, page: Page, server: ReviewServer) -> None:
    with chromium.new_context() as context, nightly_run(server) as run:
        both = {"works at night": page, "works with her": new_tab(context)}
        confirmed: dict[str, list[str]] = {name: [] for name in both}
        shown = {name: begin(tab, server, name) for name, tab in both.items()}
        for _ in range(2):
            for name, tab in both.items():
                press(tab, "e", "ArrowRight", "n", "Enter")
                expect(tile(tab, 0)).not_to_have_attribute("data-sample", shown[name][0], timeout=20_000)
                confirmed[name] += shown[name]
                shown[name] = sample_ids(tab)
        for name, tab in both.items():
            all_saved(tab)
            expect(tab.locator(".notice")).to_be_hidden()
            decided = decisions_of(server.workspace)
            assert {decided[sample].annotator for sample in confirmed[name]} == {name}
            assert actions_of(server.workspace, confirmed[name][:SIZE:SIZE]) == ["drop"]
            assert len(records_of(server.workspace, name)) == 2 * SIZE
        before = page.locator(".run").inner_text()
        page.get_by_role("button", name="Use the newer run").click(timeout=20_000)
        expect(page.locator(".run")).not_to_have_text(before, timeout=20_000)
        expect(page.locator(".run")).to_contain_text("run 20260201T070000")
        assert run.poll() is None, "the run itself has failed"

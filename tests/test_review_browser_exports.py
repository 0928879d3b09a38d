"""Exports from the Cleaned sets screen: watched, cancelled, and whole or not there whoever dies meanwhile."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Page, expect

from app.review.export_job import finished_exports
from curation.export.reading import check_export, read_export
from tests.review_browser import needs_chromium, open_screen, sit_down
from tests.review_server import ReviewServer

pytestmark = needs_chromium


def begin_export(page: Page, name: str) -> None:
    button = page.get_by_role("button", name="Export under the flags")
    expect(button).to_be_enabled(timeout=20_000)
    expect(page.get_by_text("Confirmed by people")).to_be_visible(timeout=20_000)  # nothing moves from here on
    chosen = page.get_by_role("combobox", name=re.compile("Format"))
    if chosen.input_value() != "imagefolder":
        chosen.click()
        page.get_by_role("option", name="imagefolder").click()
    page.get_by_role("textbox", name="Name").fill(name)
    button.click()


def writer_of(server: ReviewServer, name: str) -> str | None:
    """The process that is writing the export and has written a part of it."""
    parts = server.workspace.exports.glob(f".{name}.*.partial/*")
    writers = {path.parent.name.split(".")[2] for path in parts}
    return next((process for process in writers if Path("/proc", process).exists()), None)


@contextmanager
def held_while_writing(server: ReviewServer, name: str) -> Iterator[int]:
    """The process id of the export, stopped while it has written a part, for the length of the block."""
    wait_until(lambda: writer_of(server, name) is not None)
    process = int(writer_of(server, name) or 0)
    os.kill(process, signal.SIGSTOP)
    assert not (server.workspace.exports / name).exists(), "it was faster than this test"
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def left_behind(server: ReviewServer) -> list[Path]:
    return [path for path in server.workspace.exports.iterdir() if path.name != ".jobs"]


def test_export__is_watched_cancelled_and_survives_closed_browsers_and_killed_servers(
    page: Page, server: ReviewServer
) -> None:
    sit_down(page, server, "exports")
    open_screen(page, "Cleaned sets")
    begin_export(page, "first")
    with held_while_writing(server, "first"):
        expect(page.get_by_role("progressbar")).to_be_visible(timeout=20_000)
        page.get_by_role("button", name="Cancel the export").click()
        page.wait_for_timeout(300)  # it has been asked to end, and can only when it goes on
    expect(page.get_by_text("Cancelled; nothing was written.")).to_be_visible(timeout=30_000)
    assert left_behind(server) == []

    begin_export(page, "first")
    with held_while_writing(server, "first"):
        server.kill()
    exported = server.workspace.exports / "first"
    wait_until(exported.exists)  # it was no part of the server
    check_export(read_export(exported))
    server.start()
    page.reload()

    open_screen(page, "Cleaned sets")
    begin_export(page, "second")
    with held_while_writing(server, "second") as process:
        os.kill(process, signal.SIGKILL)
    expect(page.get_by_test_id("stAlert").filter(has_text="second")).to_be_visible(timeout=20_000)
    assert finished_exports(server.workspace) == [exported] != left_behind(server)
    begin_export(page, "second")
    with held_while_writing(server, "second"):
        page.goto("about:blank")
    again = server.workspace.exports / "second"
    wait_until(again.exists)
    check_export(read_export(again))
    assert sorted(left_behind(server)) == [exported, again] == finished_exports(server.workspace)
    page.goto(server.address)

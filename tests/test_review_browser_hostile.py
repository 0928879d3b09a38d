"""What comes from the web or from a hostile client is shown as text and reaches no file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from streamlit.web.server.starlette import starlette_agent_routes, starlette_auth_routes, starlette_routes

from tests.review_browser import all_saved, begin, needs_chromium, open_screen, press, tile
from tests.review_server import HOSTILE, HOSTILE_RUN, HOSTILE_SITE, ReviewServer

pytestmark = needs_chromium
_ABOVE = ["../" * 8, "%2e%2e/" * 8, "..%2f" * 8, "..%5c" * 8, "/", "//", "%2f", "curate_grid/" + "../" * 8]
_SECRETS = (b"root:", b"SQLite", b"[review]", b"import streamlit")  # of the files below


def nothing_ran(page: Page) -> None:
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src='x'], a[href^='javascript']").count() == 0


def test_text_of_crawls_and_people__is_shown_and_never_run(page: Page, server: ReviewServer) -> None:
    begin(page, server, HOSTILE)
    page.get_by_test_id("stExpandSidebarButton").click()
    expect(page.get_by_test_id("stSidebar").get_by_text(HOSTILE, exact=True)).to_be_visible()
    page.get_by_role("combobox", name=re.compile("Category")).click()
    page.get_by_role("option", name=HOSTILE).click()
    expect(page.locator("#question .name")).to_have_text(HOSTILE, timeout=20_000)
    expect(page.locator(".run")).to_have_text(f"run {HOSTILE_RUN}")
    tile(page, 0).click()
    expect(page.locator(".about-title")).to_have_text(re.compile(rf"{re.escape(HOSTILE)}/\d+\.jpg"))
    press(page, "v")
    expect(page.locator(".evidence dd").first).to_have_text(HOSTILE, timeout=30_000)
    nothing_ran(page)
    press(page, "Escape", "2")  # the category of key 2 is none of this workspace
    refused = page.get_by_role("alert").filter(has_text="Not saved: 'robin'")
    expect(refused).to_be_visible(timeout=20_000)
    expect(tile(page, 0)).to_have_attribute("data-own", "")  # by the click
    press(page, "e", "Escape")
    expect(refused).to_be_hidden()
    all_saved(page)
    nothing_ran(page)

    open_screen(page, "Overview")
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=20_000)
    nothing_ran(page)
    open_screen(page, "Search")
    page.get_by_text("Source site").click()
    page.get_by_role("textbox", name="Site").fill(HOSTILE_SITE)
    press(page, "Enter")
    expect(page.locator("figcaption").first).to_contain_text(HOSTILE, timeout=20_000)
    nothing_ran(page)
    open_screen(page, "Decisions")
    page.get_by_role("combobox", name=re.compile("Annotator")).click(timeout=20_000)
    page.get_by_role("option", name=HOSTILE).click()
    expect(page.get_by_text("2 decisions, newest first")).to_be_visible(timeout=20_000)
    nothing_ran(page)
    open_screen(page, "Cleaned sets")
    page.get_by_role("textbox", name="Name").fill(HOSTILE)
    press(page, "Enter")
    expect(page.get_by_role("alert").filter(has_text=f"'{HOSTILE}' is no name")).to_be_visible(timeout=20_000)
    nothing_ran(page)


def test_uploaded_picture__is_neither_kept_nor_trusted_for_its_name(page: Page, server: ReviewServer) -> None:
    begin(page, server, "uploads")
    open_screen(page, "Search")
    before = files_below(server.workspace.root.parent)
    for name in ("../../../escaped.png", f"{HOSTILE.replace('/', '')}.png"):
        content = {"name": name, "mimeType": "image/png", "buffer": b"no picture"}
        page.locator("input[type=file]").set_input_files(content)
        expect(page.get_by_role("button", name=f"Remove {name}")).to_be_visible(timeout=20_000)
        nothing_ran(page)
    assert files_below(server.workspace.root.parent) - before <= {"server.log"}


def files_below(folder: Path) -> set[str]:
    """The files that are no part of SQLite's or DuckDB's own bookkeeping."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.endswith(("-wal", "-shm"))}


def routes() -> Iterator[str]:
    """Every route that Streamlit serves, without what varies in it."""
    for module in (starlette_routes, starlette_auth_routes, starlette_agent_routes):
        for name, value in vars(module).items():
            if "ROUTE" in name and isinstance(value, str):
                yield "/" + value.split("{")[0].strip("/")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
def test_routes__serve_and_take_no_file_by_its_path(server: ReviewServer, method: str) -> None:
    wanted = [str(server.workspace.journal), str(server.workspace.root / "curate.toml"), "/etc/passwd"]
    tails = [above + path.lstrip("/") for above, path in product(_ABOVE, wanted)]
    tails += ["curate.toml", "..%2fcurate.toml", "decisions.sqlite", "main.py", "session/..%2f..%2fescaped"]
    known = {*routes(), "", "/static", "/component/curate_grid"}
    assert {"/media", "/_stcore/upload_file", "/_stcore/bidi-components", "/app/static", "/oauth2callback"} <= known
    before = files_below(server.workspace.root.parent)
    for route, tail in product(sorted(known), tails):
        status, body = server.ask(method, f"{route}/{tail}")
        assert not any(secret in body for secret in _SECRETS), (route, tail)
        assert status >= 300 or (method in ("GET", "HEAD") and (not body or b"<html" in body)), (route, tail, status)
    assert files_below(server.workspace.root.parent) == before

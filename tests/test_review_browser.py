"""The review app in a real browser: Chromium against a served workspace of 2,000 samples."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from curation.config import Config, ReviewConfig
from curation.workspace import create_workspace
from tests.review_server import HOSTILE, ReviewServer, actions_of, decisions_of, make_review_workspace

SIZE = 12
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `apt-get install chromium` gives one")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewServer]:
    root = tmp_path_factory.mktemp("review")
    config = Config(review=ReviewConfig(page_size=SIZE, overlap=0, gold=0))
    workspace = create_workspace(root / "ws", config)
    make_review_workspace(workspace)
    served = ReviewServer(workspace)
    served.start()
    yield served
    served.kill()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def window(chromium: Browser) -> Iterator[BrowserContext]:
    """One for most tests, since a new one loads all scripts of Streamlit again."""
    with chromium.new_context() as context:
        yield context


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    """A tab of a browser that remembers nobody."""
    page = window.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    yield page
    page.evaluate("localStorage.clear()")
    page.close()


def sit_down(page: Page, server: ReviewServer, name: str) -> None:
    page.goto(server.address)
    page.get_by_role("textbox", name="Your name").fill(name)
    page.get_by_role("button", name="Begin").click()


def begin(page: Page, server: ReviewServer, name: str) -> list[str]:
    """Sign in on the Review screen; returns the sample ids of the first page."""
    sit_down(page, server, name)
    expect(page.locator(".tile")).to_have_count(SIZE, timeout=20_000)
    expect(page.locator(".tile").first).to_be_focused()
    return sample_ids(page)


def sample_ids(page: Page) -> list[str]:
    return [str(tile.get_attribute("data-sample")) for tile in page.locator(".tile").all()]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def all_saved(page: Page) -> None:
    expect(page.locator(".saving")).to_have_text("all saved", timeout=20_000)


def tile(page: Page, place: int) -> Locator:
    return page.locator(".tile").nth(place)


def test_keyboard__two_pages(page: Page, server: ReviewServer) -> None:
    first = begin(page, server, "keyboard")
    press(page, "e", "ArrowRight", "q", "ArrowRight", "n", "ArrowRight", "1", "ArrowRight", "w")
    expect(tile(page, 0)).to_have_attribute("data-action", "drop")
    all_saved(page)
    assert actions_of(server.workspace, first[:3]) == ["drop", "keep", "unsure"]
    named = decisions_of(server.workspace)[first[3]]
    assert (named.category, named.context["key"]) == ("wren", "1")
    assert actions_of(server.workspace, first[5:]) == [None] * (SIZE - 5)
    press(page, "Enter")
    expect(tile(page, 0)).not_to_have_attribute("data-sample", first[0])
    second = sample_ids(page)
    assert not set(first) & set(second)
    press(page, "Enter")
    expect(tile(page, 0)).not_to_have_attribute("data-sample", second[0], timeout=20_000)
    all_saved(page)
    decided = decisions_of(server.workspace)
    assert {*first, *second} <= decided.keys()
    assert {decided[name].context["key"] for name in second} == {""}


def test_confirmed_page__comes_back_by_undo(page: Page, server: ReviewServer) -> None:
    shown = begin(page, server, "thinks twice")
    press(page, "e", "Enter")
    expect(tile(page, 0)).not_to_have_attribute("data-sample", shown[0], timeout=20_000)
    all_saved(page)
    press(page, "z")
    expect(tile(page, 0)).to_have_attribute("data-sample", shown[0])
    all_saved(page)
    assert actions_of(server.workspace, shown) == ["drop"] + [None] * (SIZE - 1)


def test_killed_server_and_reloaded_page__lose_nothing_and_undo(page: Page, server: ReviewServer) -> None:
    shown = begin(page, server, "restarts")
    press(page, "x", "ArrowRight", "ArrowRight", "e")
    all_saved(page)
    assert actions_of(server.workspace, shown[:4]) == ["drop"] * 3 + [None]
    server.kill()
    press(page, "End", "n")  # decided while there is no server
    expect(page.locator(".saving")).to_have_text("not saved yet: 1", timeout=10_000)
    server.start()
    expect(page.locator(".tile")).to_have_count(SIZE, timeout=30_000)
    all_saved(page)
    decided = ["drop"] * 3 + ["unsure"]
    assert actions_of(server.workspace, [*shown[:3], shown[-1]]) == decided
    assert sample_ids(page) == shown
    page.reload()  # what the browser knew is gone, but for the name
    expect(page.locator(".tile")).to_have_count(SIZE, timeout=20_000)
    assert sample_ids(page) == shown
    assert [tile(page, place).get_attribute("data-action") for place in (0, 1, 2, SIZE - 1)] == decided
    press(page, "z", "z")
    all_saved(page)
    assert actions_of(server.workspace, [*shown[:3], shown[-1]]) == ["drop"] * 2 + [None] * 2


def test_mouse__does_what_keys_do(page: Page, server: ReviewServer) -> None:
    shown = begin(page, server, "points")
    before = tile(page, 0).get_attribute("data-action")
    tile(page, 0).click()
    expect(tile(page, 0)).not_to_have_attribute("data-action", str(before))
    tile(page, 2).click()
    tile(page, 4).click(modifiers=["Shift"])
    page.get_by_role("button", name="Unsure").click()
    all_saved(page)
    assert actions_of(server.workspace, shown[2:5]) == ["unsure"] * 3
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Confirm page").click()
    expect(tile(page, 0)).not_to_have_attribute("data-sample", shown[0], timeout=20_000)
    all_saved(page)
    assert None not in actions_of(server.workspace, shown)


def test_keys__decide_nothing_behind_a_dialog_in_a_field_or_for_the_browser(page: Page, server: ReviewServer) -> None:
    shown = begin(page, server, "looks closely")
    small = page.locator(".tile img").first.get_attribute("src")
    page.keyboard.down(" ")
    expect(page.locator(".zoomed")).to_be_visible()
    expect(page.locator(".zoomed")).not_to_have_attribute("src", str(small), timeout=20_000)
    assert str(page.locator(".zoomed").get_attribute("src")).startswith("data:image/jpeg;base64,")
    page.keyboard.up(" ")
    expect(page.locator(".zoom")).to_be_hidden()
    press(page, "?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    press(page, "e", "Escape")
    expect(page.locator(".help")).to_be_hidden()
    press(page, "Control+e", "Alt+q", "Meta+n", "c", "r")
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("spinbutton", name="Images on a page").click()
    press(page, "e", "n", "q")
    page.wait_for_timeout(300)
    assert actions_of(server.workspace, shown) == [None] * SIZE


def test_two_annotators__never_see_the_same(chromium: Browser, page: Page, server: ReviewServer) -> None:
    with chromium.new_context() as other:
        first, second = page, other.new_page()
        shown, seen = begin(first, server, "anna"), begin(second, server, "ben")
        assert not set(shown) & set(seen)
        press(first, "Enter")
        press(second, "Enter")
        for each in (first, second):
            all_saved(each)
        decided = decisions_of(server.workspace)
        assert {decided[name].annotator for name in shown} == {"anna"}
        assert {decided[name].annotator for name in seen} == {"ben"}


def test_text_of_crawls__is_shown_and_never_run(page: Page, server: ReviewServer) -> None:
    begin(page, server, HOSTILE)
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("combobox", name=re.compile("Category")).click()
    page.get_by_role("option", name=HOSTILE).click()
    expect(page.locator("#question .name")).to_have_text(HOSTILE, timeout=20_000)
    tile(page, 0).click()
    press(page, "v")
    expect(page.locator(".evidence dd").first).to_have_text(HOSTILE, timeout=30_000)
    expect(page.locator(".evidence dd", has_text="javascript:")).to_have_count(1)
    assert page.locator(".evidence a").count() == 0
    press(page, "Escape")
    refused = page.get_by_role("alert").filter(has_text="Not saved")
    for _ in range(4):  # on a busy machine the grid may not have the keyboard back yet
        press(page, "2")  # the category of key 2 is none of this workspace
        page.wait_for_timeout(3_000)
        if refused.is_visible():
            break
    expect(refused).to_be_visible()
    for screen in ("Overview", "Decisions"):
        page.get_by_role("link", name=screen).click()
        expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=20_000)
    assert page.evaluate("window.hacked") is None


def test_layout__fits_every_width_and_names_every_tile(page: Page, server: ReviewServer) -> None:
    begin(page, server, "looks")
    for width in (400, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
    assert all(
        re.match(r"Image \d+ of 12, ", str(one.get_attribute("aria-label"))) for one in page.locator(".tile").all()
    )


@pytest.mark.parametrize(
    "path",
    [
        "/media/../../../../etc/passwd",
        "/media/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/app/static/../../../etc/passwd",
        "/app/static/decisions.sqlite",
        "/static/../../../../../../etc/passwd",
        "/component/curate_grid/../../../../etc/passwd",
        "/_stcore/bidi-components/curate_grid/../../../../../etc/passwd",
        "/_stcore/bidi-components/curate_grid/%2e%2e/%2e%2e/main.py",
        "/curate.toml",
        "/..%2fcurate.toml",
    ],
)
def test_routes__serve_no_file_by_its_path(server: ReviewServer, path: str) -> None:
    status, body = server.get(path)
    assert (
        b"root:" not in body and b"SQLite" not in body and b"[review]" not in body and b"import streamlit" not in body
    )
    assert status >= 400 or b"<html" in body  # the app itself, whatever was asked for

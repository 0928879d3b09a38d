"""A pytest plugin: a served workspace and Chromium for tests of the review app, and what an annotator does there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from curation.config import Config, ReviewConfig
from curation.workspace import create_workspace
from tests.review_server import ReviewServer, make_review_workspace

SIZE = 12
BROWSED = Config(review=ReviewConfig(page_size=SIZE, overlap=0, gold=0))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `apt-get install chromium` gives one")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewServer]:
    """One for most tests, which take different annotators."""
    root = tmp_path_factory.mktemp("review")
    workspace = create_workspace(root / "ws", BROWSED)
    make_review_workspace(workspace)
    served = ReviewServer(workspace)
    served.start()
    yield served
    served.kill()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def window(chromium: Browser) -> Iterator[BrowserContext]:
    """One for most tests, since a new one loads all scripts of Streamlit again."""
    with chromium.new_context() as context:
        yield context


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    """A tab of a browser that remembers nobody."""
    page = new_tab(window)
    yield page
    if page.url.startswith("http"):
        page.evaluate("localStorage.clear()")
    page.close()


def new_tab(window: BrowserContext) -> Page:
    page = window.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    return page


def sit_down(page: Page, server: ReviewServer, name: str) -> None:
    page.goto(server.address)
    page.get_by_role("textbox", name="Your name").fill(name)
    page.get_by_role("button", name="Begin").click()


def begin(page: Page, server: ReviewServer, name: str) -> list[str]:
    """Sign in on the Review screen; returns the sample ids of the first page."""
    sit_down(page, server, name)
    return first_page(page)


def first_page(page: Page) -> list[str]:
    """Wait until there is one that has the keyboard; returns the sample ids."""
    expect(page.locator(".tile")).to_have_count(SIZE, timeout=30_000)
    expect(page.locator(".tile[tabindex='0']")).to_be_focused()
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


def open_screen(page: Page, title: str) -> None:
    page.get_by_role("link", name=title, exact=True).click()

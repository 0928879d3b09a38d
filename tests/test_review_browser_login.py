"""The login in a real browser, against a provider on this machine: who may do what, and for how long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from curation.config import Config, ReviewConfig
from curation.review.pages import next_page, release_all_pages
from curation.values import DecisionAction
from curation.workspace import create_workspace
from tests.review_browser import (
    SIZE,
    all_saved,
    first_page,
    needs_chromium,
    new_tab,
    open_screen,
    press,
)
from tests.review_factory import publish, say
from tests.review_server import ReviewServer, decisions_of, records_of

pytestmark = [
    needs_chromium,
    pytest.mark.skipif(find_spec("authlib") is None, reason="no authlib here: the extra `login` brings it"),
]
LEAD, ANNOTATOR, OTHER, STRANGER = "lead@example.org", "ann@example.org", "ben@example.org", "eve@example.org"


@pytest.fixture(scope="module")
def with_login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewServer]:
    """Forty wrens on every address of this machine; on one of them the lead and another annotator disagree."""
    from tests.oidc_provider import serve_provider

    review = ReviewConfig(page_size=SIZE, overlap=1, gold=0, leads=(LEAD,), annotators=(ANNOTATOR, OTHER))
    workspace = create_workspace(tmp_path_factory.mktemp("login") / "ws", Config(review=review))
    publish(workspace, {"wren": [0.9 - place / 100 for place in range(40)]})
    for name, action in ((OTHER, DecisionAction.DROP), (ANNOTATOR, DecisionAction.KEEP)):
        say(workspace, next_page(workspace, workspace.config(), name, size=1), name, action)
        release_all_pages(workspace, name)
    served = ReviewServer(workspace, "--address", "0.0.0.0")  # noqa: S104
    with serve_provider(LEAD, ANNOTATOR, OTHER, STRANGER) as provider:
        (workspace.root / "secrets.toml").write_text(provider.secrets_toml(served.address))
        served.start()
        yield served
        served.kill()


@pytest.fixture(scope="module")
def browser_of_all(chromium: Browser) -> Iterator[BrowserContext]:
    with chromium.new_context() as context:
        yield context


@pytest.fixture
def tab(browser_of_all: BrowserContext) -> Iterator[Page]:
    """A tab of a browser in which nobody is logged in."""
    browser_of_all.clear_cookies()
    tab = new_tab(browser_of_all)
    yield tab
    tab.evaluate("localStorage.clear()")
    tab.close()


def log_in(tab: Page, person: str) -> None:
    tab.get_by_role("button", name="Log in").click()
    tab.get_by_role("link", name=person).click()


def log_out(tab: Page) -> None:
    tab.get_by_test_id("stExpandSidebarButton").click()
    tab.get_by_role("button", name="Log out").click()
    expect(tab.get_by_role("button", name="Log in")).to_be_visible(timeout=20_000)


def choose(tab: Page, what: str, option: str) -> None:
    tab.get_by_role("combobox", name=re.compile(what)).click()
    tab.get_by_role("option", name=option).click()


def test_nobody__sees_anything_before_the_login_or_without_a_role(tab: Page, with_login: ReviewServer) -> None:
    for screen in ("", "decisions", "cleaned-sets"):
        tab.goto(f"{with_login.address}/{screen}")
        expect(tab.get_by_role("button", name="Log in")).to_be_visible(timeout=20_000)
        assert tab.get_by_test_id("stDataFrame").count() == tab.locator(".tile").count() == 0
    log_in(tab, STRANGER)
    expect(tab.get_by_text("have no role here")).to_be_visible(timeout=20_000)
    expect(tab.get_by_text(STRANGER)).to_be_visible()
    assert tab.locator(".tile").count() == tab.get_by_role("link", name="Decisions").count() == 0
    tab.get_by_role("button", name="Log out").click()
    expect(tab.get_by_role("button", name="Log in")).to_be_visible(timeout=20_000)


def test_annotator__decides_and_neither_settles_nor_reverts_nor_exports(tab: Page, with_login: ReviewServer) -> None:
    tab.goto(with_login.address)
    log_in(tab, ANNOTATOR)
    shown = first_page(tab)
    press(tab, "e")
    all_saved(tab)
    assert decisions_of(with_login.workspace)[shown[0]].annotator == ANNOTATOR
    tab.get_by_test_id("stExpandSidebarButton").click()
    choose(tab, "What", "Second look: annotators disagree")
    expect(tab.locator(".empty")).to_contain_text("Nothing waits for a second look by you", timeout=20_000)
    open_screen(tab, "Decisions")
    expect(tab.get_by_text("2 decisions, newest first")).to_be_visible(timeout=20_000)
    tab.get_by_role("combobox", name=re.compile("Annotator")).click()
    assert tab.get_by_role("option").all_inner_texts() == [ANNOTATOR]
    press(tab, "Escape")
    open_screen(tab, "Cleaned sets")
    tab.get_by_role("button", name="Export under the flags").click()
    expect(tab.get_by_text("you may not export here")).to_be_visible(timeout=20_000)
    assert not list(with_login.workspace.exports.glob("*"))


def test_lead__settles_reverts_and_exports(tab: Page, with_login: ReviewServer) -> None:
    tab.goto(with_login.address)
    log_in(tab, LEAD)
    first_page(tab)
    tab.get_by_test_id("stExpandSidebarButton").click()
    choose(tab, "What", "Second look: annotators disagree")
    expect(tab.locator("#question")).to_contain_text("Second look", timeout=20_000)
    expect(tab.locator(".tile")).to_have_count(1)
    tab.locator(".tile").focus()
    press(tab, "q")
    all_saved(tab)
    settled = [one for one in decisions_of(with_login.workspace).values() if one.second_look]
    assert [(one.annotator, one.action) for one in settled] == [(LEAD, DecisionAction.KEEP)]
    open_screen(tab, "Decisions")
    choose(tab, "Annotator", OTHER)
    expect(tab.get_by_text("1 decisions, newest first")).to_be_visible(timeout=20_000)
    tab.get_by_test_id("stDataFrame").locator(".dvn-scroller").click(position={"x": 15, "y": 52})
    tab.get_by_role("button", name="Take back the 1 marked").click()
    expect(tab.get_by_text("Took back 1 decisions")).to_be_visible(timeout=20_000)
    assert records_of(with_login.workspace, LEAD)[-1][1] == "undo"
    open_screen(tab, "Cleaned sets")
    tab.get_by_role("button", name="Export under the flags").click()
    # The pictures of this workspace do not exist, so the job ends with that; that it was started is what counts.
    expect(tab.get_by_role("alert").filter(has_text="nothing is left to export")).to_be_visible(timeout=60_000)


def test_role_taken_away__counts_at_the_next_write_and_loses_nothing(tab: Page, with_login: ReviewServer) -> None:
    configuration = with_login.workspace.root / "curate.toml"
    granted = configuration.read_text()
    tab.goto(with_login.address)
    log_in(tab, ANNOTATOR)
    shown = first_page(tab)
    before = records_of(with_login.workspace, ANNOTATOR)

    def new_records() -> list[tuple[str, str]]:
        return records_of(with_login.workspace, ANNOTATOR)[len(before) :]

    configuration.write_text(granted.replace(ANNOTATOR, "somebody@example.org"))
    press(tab, "e")
    expect(tab.locator(".notice")).to_contain_text("may not decide here", timeout=20_000)
    expect(tab.locator(".saving")).to_have_text("not saved yet: 1")
    assert new_records() == []
    configuration.write_text(granted)
    all_saved(tab)
    expect(tab.locator(".notice")).to_be_hidden()
    assert new_records() == [(shown[0], "drop")]

    configuration.write_text(granted.replace(ANNOTATOR, "somebody@example.org"))
    press(tab, "ArrowRight", "n")
    expect(tab.locator(".saving")).to_have_text("not saved yet: 1", timeout=20_000)
    tab.reload()
    expect(tab.get_by_text("have no role here")).to_be_visible(timeout=20_000)
    tab.get_by_role("button", name="Log out").click()
    log_in(tab, LEAD)  # sits down at the same browser, and what another left there is not theirs
    first_page(tab)
    all_saved(tab)
    assert new_records() == [(shown[0], "drop")]
    assert shown[1] not in {sample for sample, _ in records_of(with_login.workspace, LEAD)}
    configuration.write_text(granted)
    log_out(tab)
    log_in(tab, ANNOTATOR)
    assert first_page(tab)[:2] == shown[:2]
    all_saved(tab)
    assert new_records() == [(shown[0], "drop"), (shown[1], "unsure")]

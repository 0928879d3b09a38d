"""The review app in a real browser: Chromium against a served workspace of 2,000 samples."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.review_browser import SIZE, all_saved, begin, needs_chromium, press, sample_ids, tile
from tests.review_server import ReviewServer, actions_of, decisions_of

pytestmark = needs_chromium


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


def test_any_category__is_found_by_a_part_of_its_name(page: Page, server: ReviewServer) -> None:
    shown = begin(page, server, "knows better")
    press(page, "x", "ArrowRight", "t")  # a base category, which is none of the likely ones
    page.keyboard.type("gle")
    expect(page.get_by_role("option", name="eagle")).to_have_attribute("aria-selected", "true")
    press(page, "Enter", "ArrowRight", "t")
    expect(page.get_by_role("option", name="owl")).to_be_visible()  # all of them, before anything is typed
    page.keyboard.type("no such name")
    press(page, "Enter")
    expect(page.get_by_role("dialog", name="Another category")).to_be_visible()
    press(page, "Escape")
    expect(tile(page, 2)).to_be_focused()
    all_saved(page)
    decided = decisions_of(server.workspace)
    assert [(decided[name].category, decided[name].context["key"]) for name in shown[:2]] == [("eagle", "t")] * 2
    assert actions_of(server.workspace, shown[2:]) == [None] * (SIZE - 2)


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


def test_layout__fits_every_width_and_names_every_tile(page: Page, server: ReviewServer) -> None:
    begin(page, server, "looks")
    for width in (400, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
    assert all(
        re.match(r"Image \d+ of 12, ", str(one.get_attribute("aria-label"))) for one in page.locator(".tile").all()
    )

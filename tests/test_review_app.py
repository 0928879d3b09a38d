"""The review app without a browser: what it believes of a browser, who may do what, what it serves, its screens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.review.access import AccessRole, Person, login_is_configured, may_export, person_of_login
from app.review.desk import Choice, Desk
from app.review.export_job import ExportOrder, finished_exports, start_export
from app.review.parcels import checked_verdicts, read_parcel
from app.review.serving import is_loopback, refuse_open_address, server_options
from app.review.wording import plain
from curation.config import Config, ReviewConfig
from curation.errors import ConfigError, ExportError
from curation.export.difference import export_difference
from curation.export.writing import export_cleaned_set
from curation.review.by_site import samples_of_site
from curation.review.page_again import page_again, page_as_given
from curation.review.pages import next_page, release_all_pages
from curation.review.values import ReviewMode, ReviewPage
from curation.sources.location import read_bytes
from curation.values import DecisionAction, SetAside
from curation.workspace import Workspace, create_workspace
from tests.cleaned_set_factory import cleaned_set, with_kept
from tests.review_factory import PLAIN, publish
from tests.review_server import actions_of, records_of

ROOT = Path(__file__).parent.parent


@pytest.fixture
def published(tmp_path: Path) -> Workspace:
    """Ten wrens, most suspicious first, and two robins."""
    workspace = create_workspace(tmp_path / "ws", Config(review=ReviewConfig(overlap=0, gold=0, page_size=4)))
    publish(workspace, {"wren": [0.95 - place / 20 for place in range(10)], "robin": [0.1, 0.2]})
    return workspace


@pytest.fixture
def desk(published: Workspace) -> Iterator[Desk]:
    with ThreadPoolExecutor(1) as workers:
        desk = Desk(published, published.config(), "anna", Choice(size=4), workers)
        desk.fetch(wait=True)
        yield desk


def event(seq: int, kind: str, page: ReviewPage | None, *verdicts: dict[str, Any], **more: Any) -> dict[str, Any]:
    page_id = None if page is None else page.page_id
    return {"seq": seq, "type": kind, "page_id": page_id, "verdicts": list(verdicts), **more}


def verdict(sample_id: str, action: str = "drop", category: str | None = None, key: str = "e") -> dict[str, Any]:
    return {"sample_id": sample_id, "action": action, "category": category, "key": key}


def parcel(*events: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"client": "c", "events": list(events), **more}


def always() -> bool:
    return True


def ids_of(page: ReviewPage) -> list[str]:
    return [tile.sample_id for tile in page.tiles]


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, {"client": 3}])
def test_parcel__anything_else_is_none(value: object) -> None:
    assert read_parcel(value) is None


def test_parcel__keeps_what_makes_sense_in_the_order_it_was_done() -> None:
    read = read_parcel(
        {
            "client": "c" * 200,
            "events": [{"seq": 2, "type": "undo", "steps": -4}, 7, {"seq": "1", "type": "undo"},
                       {"seq": 1, "type": "rm"}, {"seq": 1, "type": "confirm", "verdicts": "all"}],
            "pages": {"p": {"mode": "none", "samples": []}, "q": {"mode": "audit", "samples": ["a", 3]}},
            "asked": {"zoom": ["../../etc/passwd"], "evidence": "s"},
        }
    )  # fmt: skip
    assert read is not None and len(read.client) == 64
    assert [(one.seq, one.kind, one.steps, one.verdicts) for one in read.events] == [
        (1, "confirm", 0, ()),
        (2, "undo", 0, ()),
    ]
    assert list(read.pages) == ["q"] and read.pages["q"].samples == ("a",)
    assert (read.zoom, read.evidence) == (None, "s")


def test_verdicts__only_of_tiles_on_the_page_and_with_what_can_be_a_category(desk: Desk) -> None:
    page = desk.pages[0].page
    first, second, third = ids_of(page)[:3]
    sent = read_parcel(
        parcel(
            event(
                1,
                "verdicts",
                page,
                verdict("somebody-elses"),
                verdict(first, "undo"),
                verdict(first, "relabel", ""),
                verdict(first, "relabel", 7),  # type: ignore[arg-type]
                verdict(first, "relabel", page.tiles[0].likely[0], key="<script>"),
                verdict(second, "keep", "robin"),
                verdict(third, "unsure"),
            )
        )
    )
    assert sent is not None
    checked = checked_verdicts(page, sent.events[0])
    assert [(one.sample_id, one.action.value, one.category, one.key) for one in checked] == [
        (first, "relabel", page.tiles[0].likely[0], ""),
        (second, "keep", None, "e"),
        (third, "unsure", None, "e"),
    ]


def test_desk__writes_every_event_once_however_often_it_comes(desk: Desk) -> None:
    page = desk.pages[0].page
    first, second = ids_of(page)[:2]
    one, two = event(1, "verdicts", page, verdict(first)), event(2, "verdicts", page, verdict(second, "keep"))
    desk.receive([parcel(one)], always)
    desk.receive([parcel(one, two), parcel(one, two)], always)
    assert actions_of(desk.workspace, [first, second]) == ["drop", "keep"]
    desk.receive([parcel(event(3, "undo", page, steps=1))], always)
    assert actions_of(desk.workspace, [first, second]) == ["drop", None]
    assert desk.acknowledged == {"c": 3}


def test_desk__confirms_the_rest_and_has_the_next_page_ready(desk: Desk) -> None:
    page = desk.pages[0].page
    while len(desk.pages) < 2:
        desk.fetch()
    upcoming = desk.pages[1].page
    presets = [verdict(tile.sample_id, tile.preset.value, tile.preset_category, "") for tile in page.tiles]
    desk.receive([parcel(event(1, "confirm", page, *presets))], always)
    assert desk.pages[0].page == upcoming
    assert None not in actions_of(desk.workspace, ids_of(page))
    desk.receive([parcel(event(2, "undo", page, steps=4, reopens=True))], always)
    assert [ready.page for ready in desk.pages] == [page, upcoming]
    assert actions_of(desk.workspace, ids_of(page)) == [None] * 4


def test_desk__asks_at_every_write_whether_it_may(desk: Desk) -> None:
    page = desk.pages[0].page
    desk.receive([parcel(event(1, "verdicts", page, verdict(ids_of(page)[0])))], lambda: False)
    assert actions_of(desk.workspace, ids_of(page)) == [None] * 4 and desk.acknowledged == {}
    assert desk.notice is not None and "Sign in again" in desk.notice


def test_desk__says_what_cannot_be_saved_and_keeps_the_rest(desk: Desk) -> None:
    page = desk.pages[0].page
    first, second = ids_of(page)[:2]
    unknown = page.tiles[0].likely[-1]  # `tern`, which is no category of the workspace
    bad, good = (
        event(1, "verdicts", page, verdict(first, "relabel", unknown)),
        event(2, "verdicts", page, verdict(second)),
    )
    desk.receive([parcel(bad, good)], always)
    assert desk.refused is not None and desk.refused["seqs"] == [1] and "tern" in desk.refused["said"]
    assert desk.acknowledged == {"c": 2} and actions_of(desk.workspace, [first, second]) == [None, "drop"]


def test_desk__leaves_with_the_browser_what_the_journal_does_not_take(desk: Desk) -> None:
    page = desk.pages[0].page
    while len(desk.pages) < 2:  # nobody else has the journal open then
        desk.fetch()
    journal = desk.workspace.journal
    kept = journal.read_bytes()
    for suffix in ("", "-wal", "-shm"):
        journal.with_name(journal.name + suffix).unlink(missing_ok=True)
    journal.write_bytes(b"not a database, but long enough to be read as one" * 100)
    desk.receive([parcel(event(1, "verdicts", page, verdict(ids_of(page)[0])))], always)
    assert desk.acknowledged == {} and str(desk.notice).startswith("Not saved yet")
    journal.write_bytes(kept)


def test_desk__of_a_new_server_takes_verdicts_on_a_page_whose_lease_is_over(desk: Desk) -> None:
    page = desk.pages[0].page
    release_all_pages(desk.workspace, "anna")
    fresh = Desk(desk.workspace, desk.config, "anna", Choice(size=4), desk.workers)
    facts = {page.page_id: {"mode": "category", "run_id": page.run_id, "samples": ids_of(page)}}
    fresh.receive([parcel(event(1, "verdicts", page, verdict(ids_of(page)[2])), pages=facts)], always)
    assert actions_of(desk.workspace, ids_of(page)) == [None, None, "drop", None]


def test_desk__takes_over_what_a_closed_tab_has_left_and_writes_none_of_it_twice(desk: Desk) -> None:
    page = desk.pages[0].page
    first, second, third, fourth = ids_of(page)
    heard, unheard = event(1, "verdicts", page, verdict(first)), event(2, "verdicts", page, verdict(second, "keep"))
    desk.receive([parcel(heard)], always)
    fresh = Desk(desk.workspace, desk.config, "anna", Choice(size=4), desk.workers)
    taken_back = event(4, "undo", page, of=3, steps=1)
    left = [parcel(heard, unheard, event(3, "verdicts", page, verdict(third)), taken_back), "no parcel"]
    later = event(1, "verdicts", page, verdict(fourth, "unsure"))
    for _ in range(2):
        fresh.receive([{"client": "d", "events": [later], "left": left}], always)
    assert actions_of(desk.workspace, ids_of(page)) == ["drop", "keep", None, "unsure"]
    assert fresh.acknowledged == {"c": 4, "d": 1} and fresh.refused is None
    assert len(records_of(desk.workspace, "anna")) == 5


def test_undo__of_an_event_takes_back_what_that_wrote_whatever_came_since(desk: Desk) -> None:
    page = desk.pages[0].page
    first, second = ids_of(page)[:2]
    desk.receive([parcel(event(1, "verdicts", page, verdict(first), verdict(second)))], always)
    desk.receive([parcel(event(1, "verdicts", page, verdict(second, "keep"))) | {"client": "other"}], always)
    desk.receive([parcel(event(2, "undo", page, of=1, steps=2))], always)
    assert actions_of(desk.workspace, [first, second]) == [None, "keep"]
    desk.receive([parcel(event(3, "undo", page, of=7, steps=1))], always)  # an event that wrote nothing
    assert actions_of(desk.workspace, [first, second]) == [None, "keep"]


def test_confirmation__of_a_half_decided_page_is_taken_back_without_what_was_decided_before(desk: Desk) -> None:
    page = desk.pages[0].page
    sent = [verdict(name, "keep", key="") for name in ids_of(page)]
    desk.receive([parcel(event(1, "verdicts", page, verdict(ids_of(page)[0])))], always)
    desk.receive([parcel(event(2, "confirm", page, *sent))], always)
    desk.receive([parcel(event(3, "undo", page, of=2, steps=4, reopens=True))], always)
    assert actions_of(desk.workspace, ids_of(page)) == ["drop", None, None, None]


def test_desk__says_which_verdicts_have_no_image_any_more(desk: Desk) -> None:
    page = desk.pages[0].page
    desk.receive([parcel(event(1, "verdicts", page, verdict(ids_of(page)[0]), verdict("gone")))], always)
    assert desk.refused is not None and "1 of 2 verdicts" in desk.refused["said"]
    nowhere = {"seq": 2, "type": "verdicts", "page_id": "never given", "verdicts": [verdict(ids_of(page)[1])]}
    desk.receive([parcel(nowhere)], always)
    assert desk.refused["seqs"] == [1, 2] and "1 of 1 verdicts" in desk.refused["said"]
    assert actions_of(desk.workspace, ids_of(page)[:2]) == ["drop", None] and desk.acknowledged == {"c": 2}


def test_page_as_given__is_only_its_annotators(desk: Desk) -> None:
    page = desk.pages[0].page
    assert page_as_given(desk.workspace, "anna", page.page_id) == page
    assert page_as_given(desk.workspace, "ben", page.page_id) is None


def test_page_again__believes_only_what_is_known(published: Workspace) -> None:
    page = next_page(published, PLAIN, "anna", size=3)
    assert page is not None

    def again(*sample_ids: str) -> ReviewPage | None:
        mode = ReviewMode.CATEGORY
        return page_again(published, PLAIN, "anna", "p", mode=mode, run_id="r", sample_ids=sample_ids)

    rebuilt = again(*ids_of(page), "eagle-00001", "robin-00000", "../../etc/passwd")
    assert rebuilt is not None and rebuilt.tiles == page.tiles
    assert again("eagle-00001", "nobody") is None


def test_site__is_a_host_or_what_lies_below_it(published: Workspace) -> None:
    assert len(samples_of_site(published, "https://example.org/any/page", 100)) == 24
    assert len(samples_of_site(published, "EXAMPLE.org", 5)) == 5
    assert samples_of_site(published, "ample.org", 5) == [] == samples_of_site(published, "%", 5)


@pytest.mark.parametrize(
    ("user", "role"),
    [
        ({"is_logged_in": True, "email": "Lead@x.org"}, AccessRole.LEAD),
        ({"is_logged_in": True, "email": "ann@x.org"}, AccessRole.ANNOTATOR),
        ({"is_logged_in": True, "email": "ann@x.org", "email_verified": False}, None),
        ({"is_logged_in": True, "email": "stranger@x.org"}, None),
        ({"is_logged_in": True}, None),
        ({"is_logged_in": False, "email": "lead@x.org"}, None),
        ({}, None),
    ],
)
def test_login__roles_are_those_of_the_configuration(user: dict[str, Any], role: AccessRole | None) -> None:
    config = Config(review=ReviewConfig(leads=("lead@x.org",), annotators=("ann@x.org",)))
    person = person_of_login(user, config)
    assert (None if person is None else person.role) is role
    if person is not None:
        assert may_export(person, with_login=True) is (role is AccessRole.LEAD)
        assert may_export(Person("anybody", AccessRole.ANNOTATOR), with_login=False)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.4", "::", "birds.example.org", "localhost.example.org"])  # noqa: S104
def test_address__of_others_needs_a_login(workspace: Workspace, address: str) -> None:
    with pytest.raises(ConfigError, match="no login is configured") as refused:
        refuse_open_address(workspace, address, with_login=login_is_configured(workspace))
    assert "secrets.toml" in refused.value.hint and not is_loopback(address)


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_address__of_this_machine_needs_none(workspace: Workspace, address: str) -> None:
    refuse_open_address(workspace, address, with_login=False)


def test_login__is_configured_by_an_auth_section(workspace: Workspace) -> None:
    secrets = workspace.root / "secrets.toml"
    secrets.write_text("[other]\nkey = 1\n")
    assert not login_is_configured(workspace)
    secrets.write_text('[auth]\nclient_id = "c"\n')
    assert login_is_configured(workspace)
    secrets.write_text("[auth\n")
    with pytest.raises(ConfigError, match=r"secrets.toml cannot be read"):
        login_is_configured(workspace)


def test_server__serves_no_folder_tells_nobody_and_answers_only_to_its_names(workspace: Workspace) -> None:
    from streamlit import config

    options = server_options(workspace, 8501, "localhost", with_login=False)
    known = {name.replace(".", "_") for name in config.get_config_options()}
    assert options.keys() <= known
    assert options["server_enableStaticServing"] is False and options["browser_gatherUsageStats"] is False
    assert options["client_showErrorDetails"] == "none" and "localhost" in options["server_allowedHosts"]
    assert options["runner_postScriptGC"] is False  # nobody waits for all objects to be gone through after every key


def test_files_beside_the_main_script__hide_no_package() -> None:
    names = {path.stem for path in (ROOT / "app" / "review").iterdir() if path.stem not in ("__init__", "__pycache__")}
    rooms = {"app", "curation", "indexes", "pipelines", "tests"}
    assert not names & (set(sys.stdlib_module_names) | set(packages_distributions()) | rooms)


def test_plain__nothing_is_read_as_markdown() -> None:
    assert plain("[a](javascript:x) *b* `c` <i>\n$d$") == r"\[a\]\(javascript\:x\) \*b\* \`c\` \<i\> \$d\$"


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "x" * 65, "a b"])
def test_export__only_below_the_exports_of_the_workspace(workspace: Workspace, name: str) -> None:
    with pytest.raises(ExportError, match="no name of an export"):
        start_export(workspace, ExportOrder(name, "csv", None, with_base=False))


def test_export_job__tells_why_it_failed(workspace: Workspace) -> None:
    with pytest.raises(ExportError, match="a split looks like"):
        start_export(workspace, ExportOrder("first", "csv", None, with_base=False, split="train"))
    job = start_export(workspace, ExportOrder("first", "csv", None, with_base=False))
    assert job.process.wait(timeout=60) == 1
    state = job.state()
    assert state.state == "failed" and "nothing has been scored" in state.said
    assert finished_exports(workspace) == []


def test_export_job__cancelled_leaves_nothing(workspace: Workspace) -> None:
    job = start_export(workspace, ExportOrder("first", "csv", None, with_base=False))
    job.cancel()
    job.process.wait(timeout=60)
    assert job.state().state == "cancelled" and not (workspace.exports / "first").exists()


def test_difference__of_two_exports_counts_every_sample(tmp_path: Path) -> None:
    older = cleaned_set(tmp_path / "images")
    first, second, *others = older.kept
    moved = replace(second, category=others[-1].category, category_id=others[-1].category_id)
    gone = SetAside(first.sample_id, first.image_id, first.web_category, first.uri, "dropped", "Dropped by anna.")
    newer = replace(with_kept(older, [moved, *others]), set_aside=(*older.set_aside, gone))
    for name, made in (("a", older), ("b", newer)):
        export_cleaned_set(made, tmp_path / name, "csv", read_bytes=read_bytes)
    found = export_difference(tmp_path / "a", tmp_path / "b")
    assert (found.added, found.removed, found.removed_because) == ({}, {first.category: 1}, {"dropped": 1})
    assert found.moved == {(second.category, moved.category): 1} and found.same == len(others)
    back = export_difference(tmp_path / "b", tmp_path / "a")
    assert back.added == {first.category: 1} and back.removed == {}


def _screen(root: str, name: str) -> None:
    from importlib import import_module
    from pathlib import Path

    from app.review.access import AccessRole, Person, set_name
    from app.review.session import Session
    from curation.workspace import open_workspace

    workspace = open_workspace(Path(root))
    set_name("anna")
    session = Session(workspace, workspace.config(), Person("anna", AccessRole.ANNOTATOR))
    import_module(f"app.review.screens.{name}").show(session)


def screen(workspace: Workspace, name: str) -> AppTest:
    shown = AppTest.from_function(_screen, args=(str(workspace.root), name), default_timeout=30).run()
    assert not shown.exception, shown.exception
    return shown


def test_overview__shows_categories_people_and_figures(published: Workspace, desk: Desk) -> None:
    page = desk.pages[0].page
    desk.receive([parcel(event(1, "verdicts", page, verdict(ids_of(page)[0])))], always)
    shown = screen(published, "overview")
    figures = {metric.label: metric.value for metric in shown.metric}
    assert figures["Images decided"] == "1 of 12" and figures["Found wrong"] == "1"
    assert shown.dataframe[0].value["Category"].tolist() == ["wren", "robin"]
    assert shown.dataframe[1].value["Annotator"].tolist() == ["anna"]


def test_decisions__are_listed_filtered_and_taken_back(published: Workspace, desk: Desk) -> None:
    page = desk.pages[0].page
    first, second = ids_of(page)[:2]
    desk.receive([parcel(event(1, "verdicts", page, verdict(first), verdict(second, "keep")))], always)
    shown = screen(published, "decisions")
    assert shown.dataframe[0].value["Verdict"].tolist() == ["✓ keep", "✕ drop"]
    shown.selectbox[1].select(DecisionAction.DROP).run()
    assert shown.dataframe[0].value["Image"].tolist() == ["wren/0.jpg"]


def test_search__asks_for_a_picture_and_finds_by_site(published: Workspace) -> None:
    shown = screen(published, "search")
    assert shown.get("file_uploader")
    shown.radio[0].set_value("Source site").run()
    shown.text_input[0].set_value("example.org").run()
    assert not shown.exception and any("24 images" in caption.value for caption in shown.caption)


def test_review__offers_the_newer_run(published: Workspace) -> None:
    shown = screen(published, "review")
    assert not shown.info
    publish(published, {"wren": [0.9] * 10, "robin": [0.1, 0.2]}, run_id="20260106T070000-bbbbbb")
    shown.run()
    assert "newer" in shown.info[0].value
    shown.button[0].click().run()
    assert not shown.info and not shown.exception


def test_cleaned_sets__say_why_there_is_none(workspace: Workspace) -> None:
    assert "nothing has been scored" in plain_again(screen(workspace, "cleaned_sets").error[0].value)


def plain_again(text: str) -> str:
    return text.replace("\\", "")


def test_verb__refuses_an_open_address_with_the_way_out(tmp_path: Path) -> None:
    create_workspace(tmp_path / "ws", Config())
    command = [sys.executable, "-m", "app.cli", "review", str(tmp_path / "ws"), "--address", "0.0.0.0"]  # noqa: S104
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (
        done.returncode == 1 and "no login is configured" in done.stderr and "\nhint:  Stay on localhost" in done.stderr
    )

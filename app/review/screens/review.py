"""The Review screen: a page of tiles with one question, and nothing to wait for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from urllib.parse import quote

import streamlit as st

from app.review.access import current_person
from app.review.components.grid import deliver, mount_desk
from app.review.desk import Choice, Desk
from app.review.session import Session
from app.review.wording import plain, shown_name
from curation.review.pages import LARGEST_PAGE, newest_run
from curation.review.queue import waiting_for_others
from curation.review.values import ReviewMode
from curation.store.samples import category_names
from curation.store.snapshot import snapshot
from curation.values import Role

_MODES = {
    ReviewMode.CATEGORY: "Most suspicious first",
    ReviewMode.SECOND_LOOK: "Second look: annotators disagree",
    ReviewMode.AUDIT: "Audit: a random sample",
}
_NONE_LEFT = {
    ReviewMode.CATEGORY: "Nothing is left to review here. Choose another category, or come back after the next run.",
    ReviewMode.SECOND_LOOK: "Nothing waits for a second look by you.",
    ReviewMode.AUDIT: "No audit is open. `curate audit WS --n 200` draws one.",
}
_FOR_OTHERS = {
    ReviewMode.CATEGORY: "{:,} images wait for somebody else to look at them too.",
    ReviewMode.SECOND_LOOK: "{:,} wait for somebody who has not voted on them, or for one of the leads in curate.toml.",
    ReviewMode.AUDIT: "{:,} images of it wait for somebody else.",
}
_DESK = "review_desk"
_LOOK_FOR_RUNS_EVERY_S = 5.0
READERS = 4  # threads that make pages ready for all browsers; decoding itself is done in processes of their own


def show(session: Session) -> None:
    """Choices in the sidebar, the desk in the middle."""
    st.session_state[_DESK] = _desk(session, _choice(session))
    _show_newer_run()
    _show_desk()


def _choice(session: Session) -> Choice:
    with snapshot(session.workspace) as connection:
        categories = sorted(category_names(connection, Role.NOVEL))
    with st.sidebar:
        mode = st.selectbox("What", list(_MODES), format_func=_MODES.__getitem__, key="review_mode")
        category = None
        if mode is ReviewMode.CATEGORY:
            category = st.selectbox(
                "Category",
                [None, *categories],
                format_func=lambda name: "whatever is most worth it" if name is None else shown_name(name),
                key="review_category",
            )
        size = st.number_input(
            "Images on a page", 1, LARGEST_PAGE, session.config.review.page_size, step=12, key="review_size"
        )
    return Choice(mode, category, size)


def _desk(session: Session, choice: Choice) -> Desk:
    """The desk of this browser, or a new one where somebody else sits down or wants something else."""
    desk: Desk | None = st.session_state.get(_DESK)
    if desk is not None and (desk.annotator, desk.choice) == (session.person.name, choice):
        return desk
    if desk is not None:
        desk.leave()
    new = Desk(session.workspace, session.config, session.person.name, choice, _workers())
    if desk is not None and desk.annotator == new.annotator:
        new.acknowledged, new.answers = desk.acknowledged, desk.answers
    return new


@st.cache_resource
def _workers() -> ThreadPoolExecutor:
    workers = ThreadPoolExecutor(READERS, thread_name_prefix="pages")
    workers.submit(import_module, "app.review.evidence")  # takes seconds: before anybody asks for evidence
    return workers


@st.fragment(run_every=_LOOK_FOR_RUNS_EVERY_S)
def _show_newer_run() -> None:
    desk: Desk = st.session_state[_DESK]
    newest = newest_run(desk.workspace)
    shown = {ready.page.run_id for ready in desk.pages}
    if newest is None or not shown - {newest}:
        return
    said, button = st.columns([4, 1], vertical_alignment="center")
    said.info(f"This page comes from run {plain(min(shown))}; run {plain(newest)} is newer.")
    if button.button("Use the newer run", width="stretch"):
        desk.leave()
        st.rerun()


def _none_left(desk: Desk) -> str:
    """What to do now, and whether somebody else has something to do."""
    mode = desk.choice.mode
    others = waiting_for_others(desk.workspace, desk.config, desk.annotator, mode)
    return _NONE_LEFT[mode] if not others else f"{_NONE_LEFT[mode]} {_FOR_OTHERS[mode].format(others)}"


@st.fragment
def _show_desk() -> None:
    """Runs again, alone, whenever the browser sends something."""
    desk: Desk = st.session_state[_DESK]  # an argument would be copied

    def may_write() -> bool:
        person = current_person(desk.workspace, desk.workspace.config())
        return person is not None and person.name == desk.annotator

    desk.fetch(wait=True)
    mount_desk(
        {
            "store": "/".join(["curate-outbox", quote(str(desk.workspace.root), ""), quote(desk.annotator, "")]),
            "order": [ready.page.page_id for ready in desk.pages],
            "acked": desk.acknowledged,
            "answers": desk.answers,
            "undone": desk.undone,
            "notice": desk.notice,
            "refused": desk.refused,
            "none_left": _none_left(desk) if desk.none_left else None,
        },
        on_sent=lambda parcels: desk.receive(parcels, may_write),
    )
    deliver("categories", "all", {"names": desk.categories})
    if desk.zoom is not None:
        deliver("zoom", "newest", desk.zoom)
    if desk.evidence is not None:
        deliver("evidence", "newest", {"evidence": desk.evidence})
    for ready in desk.pages:
        if ready.page.page_id not in desk.in_browser:  # it is a megabyte, and keeps what it was given
            deliver("page", ready.page.page_id, {"page": ready.data})

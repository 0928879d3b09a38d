"""The Decisions screen: who decided what and when, and taking decisions back."""

from __future__ import annotations

import streamlit as st

from app.review.access import AccessRole, current_person
from app.review.session import Session
from app.review.tables import decision_columns
from app.review.wording import plain, shown_name
from curation.errors import ReviewError
from curation.review.history import ListedDecision, annotators, decisions_page, revert
from curation.store.decision_history import DecisionFilter
from curation.store.samples import category_names
from curation.store.snapshot import snapshot
from curation.values import DecisionAction, Role

_PAGE = 100
_STARTS = "decision_pages"
_ACTIONS = (DecisionAction.KEEP, DecisionAction.DROP, DecisionAction.RELABEL, DecisionAction.UNSURE)
_STANDING = {None: "all", True: "standing", False: "taken back"}


def show(session: Session) -> None:
    """Filters, the table, and what to do with the marked rows."""
    st.subheader("Decisions")
    wanted = _filters(session)
    starts: list[int | None] = st.session_state.setdefault(_STARTS, [None])
    page = decisions_page(session.workspace, wanted, size=_PAGE, before=starts[-1])
    st.caption(f"{page.total:,} decisions, newest first.")
    chosen = st.dataframe(
        decision_columns(page.rows),
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="multi-row",
        key=f"decisions_{starts[-1]}",
        alt="Decisions, newest first",
    )
    newer, older, revert_them = st.columns([1, 1, 2])
    if newer.button("Newer", disabled=len(starts) == 1, width="stretch"):
        starts.pop()
        st.rerun()
    if older.button("Older", disabled=page.next_before is None, width="stretch"):
        starts.append(page.next_before)
        st.rerun()
    marked = [page.rows[row] for row in chosen["selection"]["rows"] if row < len(page.rows)]
    if revert_them.button(f"Take back the {len(marked)} marked", disabled=not marked, width="stretch"):
        _revert(session, marked)


def _filters(session: Session) -> DecisionFilter:
    """What to list. Who is no lead sees their own decisions, so that a second vote stays a blind one."""
    with snapshot(session.workspace) as connection:
        categories = sorted(category_names(connection, Role.NOVEL))
    sees_all = session.person.role is AccessRole.LEAD or not session.config.review.leads
    people = [None, *annotators(session.workspace)] if sees_all else [session.person.name]
    who, what, where, whether = st.columns(4)
    wanted = DecisionFilter(
        annotator=who.selectbox("Annotator", people, format_func=lambda name: name or "everybody"),
        action=what.selectbox("Verdict", [None, *_ACTIONS], format_func=lambda one: one.value if one else "all"),
        category=where.selectbox("Asked about", [None, *categories], format_func=lambda one: shown_name(one or "all")),
        standing=whether.selectbox("State", list(_STANDING), format_func=_STANDING.__getitem__),
    )
    if st.session_state.get("decision_filter") != wanted:
        st.session_state["decision_filter"] = wanted
        st.session_state[_STARTS] = [None]
    return wanted


def _revert(session: Session, marked: list[ListedDecision]) -> None:
    config = session.workspace.config()
    person = current_person(session.workspace, config)
    if person is None:
        raise ReviewError("you are not signed in any more, so nothing was taken back.", hint="Sign in again.")
    numbers = [row.record.decision_id for row in marked]
    taken_back = revert(session.workspace, config, person.name, numbers)
    st.toast(plain(f"Took back {len(taken_back)} decisions."))
    st.rerun()

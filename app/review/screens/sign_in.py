"""Who are you? A name, or the login; and the line in the sidebar that says so afterwards."""

from __future__ import annotations

import streamlit as st

from app.review.access import LONGEST_NAME, login_is_configured, set_name
from app.review.components.name_tag import recall_name, remember_name
from app.review.session import Session
from app.review.wording import plain
from curation.workspace import Workspace


def show(workspace: Workspace) -> None:
    """Ask for the login or a name."""
    _, middle, _ = st.columns([1, 2, 1])
    with middle:
        st.title("Review")
        if login_is_configured(workspace):
            _show_login()
        else:
            _ask_name()


def show_person(session: Session) -> None:
    """In the sidebar: who decides here, and the way out."""
    with_login = login_is_configured(session.workspace)
    with st.sidebar:
        st.markdown(f"**{plain(session.person.name)}** ({session.person.role})")
        if st.button("Log out" if with_login else "Somebody else"):
            if with_login:
                st.logout()
            else:
                set_name("")
                st.session_state["forget_name"] = True
                st.rerun()
        if not with_login:
            remember_name(session.person.name)


def _show_login() -> None:
    if st.user.get("is_logged_in"):
        st.error("You are logged in, but have no role here.")
        address = plain(str(st.user.get("email", "")))
        st.caption(f"A lead adds {address} to annotators or leads in the review section of curate.toml.")
        if st.button("Log out"):
            st.logout()
    elif st.button("Log in", type="primary"):
        st.login()


def _ask_name() -> None:
    with st.form("name"):
        name = st.text_input("Your name", max_chars=LONGEST_NAME, help="It is kept with every decision you make.")
        if st.form_submit_button("Begin", type="primary") and name.strip():
            set_name(name)
            st.rerun()
    if st.session_state.pop("forget_name", False):
        remember_name("")
    else:
        recall_name(set_name)

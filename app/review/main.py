"""Streamlit's main script: who is there, and which screens there are.

Its folder is put first on the import path, so no file beside it may be named like a package.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from app.review.access import current_person
from app.review.screens import cleaned_sets, decisions, overview, review, search, sign_in
from app.review.session import Session
from app.review.wording import show_error
from curation.errors import CurationError
from curation.workspace import open_workspace

# Streamlit leaves wide margins for prose; tiles and tables want the room. While a cleaned set is counted, the room of
# its figures is kept: the form below them would move away from who is about to press it.
_STYLE = """<style>
.stMainBlockContainer { padding: 3.75rem 1.5rem 1rem; }
.st-key-set_figures { min-height: 22rem; }
</style>"""

_SCREENS: tuple[tuple[str, str, Callable[[Session], None]], ...] = (
    ("Review", "review", review.show),
    ("Overview", "overview", overview.show),
    ("Search", "search", search.show),
    ("Decisions", "decisions", decisions.show),
    ("Cleaned sets", "cleaned-sets", cleaned_sets.show),
)


def main(root: Path) -> None:
    """Show the screen that the address names, or who must sign in first."""
    st.set_page_config(page_title=f"{root.name}: review", layout="wide", initial_sidebar_state="collapsed")
    st.html(_STYLE)
    try:
        workspace = open_workspace(root)
        config = workspace.config()
        person = current_person(workspace, config)
        session = None if person is None else Session(workspace, config, person)
        chosen = st.navigation(_pages(session), position="hidden" if session is None else "top")
        if session is None:
            sign_in.show(workspace)
            return
        sign_in.show_person(session)
        chosen.run()
    except CurationError as error:
        show_error(error)


def _pages(session: Session | None) -> list[Any]:
    """The screens; before anybody has signed in they only keep the address that was asked for."""
    return [
        st.Page(
            (lambda: None) if session is None else partial(_shown, show, session),
            title=title,
            url_path=path,
            default=path == "review",
        )
        for title, path, show in _SCREENS
    ]


def _shown(show: Callable[[Session], None], session: Session) -> None:
    try:
        show(session)
    except CurationError as error:
        show_error(error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

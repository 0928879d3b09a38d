"""Text on native widgets: what came from the web or from a user is shown as it is, never read as Markdown or HTML."""

from __future__ import annotations

import re

import streamlit as st

from curation.errors import CurationError

_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])")


def plain(text: str) -> str:
    """The text with every mark of Markdown escaped, on one line."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def shown_name(category: str) -> str:
    """A category's name for reading: folders are often named with underscores."""
    return category.replace("_", " ")


def percent(share: float | None) -> str:
    """A share as percents; nothing where it is unknown."""
    return "" if share is None else f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def show_error(error: CurationError) -> None:
    """One sentence and a hint, as on the command line."""
    st.error(plain(error.message))
    if error.hint:
        st.caption(plain(error.hint))

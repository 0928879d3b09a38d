"""The annotator's name in the browser's memory, so that nobody types it again after a restart of the server.

It is no login: without one everybody at this machine is trusted to say who they are.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import streamlit as st

_mount = st.components.v2.component(
    "curate_name_tag",
    js=(files("app.review.components.name_tag") / "name_tag.js").read_text(encoding="utf-8"),
)


def remember_name(name: str) -> None:
    """Let the browser remember this name, or forget any where it is empty."""
    _mount(key="name_tag", data={"name": name})


def recall_name(told: Callable[[str], None]) -> None:
    """Ask the browser for the name it remembers; `told` hears it if there is one."""
    _mount(key="name_tag_recall", data={"name": None}, on_recalled_change=lambda: told(_recalled()))


def _recalled() -> str:
    name = st.session_state.get("name_tag_recall", {}).get("recalled")
    return name if isinstance(name, str) else ""

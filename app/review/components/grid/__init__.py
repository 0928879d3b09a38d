"""The grid of tiles as one Custom Component: it owns keyboard and mouse and answers from the browser's memory.

It is mounted once as the desk (small, renewed with every answer) and once for each heavy thing that stays the same: a
page of tiles, an enlarged image, the evidence of a sample. Streamlit sends again only what has changed, so an answer to
a key costs a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st


@cache
def _source(suffix: str) -> str:
    """The files of the grid with this suffix, in the order of their names, as one."""
    folder = files("app.review.components.grid")
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(suffix))
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


_mount_desk = st.components.v2.component("curate_grid", html=_source(".html"), css=_source(".css"), js=_source(".js"))
# The same script is one module in the browser, so what is delivered reaches the desk.
_mount_delivery = st.components.v2.component("curate_grid_delivery", js=_source(".js"))


def mount_desk(data: Mapping[str, Any], on_sent: Callable[[list[Any]], None]) -> None:
    """Show the desk; `on_sent` gets the parcels that the browser has sent since, oldest first."""
    key = "desk_component"
    _mount_desk(key=key, data={"kind": "desk", **data}, on_sent_change=lambda: on_sent(_parcels(key)))


def deliver(kind: str, name: str, data: Mapping[str, Any]) -> None:
    """Hand the desk a `page`, a `zoom`, the `evidence` or all `categories`; the same of one `name` travel only once."""
    _mount_delivery(key=f"{kind}-{name}", data={"kind": kind, **data})


def _parcels(key: str) -> list[Any]:
    # Nothing where another screen was opened meanwhile; the browser keeps what it sent, and sends it again.
    sent = st.session_state.get(key, {}).get("sent")
    return [] if sent is None else [sent]

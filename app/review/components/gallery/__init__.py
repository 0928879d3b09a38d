"""Pictures with lines of text below, to look at: the answers of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files

import streamlit as st

_FOLDER = files("app.review.components.gallery")
_mount = st.components.v2.component(
    "curate_gallery",
    html='<div class="gallery" role="list"></div>',
    css=(_FOLDER / "gallery.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "gallery.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, slots=True)
class Card:
    """A picture as a data address, or none, with lines of plain text; `marked` ones stand out."""

    picture: str | None
    lines: tuple[str, ...]
    marked: bool = False


def show_gallery(cards: Sequence[Card], key: str) -> None:
    """Draw the cards in their order."""
    _mount(key=key, data={"cards": [asdict(card) for card in cards]})

"""The Search screen: what looks like this picture, what these words describe, what came from this site."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from app.review.components.gallery import Card, show_gallery
from app.review.pictures import TILE_PX, addresses_of
from app.review.session import Session
from app.review.wording import shown_name
from curation.review.by_site import samples_of_site
from curation.search import NearSample
from curation.store.samples import category_names
from curation.store.snapshot import snapshot
from curation.values import FlagName, Role, Sample

_ROLES = (None, Role.NOVEL, Role.BASE, Role.TEST)
_PICTURES = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"]
_SUSPECT = {FlagName.OUTLIER.value, FlagName.LABEL_FLIP.value}
_BY_IMAGE, _BY_TEXT, _BY_SITE = "Picture", "Words", "Source site"


def show(session: Session) -> None:
    """What to look for, then the answers."""
    st.subheader("Search")
    by = st.radio("Search by", [_BY_IMAGE, _BY_TEXT, _BY_SITE], horizontal=True)
    if by == _BY_SITE:
        _show_site(session)
        return
    left, middle, right, last = st.columns([3, 1, 2, 1], vertical_alignment="top")
    picture = left.file_uploader("A picture", type=_PICTURES) if by == _BY_IMAGE else None
    words = left.text_input("Words", placeholder="a bird on snow", max_chars=300) if by == _BY_TEXT else ""
    role = middle.selectbox("Among", _ROLES, format_func=lambda one: one.value if one else "all")
    with snapshot(session.workspace) as connection:
        names = {name for one in ([role] if role else Role) for name in category_names(connection, one)}
    category = right.selectbox("Category", [None, *sorted(names)], format_func=lambda one: shown_name(one or "all"))
    count = int(last.number_input("How many", 1, 200, 24, step=12))
    if picture is not None:
        with tempfile.NamedTemporaryFile(suffix=".image") as file:  # its name is ours, never that of the upload
            file.write(picture.getbuffer())
            file.flush()
            _show_near(session, Path(file.name), count, role, category)
    elif words.strip():
        _show_near(session, words, count, role, category)


def _show_near(session: Session, query: Path | str, count: int, role: Role | None, category: str | None) -> None:
    from curation.stages.search import search  # loads torch, which no other screen needs

    with st.spinner("Searching …"):
        found = search(session.workspace, session.config, query, count=count, role=role, category=category)
        pictures = addresses_of(session.workspace, session.config, [near.sample_id for near in found.samples], TILE_PX)
    st.caption(f"{len(found.samples)} of {found.index.images:,} images, nearest first; a dashed red frame: suspicious.")
    show_gallery([_near_card(near, pictures[near.sample_id]) for near in found.samples], "answers")


def _near_card(near: NearSample, picture: str | None) -> Card:
    lines = (
        shown_name(near.category),
        f"{near.role}, cosine {near.cosine:.3f}",
        near.image_id,
        *map(shown_name, near.flags),
    )
    return Card(picture, lines, marked=bool(_SUSPECT & set(near.flags)))


def _show_site(session: Session) -> None:
    site = st.text_input("Site", placeholder="example.org", max_chars=253).strip()
    if not site:
        return
    samples = samples_of_site(session.workspace, site, 200)
    pictures = addresses_of(session.workspace, session.config, [sample.sample_id for sample in samples], TILE_PX)
    st.caption(f"{len(samples)} images from this site{' (the first ones)' if len(samples) == 200 else ''}.")
    show_gallery([_site_card(sample, pictures[sample.sample_id]) for sample in samples], "of_site")


def _site_card(sample: Sample, picture: str | None) -> Card:
    lines = (shown_name(sample.category), sample.crawl.title or "", sample.crawl.source_url or "")
    return Card(picture, tuple(filter(None, lines)))

"""The Overview screen: how far the review is, how long it will take, and how well people agree."""

from __future__ import annotations

import streamlit as st

from app.review.session import Session
from app.review.tables import agreement_columns, people_columns, progress_columns, totals
from app.review.wording import plain
from curation.review.agreement import agreement
from curation.review.gold_accuracy import gold_accuracy
from curation.review.overview import pace, progress_by_category


def show(session: Session) -> None:
    """Figures on top, then categories, then people."""
    rows, speed = progress_by_category(session.workspace, session.config), pace(session.workspace, session.config)
    st.subheader("How far the review is")
    figures = totals(rows, speed)
    for column, (name, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(plain(name), value or "unknown")
    st.dataframe(
        progress_columns(rows),
        hide_index=True,
        width="stretch",
        column_config={"Decided": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
        alt="Progress of every category",
    )
    st.caption(
        "The most suspicious images come first, so the share of wrong ones among the decided is higher than in the "
        "whole category. An audit measures that."
    )
    people, together = st.columns([3, 2])
    with people:
        st.subheader("Who reviews")
        st.dataframe(people_columns(speed, gold_accuracy(session.workspace)), hide_index=True, width="stretch")
        st.caption("Accuracy is that on hidden checks, whose answer is known.")
    with together:
        found = agreement(session.workspace)
        st.subheader("How far they agree")
        st.dataframe(agreement_columns(found), hide_index=True, width="stretch")
        if found.kappa is not None:
            st.caption(f"Fleiss' kappa of {found.samples:,} images with {found.ratings} votes each: {found.kappa:.2f}.")

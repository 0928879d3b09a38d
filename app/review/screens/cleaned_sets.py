"""The Cleaned sets screen: what would be exported, exporting it, and what changed since the export before."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from app.review.access import current_person, login_is_configured, may_export
from app.review.export_job import ExportJob, ExportOrder, finished_exports, start_export
from app.review.session import Session
from app.review.tables import difference_columns, kept_columns, promise_facts, set_aside_columns
from app.review.wording import percent, plain, show_error
from curation.current_set import CurrentSet, current_set, read_facts
from curation.errors import CurationError, ExportError
from curation.export.difference import export_difference
from curation.export.formats import FORMATS

_WATCHED = "export_is_watched"
_NAME, _FORMAT, _WITH_BASE = "export_name", "export_format", "export_with_base"
_EVERYTHING, _SPLIT = "export_everything", "export_split"
_REFUSAL = "export_refusal"


def show(session: Session) -> None:
    """The promise, its statement, the counts; then the export and the comparison. What has to be counted comes last."""
    if not _is_running():
        st.session_state.pop(_WATCHED, None)  # what ended while another screen was shown is no news to this one
    st.subheader("What would be exported now")
    promise = _promise()
    figures = st.container(key="set_figures")
    st.divider()
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Export")
        _show_export(session, promise)
    with figures, st.spinner("Counting …"):
        try:
            found = current_set(read_facts(session.workspace), session.config, promise)
        except ExportError as error:
            show_error(error)
        else:
            _show_set(found)
    with right:
        st.subheader("What changed between two exports")
        _show_difference(session)


def _promise() -> float | None:
    chosen, number = st.columns([1, 2], vertical_alignment="bottom")
    by = chosen.radio("Choose by", ["flags", "promise"], horizontal=True, format_func={
        "flags": "the flags of curate.toml", "promise": "a promise"}.__getitem__)  # fmt: skip
    if by == "flags":
        return None
    share = number.slider("At most this share of the export is wrong", 0.1, 20.0, 2.0, step=0.1, format="%.1f %%")
    return round(share / 100, 4)


def _show_set(found: CurrentSet) -> None:
    cleaned = found.cleaned_set
    figures = st.columns(4)
    figures[0].metric("Kept", f"{len(cleaned.kept):,}")
    figures[1].metric("Set aside", f"{len(cleaned.set_aside):,}")
    figures[2].metric("Confirmed by people", f"{found.confirmed:,}")
    if found.promise is not None:
        noise = found.promise.noise
        figures[3].metric("Expected noise", percent(noise.expected))
        st.caption(f"Expected noise: {percent(noise.low)} to {percent(noise.high)} (90 % interval).")
        st.markdown(plain(promise_facts(found.promise)))
    reasons, categories = st.columns(2)
    reasons.dataframe(set_aside_columns(cleaned), hide_index=True, width="stretch")
    categories.dataframe(kept_columns(cleaned), hide_index=True, width="stretch", height=260)


@st.fragment
def _show_export(session: Session, promise: float | None) -> None:
    """Runs again alone, so that an export begins at once: what the set holds takes a while to be found again."""
    if _jobs():
        _show_job(session)
    if (refusal := st.session_state.pop(_REFUSAL, None)) is not None:
        show_error(refusal)
    # Proposed once: a widget whose proposal changes with the minute forgets what was typed into it.
    st.session_state.setdefault(_NAME, f"{session.workspace.root.name[:48]}-{datetime.now(UTC):%Y%m%d-%H%M}")
    with st.form("export"):
        st.text_input("Name", key=_NAME, max_chars=64)
        st.selectbox("Format", sorted(FORMATS), key=_FORMAT)
        st.text_input(
            "Parts that share no picture", key=_SPLIT, placeholder="none, or train=0.9,val=0.1", max_chars=200
        )
        st.checkbox("Also what would be set aside, marked (most training methods want it)", key=_EVERYTHING)
        st.checkbox("With the clean base images, at weight 1", key=_WITH_BASE)
        said = "under the flags" if promise is None else f"under noise ≤ {percent(promise)}"
        st.form_submit_button(
            f"Export {plain(said)}",
            type="primary",
            disabled=_is_running(),
            on_click=_start,
            args=(session, promise),
        )


def _start(session: Session, promise: float | None) -> None:
    """Called before the screen is drawn again, which then shows what came of it."""
    state = st.session_state
    try:
        _refuse_who_may_not(session)
        if not _is_running():  # somebody else may have been faster
            order = ExportOrder(
                state[_NAME], str(state[_FORMAT]), promise, state[_WITH_BASE], state[_EVERYTHING], state[_SPLIT]
            )
            _jobs()[:] = [start_export(session.workspace, order)]
            del state[_NAME]
    except CurationError as error:
        state[_REFUSAL] = error


def _is_running() -> bool:
    return bool(_jobs()) and _jobs()[-1].state().state == "running"


def _refuse_who_may_not(session: Session) -> None:
    person = current_person(session.workspace, session.workspace.config())
    if person is None or not may_export(person, with_login=login_is_configured(session.workspace)):
        raise ExportError("you may not export here.", hint="A lead may; curate.toml names them in its review section.")


@st.cache_resource
def _jobs() -> list[ExportJob]:
    """The newest export of this server, or none: one at a time, whoever has started it."""
    return []


@st.fragment(run_every=1.0)
def _show_job(session: Session) -> None:
    if not _jobs():
        return
    job = _jobs()[-1]
    state = job.state()
    name = plain(state.order.name)
    if state.state == "running":
        st.session_state[_WATCHED] = True
        st.progress(state.done / state.total if state.total else 0.0, text=f"{name}: {plain(state.said)}")
        if st.button("Cancel the export"):
            _cancel(session, job)
        return
    if st.session_state.pop(_WATCHED, False):
        st.rerun()  # the whole screen: there is one export more to compare, and the next may be started
    (st.success if state.state == "done" else st.warning)(f"{name}: {plain(state.said)}")
    if st.button("Dismiss"):
        _jobs().clear()
        st.rerun()


def _cancel(session: Session, job: ExportJob) -> None:
    try:
        _refuse_who_may_not(session)
    except ExportError as error:
        show_error(error)
        return
    job.cancel()
    job.process.wait(timeout=30)
    st.rerun()


@st.fragment
def _show_difference(session: Session) -> None:
    """Both exports are read whole to compare them: when somebody asks, so that nothing else here waits for it."""
    exports = finished_exports(session.workspace)
    if len(exports) < 2:
        st.caption("Two exports of this workspace are needed to compare.")
        return
    names = [path.name for path in exports]
    before, after = st.columns(2)
    older = before.selectbox("Before", names, index=len(names) - 2)
    newer = after.selectbox("After", names, index=len(names) - 1)
    if not st.button("Compare"):
        return
    try:
        found = export_difference(session.workspace.exports / older, session.workspace.exports / newer)
    except CurationError as error:
        show_error(error)
        return
    st.dataframe(difference_columns(found), hide_index=True, width="stretch")

"""`curate report`: one HTML page of what the tool thinks and what people changed.

It reads the published snapshot and the journal, so it neither waits for a run that is writing nor holds one up.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from curation.config import Config
from curation.decoding import ImageReference
from curation.errors import ReportError
from curation.files import file_digest, replace_text
from curation.history.keeping import read_history
from curation.noise.checkpoint import read_noise_calibration
from curation.noise.model import NoiseCalibration
from curation.progress import Progress, silent
from curation.report.changes import record_of
from curation.report.facts import ReportFacts, pictures_in, report_facts
from curation.report.inputs import ReportInputs
from curation.report.page import render_page
from curation.report.record import RECORD_NAME, record_before, write_record
from curation.report.thumbnails import Thumbnail, draw_thumbnails
from curation.store.audits import read_audits
from curation.store.decisions import latest_decisions
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.journal import journal
from curation.store.noise import read_category_noise, read_noise_estimates
from curation.store.runs import StageState, read_run, read_stages
from curation.store.samples import read_samples, unreadable_samples
from curation.store.snapshot import is_published, snapshot
from curation.workspace import Workspace

_NO_RUN = "no-run"  # the folder of a report that is asked for before the first run


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where the page is, how large it is, and all that it says."""

    path: Path
    size_bytes: int
    facts: ReportFacts


def report(workspace: Workspace, config: Config, out: Path | None = None, progress: Progress = silent) -> WrittenReport:
    """Write the page to `out`, or to `runs/<run id>/report.html`, and a record for the next report beside the latter.

    A report is compared with the newest one of an earlier run, however often it is made. Works on a workspace that has
    nothing yet. Raises `ReportError` where a file cannot be written.
    """
    inputs = _read(workspace, config)
    run_id = inputs.run.run_id if inputs.run else _NO_RUN
    folder = workspace.runs / run_id
    if inputs.run is not None:
        before, damaged = record_before(workspace.runs, run_id)
        inputs = replace(inputs, before=before, damaged=damaged)
    facts = report_facts(inputs)
    page = render_page(facts, _thumbnails(facts, config, progress))
    path = folder / "report.html" if out is None else out
    try:
        keeps_record = inputs.run is not None and (out is None or os.access(workspace.runs, os.W_OK))
        if out is None or keeps_record:
            folder.mkdir(parents=True, exist_ok=True)
        replace_text(path, page)
        if keeps_record:  # else the disk of the workspace is read-only, and there will be no later run either
            write_record(folder / RECORD_NAME, record_of(inputs, run_id))
    except OSError as error:
        raise ReportError(
            f"{error.filename or path} cannot be written: {error.strerror or error}.",
            hint="Name a file in a folder you own with --out, and check the space on the disk.",
        ) from error
    return WrittenReport(path, len(page.encode("utf-8")), facts)


def _read(workspace: Workspace, config: Config) -> ReportInputs:
    with journal(workspace.journal) as connection_to_journal:
        decisions, audits = latest_decisions(connection_to_journal), read_audits(connection_to_journal)
    inputs = ReportInputs(
        workspace=workspace.root.name,
        made_at=datetime.now(UTC).replace(tzinfo=None),
        noise_enabled=config.noise.enabled,
        suspected_at=config.flags.noise_probability,
        decisions=decisions,
        audits=audits,
        history=read_history(workspace),
    )
    if not is_published(workspace):
        return inputs
    with snapshot(workspace) as connection:
        stages = read_stages(connection)
        newest = max(stages.values(), key=lambda state: (state.run_id, state.finished_at), default=None)
        return replace(
            inputs,
            run=None if newest is None else read_run(connection, newest.run_id),
            stages=stages,
            samples=read_samples(connection),
            unreadable={sample_id: reason for sample_id, _, reason in unreadable_samples(connection)},
            evidence=read_evidence(connection),
            estimates=read_noise_estimates(connection),
            category_noise=read_category_noise(connection),
            flags=read_flags(connection),
            calibration=_calibration(workspace, stages.get("train-noise")),
        )


def _calibration(workspace: Workspace, learned: StageState | None) -> NoiseCalibration | None:
    """That of the model which made the estimates; a run may have put another in its place, or someone deleted it."""
    stated = None if learned is None else learned.summary.get("file")
    if stated is None or stated != file_digest(workspace.noise_model):
        return None
    return read_noise_calibration(workspace.noise_model)


def _thumbnails(facts: ReportFacts, config: Config, progress: Progress) -> dict[str, Thumbnail]:
    references = [
        ImageReference(picture.sha256, picture.uri) for picture in pictures_in(facts) if picture.sha256 is not None
    ]
    return draw_thumbnails(references, config.images, progress) if references else {}

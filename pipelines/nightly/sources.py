"""The sources of a night: what is new in them is ingested; one that has vanished is a problem, not the end."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from curation.errors import SourceError
from curation.nightly_config import NightlyConfig, NightlySource
from curation.stages.ingest import IngestReport, ingest
from curation.workspace import Workspace
from pipelines.nightly.night import Night


def ingest_sources(night: Night) -> None:
    """Ingest each configured source; where one cannot be read its samples stay as they are."""
    settings = night.config.nightly
    for source in settings.sources:
        try:
            report = ingest(
                night.workspace,
                place_of(night.workspace, source),
                source.role,
                night.progress,
                remove_gone_up_to=settings.most_gone if settings.remove_gone else None,
            )
        except SourceError as error:
            night.problem(f"{error} The night goes on without it; its samples stay.")
            continue
        night.sources.append(report)
        night.log.say("source", _said(report), **asdict(report))
        if report.gone_share > settings.most_gone:
            night.problem(vanished(report.source, report.gone, report.gone_share, settings))


def place_of(workspace: Workspace, source: NightlySource) -> Path:
    """Where a configured source lies: a relative path begins at the workspace, wherever the night is started."""
    return workspace.root / source.path


def vanished(source: str, gone: int, gone_share: float, settings: NightlyConfig) -> str:
    return (
        f"{gone:,} images of {source}, {gone_share:.0%}, are gone, more than nightly.most_gone = "
        f"{settings.most_gone:g}: the source counts as vanished and nothing of it is removed. Bring it back, or raise "
        "nightly.most_gone if this is meant."
    )


def _said(report: IngestReport) -> str:
    return (
        f"{report.source} ({report.role}): {report.listed:,} listed, {report.added:,} new, {report.changed:,} changed, "
        f"{report.moved:,} moved, {report.described_anew:,} described anew, {report.unreadable:,} unreadable, "
        f"{report.gone:,} gone, {report.removed:,} removed"
    )

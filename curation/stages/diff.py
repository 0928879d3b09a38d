"""`curate diff`: what has changed from one export to another, in numbers, by sample, and as a page of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curation.config import Config
from curation.errors import ExportError, ReportError
from curation.export.difference import ExportDifference, SampleChange, changes_between, counted
from curation.export.manifest import is_export
from curation.export.reading import ExportedSet, read_export
from curation.files import replace_text
from curation.progress import Progress, silent
from curation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ExportsCompared:
    """Two exports and what they differ in."""

    older: ExportedSet
    newer: ExportedSet
    counts: ExportDifference
    changes: tuple[SampleChange, ...]


def diff(
    workspace: Workspace,
    config: Config,
    older: str,
    newer: str,
    *,
    page: Path | None = None,
    progress: Progress = silent,
) -> ExportsCompared:
    """Compare two exports, each a folder or a name in the workspace's `exports/`; with `page`, write that HTML file.

    Raises `ExportError` for what is no export, `ReportError` where the page cannot be written.
    """
    before, after = (read_export(_folder_of(workspace, name), verify=False) for name in (older, newer))
    changes = changes_between(before, after)
    if page is not None:
        _write_page(page, before, after, changes, config, progress)
    return ExportsCompared(before, after, counted(changes, before), changes)


def _folder_of(workspace: Workspace, name: str) -> Path:
    """A folder as it is named, if it holds an export; else the export of that name."""
    if is_export(Path(name)):
        return Path(name)
    if not (workspace.exports / name).is_dir():
        known = sorted(path.parent.name for path in workspace.exports.glob("[!.]*/manifest.json"))
        raise ExportError(
            f"{name} is neither the folder of an export nor one in {workspace.exports}.",
            hint=f"There are: {', '.join(known)}." if known else "`curate export --out` writes one.",
        )
    return workspace.exports / name


def _write_page(
    path: Path,
    older: ExportedSet,
    newer: ExportedSet,
    changes: tuple[SampleChange, ...],
    config: Config,
    progress: Progress,
) -> None:
    from curation.report.difference import difference_facts, references, render_difference
    from curation.report.thumbnails import draw_thumbnails

    facts = difference_facts(older, newer, changes)
    drawn = draw_thumbnails(references(facts.pictures), config.images, progress) if facts.pictures else {}
    try:
        replace_text(path, render_difference(facts, drawn))
    except OSError as error:
        raise ReportError(
            f"{path} cannot be written: {error.strerror or error}.", hint="Name a file in a folder you own with --out."
        ) from error

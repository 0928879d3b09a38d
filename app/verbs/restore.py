"""`curate restore`: a new workspace from a backup."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.options import JsonOption

if TYPE_CHECKING:
    from curation.restore import Restored


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `curate backup` wrote.")],
    workspace: Annotated[Path, typer.Argument(metavar="WS", help="The new workspace folder.")],
    ingest: Annotated[bool, typer.Option("--ingest", help="Also ingest the sources, where they were before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new workspace from a backup, and say which sources to ingest; then `curate run` rebuilds the rest.

    Example: curate restore birds-monday.tar birds2
    """
    from app.terminal import print_json, progress_bars
    from curation.restore import restore as run_restore
    from curation.stages.ingest import ingest as run_ingest
    from curation.values import Role
    from curation.workspace import Workspace

    restored = run_restore(file, workspace)
    if not as_json:
        _print(restored, workspace, ingest)
    reports = []
    if ingest:
        with progress_bars() as progress:
            for source in restored.sources:
                found = run_ingest(Workspace(restored.root), Path(source.path), Role(source.role), progress)
                reports.append(asdict(found))
    if as_json:
        print_json({**asdict(restored), "ingested": reports})
    elif ingest:
        print(f"ingested {len(reports)} sources; now: curate run {shlex.quote(str(workspace))}")


def _print(restored: Restored, workspace: Path, ingest: bool) -> None:
    print(f"restored {restored.root} from a backup of {restored.created_at:%Y-%m-%d %H:%M} UTC")
    for note in restored.notes:
        print(f"note: {note}")
    if ingest:
        return
    print("ingest its sources, then run it:")
    quoted = shlex.quote(str(workspace))
    for source in restored.sources:
        missing = "" if source.there else "   # not here: give the place where it is now"
        print(f"  curate ingest {quoted} {shlex.quote(source.path)} --role {source.role}{missing}")
    print(f"  curate run {quoted}")

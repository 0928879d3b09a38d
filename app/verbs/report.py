"""`curate report`: one HTML page of what the tool thinks and what people changed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.options import JsonOption, WorkspaceArgument

if TYPE_CHECKING:
    from curation.stages.report import WrittenReport


def report(
    workspace: WorkspaceArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Where to write it; without, WS/runs/RUN/report.html.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write an HTML page: noise rates, pictures, copies, bad files, what decisions changed, what is new.

    Example: curate report birds --out monday.html
    """
    from app.terminal import print_json, progress_bars
    from curation.stages.report import report as write_report
    from curation.workspace import open_workspace

    opened = open_workspace(workspace)
    with progress_bars() as progress:
        written = write_report(opened, opened.config(), out, progress)
    if as_json:
        print_json({"path": written.path, "size_bytes": written.size_bytes, **asdict(written.facts)})
    else:
        _print(written)


def _print(written: WrittenReport) -> None:
    from app.terminal import print_facts

    head = written.facts.headline
    facts = {
        "novel images": head.samples.get("novel", 0),
        "noise rate": head.noise_rate and head.noise_rate.noise_rate,
        "noise rate, low": head.noise_rate and head.noise_rate.low,
        "noise rate, high": head.noise_rate and head.noise_rate.high,
        "flagged as wrong": head.suspected,
        "judged by people": head.reviewed,
    }
    print_facts(f"report of {head.workspace}", facts)
    for gap in written.facts.gaps:
        print(f"note: {gap}")
    if head.transfer is not None and not head.transfer.trusted:
        print(f"warning: {head.transfer.sentence}")
    print(f"wrote {written.path}")

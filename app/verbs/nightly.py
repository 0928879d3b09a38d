"""`curate nightly`: the unattended run, from what is new to an export."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.options import JsonOption, WorkspaceArgument

if TYPE_CHECKING:
    from pipelines.nightly.night import NightResult
    from pipelines.nightly.plan import NightPlan


def nightly(
    workspace: WorkspaceArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how much; write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ingest what is new, run what is out of date, export if the promise holds, as [nightly] of curate.toml says.

    Exit status 1 also when the night met a problem, such as a source that has vanished. 143: ended by a signal.

    Example: curate nightly birds --dry-run
    """
    from app.terminal import print_json, progress_bars
    from curation.priority import give_way
    from curation.workspace import open_workspace
    from pipelines.nightly.flow import nightly as run_night
    from pipelines.nightly.plan import plan_night

    opened = open_workspace(workspace)
    config = opened.config()
    if dry_run:
        plan = plan_night(opened, config)
        print_json(asdict(plan) | {"possible": plan.possible}) if as_json else _print_plan(plan)
        raise typer.Exit(0 if plan.possible else 1)
    give_way(config.nightly.niceness)
    signal.signal(signal.SIGTERM, _end)
    with progress_bars() as progress:
        result = run_night(
            opened, config, progress=progress, echo=lambda line: print(line, file=sys.stderr, flush=True)
        )
    print_json(asdict(result)) if as_json else _print_result(result)
    raise typer.Exit(1 if result.problems else 0)


def _end(number: int, _: FrameType | None) -> None:
    """A signal from outside ends the night as Ctrl-C does: by an exception, so that everything is closed and said."""
    sys.exit(128 + number)


def _print_plan(plan: NightPlan) -> None:
    from app.terminal import print_facts, print_table

    columns = ("source", "role", "listed", "to read", "gone", "to remove", "problem")
    print_table("sources", columns, [tuple(asdict(source).values()) for source in plan.sources])
    print_table("stages", ("stage", "state"), plan.stages.items())
    print_facts(
        "the night",
        {
            "busy": plan.busy or "no",
            "free, GB": plan.free_bytes / 1e9,
            "needed, GB": plan.needed_bytes / 1e9,
            "export": plan.export,
            "training on the export": plan.train,
            "old runs to remove": plan.runs_removed,
            "old exports to remove": plan.exports_removed,
        },
    )


def _print_result(result: NightResult) -> None:
    from app.terminal import print_facts

    print_facts(
        f"night {result.night_id}",
        {
            "status": result.status,
            "new images": sum(source.added for source in result.sources),
            "stages that ran": ", ".join(name for name, ran in result.stages.items() if ran) or "none",
            "alarms": len(result.alarms),
            "export": result.export or "none",
            "made tonight": result.exported,
            "seconds": sum(result.durations_s.values()),
            "log and report": result.folder,
        },
    )

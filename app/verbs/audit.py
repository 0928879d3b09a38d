"""`curate audit`: how wrong the cleaned set really is, measured on a random sample."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.options import JsonOption, WorkspaceArgument

if TYPE_CHECKING:
    from curation.audit import AuditResult
    from curation.audit_plan import Audit


def audit(
    workspace: WorkspaceArgument,
    number: Annotated[
        int | None, typer.Option("--n", min=2, metavar="N", help="Draw a new audit of N samples; without, report.")
    ] = None,
    promise: Annotated[
        str | None, typer.Option(metavar="NOISE", help="Draw from what an export under this promise keeps.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Repeats a draw; otherwise every draw differs.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also list the drawn samples as CSV.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a random sample of what an export would keep, or report what its review has found.

    Example: curate audit birds --n 200 --out audit.csv; curate audit birds
    """
    from app.terminal import print_json
    from curation.promise import parse_promise
    from curation.stages.audit import draw_audit, report_audit
    from curation.workspace import open_workspace

    if number is None and (promise, seed, out) != (None, None, None):
        raise typer.BadParameter("these belong to a new audit: say how many to draw.", param_hint="--n")
    opened = open_workspace(workspace)
    if number is not None:
        drawn = draw_audit(
            opened,
            opened.config(),
            number,
            seed=secrets.randbits(32) if seed is None else seed,
            promise=None if promise is None else parse_promise(promise),
            out=out,
        )
        print_json(asdict(drawn)) if as_json else _print_drawn(drawn, workspace, out)
        return
    newest, result = report_audit(opened)
    if as_json:
        print_json({"audit_id": newest.audit_id, "planned_at": newest.planned_at, **asdict(result)})
    else:
        _print_result(newest, result)


def _print_drawn(drawn: Audit, workspace: Path, out: Path | None) -> None:
    plan = drawn.plan
    print(
        f"audit {drawn.audit_id}: drew {len(plan.drawn):,} of {plan.population:,} undecided samples in "
        f"{len(plan.strata)} strata (seed {plan.seed}); {plan.confirmed:,} were reviewed before and count as right"
    )
    if out is not None:
        print(f"listed them in {out}")
    print(
        "Look at each image and decide: keep where it shows its web category, drop or relabel where not. "
        f"`curate audit {workspace}` reports what the decisions say."
    )


def _print_result(newest: Audit, result: AuditResult) -> None:
    from app.terminal import print_facts, print_table

    facts = {name: value for name, value in asdict(result).items() if name != "strata"}
    print_facts(f"audit {newest.audit_id}, drawn {newest.planned_at:%Y-%m-%d %H:%M} UTC", facts)
    names = ("lowest", "highest", "population", "drawn", "decided", "wrong", "predicted", "found")
    print_table(
        "by noise probability", names, [[getattr(stratum, name) for name in names] for stratum in result.strata]
    )

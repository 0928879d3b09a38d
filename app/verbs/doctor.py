"""`curate doctor`: what may be wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.options import JsonOption, WorkspaceArgument

if TYPE_CHECKING:
    from curation.doctor.finding import Diagnosis


def doctor(
    workspace: WorkspaceArgument,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired without losing anything.")] = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="Read every byte of the embeddings too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Examine a workspace and this machine, damaged or not, while other commands run; exit 1 where something is wrong.

    Example: curate doctor birds --fix
    """
    from app.terminal import print_json
    from curation.doctor import examine, open_damaged

    diagnoses = examine(open_damaged(workspace), thorough=thorough, fix=fix)
    if as_json:
        print_json([asdict(diagnosis) for diagnosis in diagnoses])
    else:
        _print(diagnoses, fix)
    if any(diagnosis.is_open_problem for diagnosis in diagnoses):
        raise typer.Exit(1)


def _print(diagnoses: Sequence[Diagnosis], fix: bool) -> None:
    """A line a finding, and below it what was done or is to do: sentences are too long for the columns of a table."""
    for one in diagnoses:
        print(f"{one.level.value:<8} {one.check:<14} {one.sentence}")
        if one.done or one.advice:
            print(f"{'':<23} {'done:' if one.fixed else 'to do:'} {one.done or one.advice}")
    fixable = sum(one.can_be_fixed for one in diagnoses)
    if fixable and not fix:
        print(f"{fixable} of these can be repaired: add --fix")

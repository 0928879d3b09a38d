"""`curate backup`: one file of what cannot be rebuilt."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.verbs.options import JsonOption, WorkspaceArgument


def backup(
    workspace: WorkspaceArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, a tar archive.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write what cannot be rebuilt into one file, while everything runs: decisions, configuration, models, history.

    Example: curate backup birds birds-monday.tar
    """
    from app.terminal import print_facts, print_json
    from curation.backup import back_up
    from curation.workspace import open_workspace

    receipt = asdict(back_up(open_workspace(workspace), file, overwrite=overwrite))
    if as_json:
        print_json(receipt)
        return
    notes = receipt.pop("notes")
    print_facts(f"backed up {workspace}", {**receipt, "models": ", ".join(receipt["models"])})
    for note in notes:
        print(f"note: {note}")

"""`curate search`: the samples nearest to an image or to words."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.options import JsonOption, RoleName, WorkspaceArgument

if TYPE_CHECKING:
    from curation.neighbour_index import IndexState


def search(
    workspace: WorkspaceArgument,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="Find what looks like this image.")] = None,
    text: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Find what these words describe (open_clip encoders).")
    ] = None,
    count: Annotated[int, typer.Option("--n", min=1, help="How many samples.")] = 20,
    role: Annotated[RoleName | None, typer.Option(help="Only samples of this role.")] = None,
    category: Annotated[str | None, typer.Option(help="Only samples of this category.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Also draw the samples found, as a contact sheet.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the samples nearest to an image or to words.

    Example: curate search birds --image robin.jpg --role novel --sheet near.png
    """
    if image is not None and text is not None:
        raise typer.BadParameter("give one of them, not both.", param_hint="--image, --text")
    query = text if image is None else image
    if query is None:
        raise typer.BadParameter("say what to search for with one of them.", param_hint="--image, --text")
    from app.terminal import print_json, print_table, progress_bars
    from curation.stages.search import search as run_search
    from curation.values import Role
    from curation.workspace import open_workspace

    opened = open_workspace(workspace)
    with progress_bars() as progress:
        found = run_search(
            opened,
            opened.config(),
            query,
            count=count,
            role=None if role is None else Role(role.value),
            category=category,
            sheet=sheet,
            progress=progress,
        )
    if found.index.added or found.index.removed:
        print(_about(found.index), file=sys.stderr)
    if as_json:
        print_json(asdict(found))
        return
    columns = ("rank", "cosine", "role", "category", "image_id", "uri", "flags")
    rows = [
        (near.rank, near.cosine, near.role, near.category, near.image_id, near.uri, near.flags)
        for near in found.samples
    ]
    print_table(f"nearest to {found.query}", columns, [(*row[:-1], " ".join(row[-1])) for row in rows])
    if sheet is not None:
        print(f"drew {sheet}")


def _about(index: IndexState) -> str:
    """What was done to the index, in one sentence."""
    change = "built" if index.built else f"{index.added:,} added, {index.removed:,} removed"
    recall = "exact" if index.recall is None else f"{index.recall:.1%} of the true neighbours found in a self-check"
    return (
        f"neighbour index: {index.kind} on {index.device}, {index.images:,} images, {change} in {index.seconds:.1f} s, "
        f"{recall}"
    )

"""`curate export`: the cleaned set as files, with what is promised of it."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.options import JsonOption, WorkspaceArgument

if TYPE_CHECKING:
    from curation.stages.export import ExportResult


class FormatName(StrEnum):
    """Export formats as the command line spells them; the library's registry is tested to agree."""

    imagefolder = "imagefolder"
    csv = "csv"
    parquet = "parquet"
    webdataset = "webdataset"
    hf = "hf"


def export(
    workspace: WorkspaceArgument,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    format_name: Annotated[FormatName, typer.Option("--format", help="How the cleaned set is written.")],
    promise: Annotated[
        str | None,
        typer.Option(metavar="NOISE", help='Keep only what holds a promise: "noise<=0.02", at most 2 % wrong.'),
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="List the N samples most worth a review in review.csv.")
    ] = None,
    hard_links: Annotated[
        bool, typer.Option("--hard-links", help="imagefolder: link image files instead of copying.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in that folder.")] = False,
    with_base: Annotated[bool, typer.Option("--with-base", help="Add the clean base samples, at weight 1.")] = False,
    everything: Annotated[
        bool,
        typer.Option("--everything", help="Also what would be set aside, marked, unless unreadable or dropped."),
    ] = False,
    split: Annotated[
        str | None,
        typer.Option(metavar="SHARES", help="Cut it into parts that share no picture: train=0.9,val=0.1."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the cleaned set, verified, with weights and provenance.

    Example: curate export birds --format imagefolder --out cleaned --promise "noise<=0.02"
    """
    from app.terminal import print_json, progress_bars
    from curation.export.splits import parse_split
    from curation.priority import BEHIND_PEOPLE, give_way
    from curation.promise import parse_promise
    from curation.stages.export import export as run_export
    from curation.workspace import open_workspace

    give_way(BEHIND_PEOPLE)
    promised = None if promise is None else parse_promise(promise)
    shares = None if split is None else parse_split(split)
    opened = open_workspace(workspace)
    with progress_bars() as progress:
        exported = run_export(
            opened,
            opened.config(),
            export_format=format_name.value,
            out=out,
            promise=promised,
            budget=budget,
            hard_links=hard_links,
            overwrite=overwrite,
            with_base=with_base,
            everything=everything,
            split=shares,
            progress=progress,
        )
    if as_json:
        values = asdict(exported)
        print_json(values["receipt"] | {name: values[name] for name in ("promise", "reviews")})
    else:
        _print(exported, out)


def _print(exported: ExportResult, out: Path) -> None:
    from app.terminal import print_facts

    print_facts(f"exported {out}", asdict(exported.receipt))
    if exported.promise is not None:
        marked = "unmarked " if exported.receipt.marked_by_reason else ""
        print_facts(f"promised of its {marked}novel samples", asdict(exported.promise))
    if exported.reviews is not None:
        print_facts(f"what the reviews in {out / 'review.csv'} would give", asdict(exported.reviews))

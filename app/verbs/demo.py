"""`curate demo`: everything on a drawn image set with known noise."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.verbs.options import JsonOption


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new folder for the images, the workspace and the results.")
    ] = Path("curation-demo"),
    seed: Annotated[int, typer.Option(help="Another seed draws other images.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Draw a small image set with known noise and run everything on it, offline.

    Example: curate demo /tmp/demo
    """
    from app.terminal import print_facts, print_json, print_table, progress_bars
    from curation.demo.run import run_demo

    with progress_bars() as progress:
        result = run_demo(folder, seed=seed, progress=progress)
    if as_json:
        print_json(asdict(result))
        return
    print_facts("the image set", result.images)
    print_table("who finds the wrong images (area under ROC)", ("method", "AUROC"), result.auroc.items())
    print_table("weights", ("images", "number", "mean weight"), [(kind, *row) for kind, row in result.weights.items()])
    print_table(
        "flagged as outlier or label flip", ("", "value"), [(name, value) for name, value in result.flagged.items()]
    )
    print_table("look at", ("what", "where"), result.places.items())

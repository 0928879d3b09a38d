"""`curate predict`: what a trained classifier says of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.options import DeviceName, JsonOption

if TYPE_CHECKING:
    from pipelines.classification.prediction_table import PredictionSummary


def predict(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="The folder of a training, or its model.safetensors.")
    ],
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="An image, a folder of images, a table, tar shards.")
    ],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write every prediction: .csv or .json.")] = None,
    top: Annotated[int, typer.Option(min=1, metavar="K", help="How many categories of each image are told.")] = 5,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="ENCODER", help="Of a frozen one, where its weights lie now: timm/MODEL@FILE.safetensors."
        ),
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="auto takes a GPU where there is one.")] = DeviceName.auto,
    as_json: JsonOption = False,
) -> None:
    """Say what images show, with a trained classifier; unreadable ones are listed with the reason.

    Example: curate predict classifier new-photographs --out predictions.csv
    """
    from app.terminal import print_json, progress_bars
    from curation.sources import list_source
    from pipelines.classification.checkpoint import load_classifier, model_file
    from pipelines.classification.prediction import join_parts, predict_parts
    from pipelines.classification.prediction_table import check_suffix, prediction_rows, write_parts

    if out is not None:
        check_suffix(out)
    loaded = load_classifier(model_file(checkpoint), device.value, encoder=backbone)
    listing = list_source(images, labelled=False)
    names = loaded.facts.categories
    with progress_bars() as progress:
        parts = predict_parts(loaded, listing.entries, progress)
        if as_json:
            predictions = join_parts(parts, len(names))
            parts = iter([predictions])
        summary = write_parts(out, parts, names, top)
    if as_json:
        print_json(list(prediction_rows(predictions, names, top)))
    else:
        _print(summary, min(top, len(names)), out)
        for reason, count in listing.ignored.items():
            print(f"note: passed over {count:,}: {reason}")
    if not summary.images:
        raise typer.Exit(1)


def _print(summary: PredictionSummary, top: int, out: Path | None) -> None:
    from app.terminal import print_table

    shown = summary.first if out is None else ()
    if shown:
        rows = [
            (row["image_id"], *(f"{guess['category']} {guess['probability']:.0%}" for guess in row["predictions"]))
            for row in shown
        ]
        print_table("predictions", ("image", *(f"{place}." for place in range(1, top + 1))), rows)
    hidden = summary.images - len(shown)
    if out is None and hidden:
        print(f"and {hidden:,} more images: --out FILE.csv writes all of them")
    for bad in summary.first_unreadable:
        print(f"unreadable: {bad.image_id}: {bad.reason}")
    total = summary.images + summary.unreadable
    print(f"predicted {summary.images:,} of {total:,} images, {summary.unreadable:,} unreadable")
    if out is not None:
        print(f"wrote {out}")

"""`curate predict`: what a trained classifier says of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.options import DeviceName, JsonOption

if TYPE_CHECKING:
    from pipelines.classification.prediction import Predictions

_SHOWN = 20  # rows on the screen where no file is written: what fits


def predict(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="The folder of a training, or its model.safetensors.")
    ],
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="An image, a folder of images, a table, tar shards.")
    ],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write every prediction: .csv or .json.")] = None,
    top: Annotated[int, typer.Option(min=1, metavar="K", help="How many categories of each image are told.")] = 5,
    device: Annotated[DeviceName, typer.Option(help="auto takes a GPU where there is one.")] = DeviceName.auto,
    as_json: JsonOption = False,
) -> None:
    """Say what images show, with a trained classifier; unreadable ones are listed with the reason.

    Example: curate predict classifier new-photographs --out predictions.csv
    """
    from app.terminal import print_json, progress_bars
    from curation.sources import list_source
    from pipelines.classification.checkpoint import load_classifier, model_file
    from pipelines.classification.prediction import predict_images
    from pipelines.classification.prediction_table import check_suffix, prediction_rows, write_predictions

    if out is not None:
        check_suffix(out)
    loaded = load_classifier(model_file(checkpoint), device.value)
    listing = list_source(images, labelled=False)
    with progress_bars() as progress:
        predictions = predict_images(loaded, listing.entries, progress)
    names = loaded.facts.categories
    if out is not None:
        write_predictions(out, predictions, names, top)
    if as_json:
        print_json(list(prediction_rows(predictions, names, top)))
    else:
        _print(predictions, names, top, out)
        for reason, count in listing.ignored.items():
            print(f"note: passed over {count:,}: {reason}")
    if not predictions.images:
        raise typer.Exit(1)


def _print(predictions: Predictions, names: Sequence[str], top: int, out: Path | None) -> None:
    from app.terminal import print_table
    from pipelines.classification.prediction import most_probable

    shown = min(len(predictions.images), _SHOWN) if out is None else 0
    if shown:
        guesses = most_probable(predictions.probabilities[:shown], names, top)
        rows = [
            (image.image_id, *(f"{guess.category} {guess.probability:.0%}" for guess in found))
            for image, found in zip(predictions.images, guesses, strict=False)
        ]
        places = [f"{place}." for place in range(1, min(top, len(names)) + 1)]
        print_table("predictions", ("image", *places), rows)
    hidden = len(predictions.images) - shown
    if out is None and hidden:
        print(f"and {hidden:,} more images: --out FILE.csv writes all of them")
    for bad in predictions.unreadable[:_SHOWN]:
        print(f"unreadable: {bad.image_id}: {bad.reason}")
    total = len(predictions.images) + len(predictions.unreadable)
    print(f"predicted {len(predictions.images):,} of {total:,} images, {len(predictions.unreadable):,} unreadable")
    if out is not None:
        print(f"wrote {out}")

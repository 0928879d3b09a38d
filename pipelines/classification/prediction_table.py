"""Predictions as a file: one row an image, readable or not, as CSV or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from curation.errors import TrainingError
from curation.files import replace_text
from pipelines.classification.prediction import Predictions, most_probable

SUFFIXES = (".csv", ".json")
_DIGITS = 6  # of a probability: float32 holds no more


def check_suffix(path: Path) -> None:
    """Raise `TrainingError` where predictions cannot be written as a file of this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise TrainingError(
            f"predictions go to {' or '.join(SUFFIXES)}, not to {path.name!r}.", hint="Change the suffix of --out."
        )


def prediction_rows(predictions: Predictions, names: Sequence[str], top: int) -> Iterator[dict[str, Any]]:
    """One row an image: `image_id`, `uri`, `category` as its source has it ("" unknown), `predictions` (the `top` most
    probable, each category and probability), `reason` ("" for a readable image). The unreadable ones come last."""
    guesses = most_probable(predictions.probabilities, names, top)
    for image, found in zip(predictions.images, guesses, strict=True):
        rounded = [{**asdict(guess), "probability": round(guess.probability, _DIGITS)} for guess in found]
        yield _row(image.image_id, image.uri, image.category, rounded, "")
    for bad in predictions.unreadable:
        yield _row(bad.image_id, bad.uri, bad.category, [], bad.reason)


def write_predictions(path: Path, predictions: Predictions, names: Sequence[str], top: int) -> None:
    """Write all rows in one step; the suffix of `path` chooses CSV or JSON.

    CSV has columns `predicted_1`, `probability_1`, ... up to `top` in place of `predictions`.
    """
    check_suffix(path)
    top = min(top, len(names))
    rows = list(prediction_rows(predictions, names, top))
    csv_wanted = path.suffix.lower() == ".csv"
    text = _as_csv(rows, top) if csv_wanted else json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    try:
        replace_text(path, text)
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written: {error.strerror}.", hint="Name a file in a folder you own."
        ) from error


def _row(image_id: str, uri: str, category: str, guesses: list[dict[str, Any]], reason: str) -> dict[str, Any]:
    return {"image_id": image_id, "uri": uri, "category": category, "predictions": guesses, "reason": reason}


def _as_csv(rows: Sequence[dict[str, Any]], top: int) -> str:
    places = range(1, top + 1)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    guessed = [name for place in places for name in (f"predicted_{place}", f"probability_{place}")]
    writer.writerow(["image_id", "uri", "category", *guessed, "reason"])
    for row in rows:
        cells = [cell for guess in row["predictions"] for cell in (guess["category"], guess["probability"])]
        cells += [""] * (2 * top - len(cells))
        writer.writerow([row["image_id"], row["uri"], row["category"], *cells, row["reason"]])
    return text.getvalue()

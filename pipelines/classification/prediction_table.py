"""Predictions as a file: one row an image, readable or not, as CSV or JSON; written part by part, as they come."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from curation.errors import TrainingError
from curation.files import new_file
from pipelines.classification.prediction import Predictions, UnreadableImage, most_probable

Row = dict[str, Any]

_DIGITS = 6  # of a probability: float32 holds no more
_SHOWN = 20  # images and unreadable ones that a summary holds: what fits on a screen


@dataclass(frozen=True, slots=True)
class PredictionSummary:
    """How many images were predicted and how many are unreadable, and the first of both: at most 20 each.

    `first` are rows as `prediction_rows` gives them.
    """

    images: int
    unreadable: int
    first: tuple[Row, ...]
    first_unreadable: tuple[UnreadableImage, ...]


def check_suffix(path: Path) -> None:
    """Raise `TrainingError` where predictions cannot be written as a file of this name."""
    if path.suffix.lower() not in _FORMS:
        raise TrainingError(
            f"predictions go to {' or '.join(_FORMS)}, not to {path.name!r}.", hint="Change the suffix of --out."
        )


def prediction_rows(predictions: Predictions, names: Sequence[str], top: int) -> Iterator[Row]:
    """One row an image: `image_id`, `uri`, `category` as its source has it ("" unknown), `predictions` (the `top` most
    probable, each category and probability), `reason` ("" for a readable image). The unreadable ones come last."""
    guesses = most_probable(predictions.probabilities, names, top)
    for image, found in zip(predictions.images, guesses, strict=True):
        rounded = [{**asdict(guess), "probability": round(guess.probability, _DIGITS)} for guess in found]
        yield _row(image.image_id, image.uri, image.category, rounded, "")
    for bad in predictions.unreadable:
        yield _bad_row(bad)


def write_predictions(path: Path, predictions: Predictions, names: Sequence[str], top: int) -> None:
    """Write all rows in one step, as `write_parts` does."""
    write_parts(path, [predictions], names, top)


def write_parts(path: Path | None, parts: Iterable[Predictions], names: Sequence[str], top: int) -> PredictionSummary:
    """Write the rows of all parts to `path`, or none where it is `None`; the suffix of `path` chooses CSV or JSON.

    A part is not held once it is written: of a million images only the unreadable ones are, which come last. The file
    is there, whole, when the last part is. CSV has columns `predicted_1`, `probability_1`, ... up to `top` in place of
    `predictions`. Raises `TrainingError` for another suffix, and where the file cannot be written.
    """
    top = min(top, len(names))
    images, first, unreadable = 0, list[Row](), list[UnreadableImage]()
    with _table(path, top) as write:
        for part in parts:
            rows = list(prediction_rows(Predictions(part.images, part.probabilities, ()), names, top))
            write(rows)
            first += rows[: _SHOWN - len(first)]
            images += len(rows)
            unreadable += part.unreadable
        write([_bad_row(bad) for bad in unreadable])
    return PredictionSummary(images, len(unreadable), tuple(first), tuple(unreadable[:_SHOWN]))


@contextmanager
def _table(path: Path | None, top: int) -> Iterator[Callable[[list[Row]], None]]:
    """What appends rows to the file at `path`, which is there when the block ends."""
    if path is None:
        yield lambda rows: None  # noqa: ARG005 - as one that writes
        return
    check_suffix(path)
    form = _FORMS[path.suffix.lower()](top)
    with ExitStack() as files:
        with _told(path):
            file = files.enter_context(new_file(path))

        def write(rows: list[Row]) -> None:
            with _told(path):
                file.write(form.text(rows).encode())

        yield write
        with _told(path):
            file.write(form.end().encode())
            files.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written: {error.strerror}.", hint="Name a file in a folder you own, with space."
        ) from error


class _Csv:
    """The text of a CSV file: its header comes with the first rows."""

    def __init__(self, top: int) -> None:
        self._cells = 2 * top
        guessed = [name for place in range(1, top + 1) for name in (f"predicted_{place}", f"probability_{place}")]
        self._header: list[list[str]] = [["image_id", "uri", "category", *guessed, "reason"]]

    def text(self, rows: list[Row]) -> str:
        """The lines of these rows."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows(self._header)
        self._header = []
        for row in rows:
            cells = [cell for guess in row["predictions"] for cell in (guess["category"], guess["probability"])]
            cells += [""] * (self._cells - len(cells))
            writer.writerow([row["image_id"], row["uri"], row["category"], *cells, row["reason"]])
        return text.getvalue()

    def end(self) -> str:
        """What comes after the last row."""
        return ""


class _Json:
    """The text of a list in JSON, as `json.dumps(rows, indent=1)` gives it."""

    def __init__(self, top: int) -> None:  # noqa: ARG002 - the rows have as many predictions
        self._before = "["

    def text(self, rows: list[Row]) -> str:
        """The items of these rows."""
        texts = []
        for row in rows:
            item = json.dumps(row, indent=1, ensure_ascii=False).replace("\n", "\n ")  # in a text it is escaped
            texts.append(f"{self._before}\n {item}")
            self._before = ","
        return "".join(texts)

    def end(self) -> str:
        """What comes after the last row."""
        return "[]\n" if self._before == "[" else "\n]\n"


_FORMS: dict[str, type[_Csv] | type[_Json]] = {".csv": _Csv, ".json": _Json}


def _row(image_id: str, uri: str, category: str, guesses: list[Row], reason: str) -> Row:
    return {"image_id": image_id, "uri": uri, "category": category, "predictions": guesses, "reason": reason}


def _bad_row(bad: UnreadableImage) -> Row:
    return _row(bad.image_id, bad.uri, bad.category, [], bad.reason)

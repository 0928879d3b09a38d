"""The report of a training: what it says, and `report.html`, one page that holds its pictures and loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.resources import files

from curation.report.charts import rate_bar
from curation.report.page import render_template
from curation.report.thumbnails import Thumbnail
from pipelines.classification.charts import (
    LARGEST_MATRIX,
    Row,
    accuracy_curve,
    confidence_chart,
    confusion_picture,
    loss_curve,
    validation_loss_curve,
)
from pipelines.classification.checkpoint import ClassifierFacts
from pipelines.classification.evaluation import Evaluation
from pipelines.classification.onnx_model import OnnxModel
from pipelines.classification.prediction import Predictions, UnreadableImage
from pipelines.classification.usage import Usage
from pipelines.training.metrics import Codes

MOST_ERRORS = 48  # pictures: eight rows on a wide screen, 0.3 MB
_PACKAGE = "pipelines.classification"
_DRAWINGS = (rate_bar, accuracy_curve, loss_curve, validation_loss_curve, confidence_chart, confusion_picture)
_UNDRAWN = Thumbnail("", 0, 0, "its file could not be read")


@dataclass(frozen=True, slots=True)
class WrongImage:
    """A test image that was taken for another category; probabilities of that one and of its own, [0, 1]."""

    image_id: str
    uri: str
    sha256: str
    category: str
    predicted: str
    probability: float
    own_probability: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a test source.

    Not in the `evaluation` are `unreadable` images, those of `unknown` categories (counted by name) and the `seen`
    ones, whose bytes the classifier was trained on. `errors` are the worst ones first.
    """

    source: str
    evaluation: Evaluation
    errors: tuple[WrongImage, ...]
    unreadable: tuple[UnreadableImage, ...]
    unknown: dict[str, int]
    seen: int


@dataclass(frozen=True, slots=True)
class ClassifierReport:
    """Everything that the page and the model card say; `test` and `onnx` are `None` where there was none."""

    name: str
    made_at: datetime
    facts: ClassifierFacts
    method: str
    export: str
    usage: Usage
    history: tuple[Row, ...]
    test: Judgement | None
    onnx: OnnxModel | None


def worst_errors(predictions: Predictions, codes: Codes, names: Sequence[str]) -> tuple[WrongImage, ...]:
    """At most `MOST_ERRORS` images whose most probable category is wrong, the most confident ones first."""
    predicted = predictions.probabilities.argmax(axis=1)
    confidence = predictions.probabilities.max(axis=1)
    wrong = [row for row in (-confidence).argsort(kind="stable").tolist() if predicted[row] != codes[row]]
    return tuple(
        WrongImage(
            image_id=predictions.images[row].image_id,
            uri=predictions.images[row].uri,
            sha256=predictions.images[row].sha256,
            category=names[codes[row]],
            predicted=names[predicted[row]],
            probability=float(confidence[row]),
            own_probability=float(predictions.probabilities[row, codes[row]]),
        )
        for row in wrong[:MOST_ERRORS]
    )


def render_report(report: ClassifierReport, thumbnails: Mapping[str, Thumbnail]) -> str:
    """The whole page; `thumbnails` by SHA-256, an image without one is a blank with the reason."""
    extra_style = files(_PACKAGE).joinpath("templates/classifier.css").read_text(encoding="utf-8")
    return render_template(
        _PACKAGE,
        "classifier.html",
        _DRAWINGS,
        report=report,
        extra_style=extra_style,
        largest_matrix=LARGEST_MATRIX,
        thumbnail=partial(_thumbnail, thumbnails),
    )


def _thumbnail(thumbnails: Mapping[str, Thumbnail], error: WrongImage) -> Thumbnail:
    return thumbnails.get(error.sha256, _UNDRAWN)

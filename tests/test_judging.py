"""What is told of a finished classifier: right figures, safe pages whatever names the web brings, honest gaps."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from curation.errors import SourceError, TrainingError
from curation.report.thumbnails import Thumbnail
from curation.sources import list_source
from curation.values import CleanedSample, Role
from pipelines.classification.charts import (
    accuracy_curve,
    confusion_matrix,
    confusion_picture,
    loss_curve,
    validation_loss_curve,
)
from pipelines.classification.evaluation import evaluate
from pipelines.classification.judging import check_judgeable, evaluation_facts, judge_predictions, read_history
from pipelines.classification.methods import make_targets
from pipelines.classification.model_card import model_card
from pipelines.classification.onnx_model import OnnxModel
from pipelines.classification.prediction import PredictedImage, Predictions, UnreadableImage, predict_images
from pipelines.classification.report import ClassifierReport, Judgement, render_report, worst_errors
from pipelines.classification.usage import usage_of
from tests.classifier_factory import NAMES, colour_classifier, colour_folder, write_colour

EVIL = """"><script>alert(1)</script><img src=x onerror='alert(2)'>`|\n# &amp;{{ 7 * 7 }}"""
HISTORY = (
    {
        "epoch": 1.0,
        "loss": 2.0,
        "validation_accuracy": 0.5,
        "validation_loss": 1.5,
        "averaged_accuracy": 0.4,
        "averaged_loss": 1.6,
    },
    {
        "epoch": 2.0,
        "loss": 0.7,
        "validation_accuracy": 0.8,
        "validation_loss": 0.9,
        "averaged_accuracy": None,
        "averaged_loss": None,
    },
)


def sample(number: int, category: str, noise: float | None, suggested: str | None, sure: float | None) -> CleanedSample:
    return CleanedSample(
        sample_id=f"{number:016x}",
        image_id=f"{number}.jpg",
        role=Role.NOVEL,
        category=category,
        category_id=0,
        web_category=category,
        weight=1.0,
        noise_probability=noise,
        uri=f"file:///nowhere/{number}.jpg",
        sha256=f"{number:064x}",
        suggested_category=suggested,
        suggested_probability=sure,
    )


SAMPLES = (
    sample(0, "red", 0.1, "red", 0.9),
    sample(1, "red", 0.8, "green", 0.7),
    sample(2, "green", 0.2, "green", 0.8),
    sample(3, "blue", 0.9, None, 0.9),
)


def outcome(names: tuple[str, ...] = NAMES) -> Judgement:
    """Six images of the first two categories, two of them wrong."""
    codes = np.array([0, 0, 0, 1, 1, 1])
    likely = np.array([0, 1, 0, 1, 1, 2])
    probabilities = np.where(np.arange(3) == likely[:, None], np.array([0.5, 0.9, 0.6, 0.7, 0.8, 0.6])[:, None], 0.1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    images = tuple(
        PredictedImage(f"{names[0]}/{row}", names[codes[row]], "file:///x", f"{row:064x}") for row in range(6)
    )
    predictions = Predictions(images, probabilities.astype(np.float32), ())
    return Judgement(
        source=f"/data/{names[0]}",
        evaluation=evaluate(predictions.probabilities, codes, names),
        errors=worst_errors(predictions, codes, names),
        unreadable=(UnreadableImage(names[0], names[0], "file:///y", names[0]),),
        unknown={names[1]: 2},
        seen=1,
    )


def made_report(names: tuple[str, ...] = NAMES, test: Judgement | None = None) -> ClassifierReport:
    facts = colour_classifier(categories=names, novel=names, figures={"best_epoch": 2, "note": names[0]}).facts
    targets = make_targets(np.eye(3, dtype=np.float32)[[0, 1, 1, 2]], np.array([1, 0.7, 1, 0], dtype=np.float32))
    usage = usage_of(SAMPLES, targets, np.array([], dtype=np.int64), NAMES)
    usage = replace(usage, categories=dict(zip(names, usage.categories.values(), strict=True)))
    onnx = OnnxModel(Path("model.onnx"), 10, 1e-6, 8)
    return ClassifierReport(
        names[0], datetime(2026, 1, 5, 8), facts, "what is kept", names[1], usage, HISTORY, test, onnx
    )


class _Page(HTMLParser):
    """Tags that were seen, attributes, and what a reader reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_usage__by_hand() -> None:
    targets = make_targets(np.eye(3, dtype=np.float32)[[0, 1, 1, 2]], np.array([1, 0.7, 1, 0], dtype=np.float32))
    found = usage_of(SAMPLES, targets, np.array([3]), NAMES)
    assert (found.samples, found.used, found.held_out, found.left_out, found.under_another) == (4, 3, 1, 0, 1)
    assert found.noise == pytest.approx((0.1 + 0.8 + 0.2 + 0.9) / 4)
    # Sample 1 is used as green, its suggestion, which is right with 0.7.
    assert found.noise_used == pytest.approx(1 - (0.9 + 0.7 * 0.7 + 0.8) / 2.7)
    assert found.categories["red"].samples == 2
    assert found.categories["green"].learned_from == pytest.approx(1.7 / 0.9)


def test_usage__unknown_noise_is_not_guessed() -> None:
    samples = (*SAMPLES[:3], replace(SAMPLES[3], noise_probability=None))
    targets = make_targets(np.eye(3, dtype=np.float32)[[0, 0, 1, 2]], np.array([1, 1, 1, 0], dtype=np.float32))
    found = usage_of(samples, targets, np.array([], dtype=np.int64), NAMES)
    assert found.noise is None and found.noise_used == pytest.approx((0.1 + 0.8 + 0.2) / 3)
    all_used = make_targets(np.eye(3, dtype=np.float32)[[0, 0, 1, 2]], np.ones(4, dtype=np.float32))
    assert usage_of(samples, all_used, np.array([], dtype=np.int64), NAMES).noise_used is None


def test_worst_errors__the_most_confident_first() -> None:
    first, second = outcome().errors
    assert (first.category, first.predicted) == ("red", "green") and (second.category, second.predicted) == (
        "green",
        "blue",
    )
    assert first.probability > second.probability > second.own_probability


def test_judge_predictions__what_cannot_be_judged_is_counted_apart(tmp_path: Path) -> None:
    colour_folder(tmp_path, 2)
    write_colour(tmp_path / "yellow" / "a.png", "red")
    (tmp_path / "red" / "bad.png").write_bytes(b"")
    loaded = colour_classifier()
    predictions = predict_images(loaded, list_source(tmp_path).entries, workers=1)
    seen = next(image.sha256 for image in predictions.images if image.category == "blue")
    found = judge_predictions(tmp_path, predictions, loaded, {seen})
    assert (found.evaluation.images, found.evaluation.accuracy.value) == (5, 1.0)
    assert (found.seen, found.unknown, len(found.unreadable)) == (1, {"yellow": 1}, 1)
    total = found.evaluation.images + found.seen + sum(found.unknown.values()) + len(found.unreadable)
    assert total == len(list_source(tmp_path).entries)


def test_judge_predictions__nothing_to_judge_is_an_error(tmp_path: Path) -> None:
    write_colour(tmp_path / "yellow" / "a.png", "red")
    loaded = colour_classifier()
    predictions = predict_images(loaded, list_source(tmp_path).entries, workers=1)
    with pytest.raises(TrainingError, match="expected red, green, blue, got yellow"):
        judge_predictions(tmp_path, predictions, loaded, set())
    known = replace(predictions, images=(replace(predictions.images[0], category="red"),))
    with pytest.raises(TrainingError, match="1 were trained on"):
        judge_predictions(tmp_path, known, loaded, {known.images[0].sha256})


def test_check_judgeable__stops_before_a_training(tmp_path: Path) -> None:
    write_colour(tmp_path / "yellow" / "a.png", "red")
    with pytest.raises(TrainingError, match="knows none of the categories"):
        check_judgeable(tmp_path, NAMES, onnx=False)
    with pytest.raises(SourceError, match="does not exist"):
        check_judgeable(tmp_path / "missing", NAMES, onnx=False)
    check_judgeable(tmp_path, ("yellow",), onnx=True)
    check_judgeable(None, NAMES, onnx=False)


def test_report__names_from_outside_are_text() -> None:
    names = (EVIL, "b" + EVIL, "c" + EVIL)
    page = _Page(render_report(made_report(names, outcome(names)), {}))
    assert page.seen["script"] == page.seen["img"] == page.seen["link"] == 0
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes
    assert "<script>alert(1)</script>" in page.text and "{{ 7 * 7 }}" in page.text


def test_report__says_what_counts_and_shows_its_pictures() -> None:
    test = outcome()
    drawn = {error.sha256: Thumbnail("data:image/png;base64,AAAA", 10, 10) for error in test.errors[:1]}
    page = _Page(render_report(made_report(test=test), drawn))
    assert page.seen["img"] == 1 and ("src", "data:image/png;base64,AAAA") in page.attributes
    read = " ".join(page.text.split())
    assert "66.7%" in read and "All 2 wrong test images" in read and "No picture: its file could not be read" in read
    assert (
        "1 that the classifier was trained on" in read and "2 of 1 category that the classifier does not know" in read
    )
    links = {value for name, value in page.attributes if name == "href"}
    assert links and {link[1:] for link in links} <= {value for name, value in page.attributes if name == "id"}


def test_report__untested_says_so() -> None:
    page = _Page(render_report(made_report(), {}))
    assert "Not tested" in page.text and "Worst errors" not in page.text
    assert "Not measured" in model_card(made_report())


def test_model_card__names_cannot_leave_their_code_spans() -> None:
    names = (EVIL, "b" + EVIL, "c" + EVIL)
    card = model_card(made_report(names, outcome(names)))
    spans = card.replace("```", "").split("`")
    assert all("<script>" not in outside for outside in spans[::2])
    assert card.count("\n# ") == 0 and card.startswith("# Classifier `")


def test_model_card__tells_figures_noise_and_limits() -> None:
    card = model_card(made_report(test=outcome()))
    assert "66.7% (" in card and "`" + "c" * 64 + "`" in card and "50.0% are believed" in card
    assert "1 had been trained on, 2 were of categories it does not know, 1 were unreadable" in card
    assert "1 categories had no test image" in card and "curate predict" in card and "model.onnx" in card


def test_evaluation_facts__survive_json() -> None:
    facts = json.loads(json.dumps(evaluation_facts(made_report(test=outcome()))))
    assert facts["test"]["evaluation"]["accuracy"]["value"] == pytest.approx(4 / 6)
    assert facts["classifier"]["categories"] == list(NAMES) and facts["onnx"]["path"] == "model.onnx"


def test_confusion_picture__a_cell_for_every_pair_that_occurs() -> None:
    found = outcome().evaluation
    names, counts = confusion_matrix(found)
    assert names == ["blue", "green", "red"] and counts.sum() == 6
    picture = confusion_picture(found)
    assert picture.count('class="hit"') == 2 and picture.count('class="miss"') == 2
    assert "red: 1 of 3 taken for green" in picture and "green: 2 of 3 right" in picture


def test_confusion_picture__categories_that_are_confused_stand_together() -> None:
    codes = np.repeat(np.arange(6), 10)
    likely = codes.copy()
    likely[codes == 0] = np.where(np.arange(10) < 5, 0, 5)  # the first is taken for the last
    probabilities = np.where(np.arange(6) == likely[:, None], 0.9, 0.02)
    picture = confusion_picture(evaluate(probabilities, codes, [f"n{code}" for code in range(6)]))
    labels = [part.partition("</text>")[0] for part in picture.split('dominant-baseline="central">')[1:]]
    assert abs(labels.index("n0") - labels.index("n5")) == 1


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:1], ({"epoch": 1.0, "loss": 0.0, "validation_accuracy": None},)])
def test_learning_curves__short_and_empty_ones_are_drawn(history: tuple[dict[str, float | None], ...]) -> None:
    assert loss_curve(history).count('class="curve"') == 1
    assert "nan" not in loss_curve(history) + accuracy_curve(history) + validation_loss_curve(history)
    for drawn in (accuracy_curve(history), validation_loss_curve(history)):
        assert drawn.count('class="curve"') == (0 if history[0]["validation_accuracy"] is None else 1)


def test_read_history__what_is_no_number_is_none(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    assert read_history(path) == ()
    path.write_text("epoch,loss,validation_accuracy,graph_loss\n1,0.5,,None\n")
    assert read_history(path) == ({"epoch": 1.0, "loss": 0.5, "validation_accuracy": None, "graph_loss": None},)

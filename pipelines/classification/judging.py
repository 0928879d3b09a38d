"""Everything that is told of a finished classifier, in the folder of its training.

predictions.csv, evaluation.json    what it says of the test set, and how right that is
report.html, README.md              for people
model.onnx                          for other runtimes, where asked for
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from curation.config import ImagesConfig
from curation.decoding import ImageReference
from curation.errors import TrainingError
from curation.export.reading import ExportedSet
from curation.files import replace_text
from curation.progress import Progress, silent
from curation.report.thumbnails import draw_thumbnails
from curation.sources import list_source
from curation.sources.location import readable_text
from pipelines.classification.charts import Row
from pipelines.classification.checkpoint import LoadedClassifier, load_classifier, model_file
from pipelines.classification.evaluation import evaluate
from pipelines.classification.methods import learned_targets, method_summary
from pipelines.classification.model_card import model_card
from pipelines.classification.onnx_model import OnnxModel, require_onnx, write_onnx
from pipelines.classification.prediction import Predictions, predict_images
from pipelines.classification.prediction_table import write_predictions
from pipelines.classification.report import ClassifierReport, Judgement, render_report, worst_errors
from pipelines.classification.training import TrainedClassifier
from pipelines.classification.usage import usage_of

_PREDICTIONS, _ONNX = "predictions.csv", "model.onnx"
_TOLD = 5  # categories of each image in predictions.csv


def check_judgeable(test: Path | None, names: Sequence[str], *, onnx: bool) -> None:
    """Raise before any training what would stop `judge` after it: no test source, none of its categories known, no
    packages for ONNX. No image is read."""
    if test is not None:
        found = {entry.category for entry in list_source(test).entries}
        if not found & set(names):
            raise _nothing_known(test, sorted(found), names)
    if onnx:
        require_onnx()


def judge(
    out: Path,
    trained: TrainedClassifier,
    exported: ExportedSet,
    test: Path | None,
    *,
    device: str = "auto",
    onnx: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Judge the classifier in `out/model.safetensors` on the source `test`, and write all that is told of it.

    Returns the figures to print. Raises `SourceError` or `TrainingError` where the test source cannot be judged on; the
    classifier stays.
    """
    for name in (_PREDICTIONS, _ONNX):  # of an earlier classifier in this folder: they would be taken for this one's
        (out / name).unlink(missing_ok=True)
    loaded = load_classifier(model_file(out), device)
    names = loaded.facts.categories
    outcome = None
    if test is not None:
        entries = list_source(test).entries
        predictions = predict_images(loaded, entries, progress)
        write_predictions(out / _PREDICTIONS, predictions, names, _TOLD)
        learned = np.flatnonzero(trained.targets.used).tolist() + trained.validation.rows.tolist()
        outcome = judge_predictions(test, predictions, loaded, {exported.samples[row].sha256 for row in learned})
    report = ClassifierReport(
        name=readable_text(out.absolute().name),
        made_at=datetime.now(UTC).replace(tzinfo=None),
        facts=loaded.facts,
        method=method_summary(loaded.facts.config),
        export=readable_text(str(exported.folder)),
        usage=usage_of(
            exported.samples,
            learned_targets(trained.targets, trained.facts.config),
            trained.validation.rows,
            names,
            base=trained.facts.figures.get("base_samples", 0),
        ),
        history=read_history(out / "training.csv"),
        test=outcome,
        onnx=write_onnx(out / _ONNX, loaded) if onnx else None,
    )
    _write(out, report, progress)
    return _told(out, report)


def judge_predictions(test: Path, predictions: Predictions, loaded: LoadedClassifier, learned: set[str]) -> Judgement:
    """Compare predictions with the categories of the test source; `learned` are SHA-256 of images trained on.

    Raises `TrainingError` where no image is left to compare.
    """
    names = loaded.facts.categories
    codes = {name: code for code, name in enumerate(names)}
    unknown = Counter(image.category for image in predictions.images if image.category not in codes)
    seen = [image.category in codes and image.sha256 in learned for image in predictions.images]
    rows = [
        row for row, image in enumerate(predictions.images) if image.category in codes and image.sha256 not in learned
    ]
    if not rows:
        if unknown and not any(seen):
            raise _nothing_known(test, sorted(unknown), names)
        raise TrainingError(
            f"no image of the test source {test} can be judged on: {sum(seen):,} were trained on, "
            f"{len(predictions.unreadable):,} are unreadable.",
            hint="Give --test images that are not in the export. The classifier itself is kept.",
        )
    judged = replace(
        predictions,
        images=tuple(predictions.images[row] for row in rows),
        probabilities=predictions.probabilities[rows],
    )
    true = np.array([codes[image.category] for image in judged.images], dtype=np.int64)
    return Judgement(
        source=readable_text(str(test.absolute())),
        evaluation=evaluate(judged.probabilities, true, names, novel=loaded.facts.novel, seed=loaded.facts.config.seed),
        errors=worst_errors(judged, true, names),
        unreadable=predictions.unreadable,
        unknown=dict(sorted(unknown.items())),
        seen=sum(seen),
    )


def read_history(path: Path) -> tuple[Row, ...]:
    """The course of a training, one row an epoch; what is no number is `None`. Empty where there is no such file."""
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        return tuple({name: _number(value) for name, value in row.items()} for row in csv.DictReader(file))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _write(out: Path, report: ClassifierReport, progress: Progress) -> None:
    thumbnails = {}
    if report.test is not None and report.test.errors:
        references = [ImageReference(error.sha256, error.uri) for error in report.test.errors]
        thumbnails = draw_thumbnails(references, ImagesConfig(max_pixels=report.facts.config.max_pixels), progress)
    texts = {
        "evaluation.json": json.dumps(evaluation_facts(report), indent=1, ensure_ascii=False) + "\n",
        "report.html": render_report(report, thumbnails),
        "README.md": model_card(report),
    }
    try:
        for name, text in texts.items():
            replace_text(out / name, text)
    except OSError as error:
        raise TrainingError(
            f"{error.filename or out} cannot be written: {error.strerror}.",
            hint="Check space and permissions. The classifier itself is kept.",
        ) from error


def evaluation_facts(report: ClassifierReport) -> dict[str, Any]:
    """What evaluation.json holds: the classifier, what it used, and the test with every figure of it."""
    test = report.test
    return {
        "classifier": report.facts.model_dump(mode="json"),
        "usage": asdict(report.usage),
        "test": None if test is None else {**asdict(test), "errors": [asdict(error) for error in test.errors]},
        "onnx": None if report.onnx is None else {**asdict(report.onnx), "path": report.onnx.path.name},
    }


def _told(out: Path, report: ClassifierReport) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if report.test is not None:
        found = report.test.evaluation
        told["test"] = {
            "images": found.images,
            "accuracy": found.accuracy.value,
            "accuracy, low": found.accuracy.low,
            "accuracy, high": found.accuracy.high,
            "mean accuracy of categories": found.balanced_accuracy.value,
            **{f"accuracy, {role}": value.value for role, value in found.by_role.items()},
            "calibration error": found.calibration_error,
            "negative log-likelihood": found.negative_log_likelihood,
            "unreadable": len(report.test.unreadable),
            "of unknown categories": sum(report.test.unknown.values()),
            "trained on, left out": report.test.seen,
        }
    if isinstance(report.onnx, OnnxModel):
        told["onnx"] = {"largest difference to PyTorch": report.onnx.difference, "bytes": report.onnx.size_bytes}
    told["files"] = {"report": str(out / "report.html"), "model card": str(out / "README.md")}
    return told


def _nothing_known(test: Path, found: Sequence[str], names: Sequence[str]) -> TrainingError:
    return TrainingError(
        f"the classifier knows none of the categories of the test source {test}: expected {_few(names)}, got "
        f"{_few(found)}.",
        hint="Name the test categories as those of the export; base categories count with --generalized.",
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

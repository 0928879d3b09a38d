"""A whole classification run: read the export, train, judge the outcome on a test set; into one folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from curation.errors import TrainingError
from curation.export.reading import read_export
from curation.progress import Progress, silent
from pipelines.classification.checkpoint import MODEL, read_facts
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.judging import check_judgeable, judge
from pipelines.classification.methods import category_names
from pipelines.classification.training import STATE, train

_JUDGED = ("evaluation.json", "predictions.csv", "report.html", "README.md", "model.onnx")
_BEFORE_ANY_STATE = {"embeddings", "tensorboard", "training.csv"}  # what a training killed at once leaves behind


def train_classification(
    export: Path,
    out: Path,
    config: ClassificationConfig,
    *,
    test: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    embeddings: Path | None = None,
    onnx: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a classifier on the export in `export` and judge it on the source `test`; returns the figures.

    `out` is a new folder, one with an unfinished training and `resume`, or one that may be overwritten. The images
    of the test set are read when the classifier is finished and saved. Raises `TrainingError` for a folder that holds
    something else.
    """
    exported = read_export(export)
    names = category_names(exported.samples, generalized=config.generalized)
    check_judgeable(test, names, onnx=onnx)
    _prepare(out, resume=resume, overwrite=overwrite)
    trained = train(exported, config, out, embeddings=embeddings, progress=progress)
    judged = judge(out, trained, exported, test, device=config.device, onnx=onnx, progress=progress)
    (out / STATE).unlink(missing_ok=True)
    return {"training": trained.facts.figures, **judged}


def _prepare(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder ready; embeddings in it are kept, they do not depend on what is trained."""
    unfinished, finished = (out / STATE).exists(), (out / MODEL).exists()
    if unfinished and not (resume or overwrite):
        raise TrainingError(
            f"{out} holds an unfinished training.", hint="Go on with it by --resume, or start anew by --overwrite."
        )
    if finished and not (unfinished or overwrite):
        method = read_facts(out / MODEL).config.method
        raise TrainingError(
            f"{out} holds a finished classifier (method {method}).",
            hint="Name another folder, or replace it by --overwrite.",
        )
    try:
        if overwrite and (finished or unfinished) and not (resume and unfinished):
            _remove_earlier(out)
        out.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise TrainingError(f"{out} cannot be used: {error.strerror}.", hint="Name another folder.") from error
    if not (finished or unfinished) and (foreign := sorted(there - _BEFORE_ANY_STATE)):
        raise TrainingError(
            f"{out} holds something else than a training: {foreign[0]}.",
            hint="Name a new folder.",
        )


def _remove_earlier(out: Path) -> None:
    """Everything that a training and its judgement wrote, the two files by which it is known last."""
    for name in (*_JUDGED, "training.csv"):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / "tensorboard", ignore_errors=True)
    for name in (MODEL, STATE):
        (out / name).unlink(missing_ok=True)

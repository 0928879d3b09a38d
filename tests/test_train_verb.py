"""`curate train classification` from end to end, and what it refuses before it starts."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.verbs.train import HeadName, MethodName
from curation.errors import SourceError, TrainingError
from curation.export.reading import ExportedSet
from pipelines.classification import config as options
from pipelines.classification.checkpoint import read_facts
from pipelines.classification.flow import train_classification
from pipelines.classification.training import MODEL, STATE
from tests.training_factory import coloured_samples, coloured_test_set, export_samples, small_network


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedSet:
    folder = tmp_path_factory.mktemp("verb")
    return export_samples(coloured_samples(folder / "in"), folder / "export", network=small_network(folder))


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured_test_set(tmp_path_factory.mktemp("test") / "set")


def config_of(**values: Any) -> options.ClassificationConfig:
    return options.ClassificationConfig(**{"device": "cpu", "epochs": 8, "batch_size": 8, **values})


def test_verb__trains_and_judges(exported: ExportedSet, test_set: Path, tmp_path: Path) -> None:
    arguments = [
        "train",
        "classification",
        str(exported.folder),
        "--out",
        str(tmp_path / "model"),
        "--test",
        str(test_set),
    ]
    settings = [
        "--method",
        "simtrans",
        "--epochs",
        "8",
        "--batch-size",
        "8",
        "--set",
        "large_batch=16",
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(app, [*arguments, *settings, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["training"]["epochs"] == 8 and told["test"]["accuracy"] == 1.0
    assert read_facts(tmp_path / "model" / MODEL).config == config_of(method="simtrans", large_batch=16)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        *(MODEL, "training.csv", "tensorboard", "embeddings"),
        *("README.md", "evaluation.json", "predictions.csv", "report.html"),
    }


def test_verb__spells_what_the_library_knows() -> None:
    assert {name.value for name in MethodName} == set(get_args(options.MethodName))
    assert {name.value for name in HeadName} == {"linear", "mlp"}


def test_flow__refuses_a_folder_that_holds_something(exported: ExportedSet, tmp_path: Path) -> None:
    out = tmp_path / "model"
    train_classification(exported.folder, out, config_of())
    with pytest.raises(TrainingError, match="holds a finished classifier \\(method cleaned\\)"):
        train_classification(exported.folder, out, config_of(method="plain"))
    train_classification(exported.folder, out, config_of(method="plain"), overwrite=True)
    assert read_facts(out / MODEL).config.method == "plain"


def test_flow__an_interrupted_training_is_resumed_and_nothing_else(exported: ExportedSet, tmp_path: Path) -> None:
    out = tmp_path / "model"

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "training" and done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_classification(exported.folder, out, config_of(), progress=interrupt)
    assert (out / STATE).exists() and not (out / MODEL).exists()
    with pytest.raises(TrainingError, match="unfinished training") as caught:
        train_classification(exported.folder, out, config_of())
    assert "--resume" in caught.value.hint
    with pytest.raises(TrainingError, match="epochs was 8, is 9"):
        train_classification(exported.folder, out, config_of(epochs=9), resume=True)
    told = train_classification(exported.folder, out, config_of(), resume=True)
    assert told["training"]["epochs"] == 8 and not (out / STATE).exists()


def test_flow__a_kill_while_it_is_judged_is_resumed_too(
    exported: ExportedSet, test_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("pipelines.classification.flow.judge", killed)
    with pytest.raises(RuntimeError):
        train_classification(exported.folder, tmp_path, config_of(), test=test_set)
    weights = (tmp_path / MODEL).read_bytes()
    monkeypatch.undo()
    told = train_classification(exported.folder, tmp_path, config_of(), test=test_set, resume=True)
    assert told["test"]["accuracy"] == 1.0
    assert (tmp_path / MODEL).read_bytes() == weights


def test_flow__a_test_set_that_is_none_is_refused_before_the_training(exported: ExportedSet, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        train_classification(exported.folder, tmp_path / "model", config_of(), test=tmp_path / "nowhere")
    assert not (tmp_path / "model").exists()


def test_flow__a_folder_of_something_else_is_left_alone(exported: ExportedSet, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(TrainingError, match=r"something else than a training: README\.md"):
            train_classification(exported.folder, tmp_path, config_of(), overwrite=overwrite)
    assert (tmp_path / "README.md").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be used"):
        train_classification(exported.folder, tmp_path / "file", config_of())

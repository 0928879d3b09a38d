"""A training that was ended goes on without a jump: bit by bit the same, refused where it is another one."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curation.errors import TrainingError
from curation.export.reading import ExportedSet
from pipelines.classification.course import Keeping
from pipelines.classification.frozen import fit_head
from pipelines.classification.methods import make_targets
from pipelines.classification.training import STATE, TrainedClassifier, train
from pipelines.training.resuming import load_state, save_state
from tests.training_factory import SMALL, coloured_export, config_of

Kill = Callable[[str, int, int], None]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedSet:
    """48 pictures: three novel colours, a quarter of them wrong, two base ones; with a similarity network."""
    return coloured_export(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def embeddings(exported: ExportedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the embeddings of the export are kept for all tests."""
    return tmp_path_factory.mktemp("embeddings")


def killed_at(step: int) -> Kill:
    """Progress that ends a training at a step, as a kill would: nothing more is written."""

    def progress(what: str, done: int, total: int) -> None:
        if what == "training" and done == step:
            raise KilledError

    return progress


class KilledError(Exception):
    pass


def state_of(trained: TrainedClassifier) -> dict[str, Any]:
    """Everything that must not differ: weights, course (but for the speed), temperature, figures."""
    course = [replace(row, images_per_s=0.0) for row in trained.history]
    weights = {name: tensor.numpy().tobytes() for name, tensor in trained.classifier.state_dict().items()}
    return {"weights": weights, "course": course, "facts": trained.facts.model_dump(exclude={"config"})}


@pytest.mark.parametrize(
    "options", [{"method": "simtrans", "first_phase": 0.375}, {**SMALL, "method": "cleaned"}], ids=["frozen", "tuned"]
)
def test_resume__is_bit_by_bit_an_undisturbed_run(
    options: dict[str, Any], exported: ExportedSet, embeddings: Path, tmp_path: Path
) -> None:
    undisturbed = train(exported, config_of(**options), tmp_path / "whole", embeddings=embeddings)
    config = config_of(**options, save_every_s=1e-9)  # after every step
    for step in (1, 3) if config.finetune else (1, 7, 13, 20, 27):
        with pytest.raises(KilledError):
            train(exported, config, tmp_path / "killed", embeddings=embeddings, progress=killed_at(step))
    resumed = train(exported, config, tmp_path / "killed", embeddings=embeddings)
    assert state_of(resumed) == state_of(undisturbed)
    with (tmp_path / "killed" / "training.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [row.epoch for row in undisturbed.history]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_resume__after_a_signal_goes_on_with_the_very_next_step(
    number: signal.Signals, exported: ExportedSet, embeddings: Path, tmp_path: Path
) -> None:
    undisturbed = train(exported, config_of(), tmp_path / "whole", embeddings=embeddings)
    handler = signal.getsignal(number)
    steps: list[int] = []

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "training":
            steps.append(done)
            if done == 5:
                os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        train(exported, config_of(), tmp_path / "ended", embeddings=embeddings, progress=interrupt)
    assert signal.getsignal(number) is handler
    resumed = train(exported, config_of(), tmp_path / "ended", embeddings=embeddings, progress=interrupt_never(steps))
    assert steps[:7] == [1, 2, 3, 4, 5, 6, 7]
    assert state_of(resumed) == state_of(undisturbed)


def interrupt_never(steps: list[int]) -> Kill:
    return lambda what, done, _: steps.append(done) if what == "training" else None


def test_resume__after_kill_9(tmp_path: Path) -> None:
    def kill(what: str, done: int, total: int) -> None:
        if done == 20:
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=fit_drawn, args=(tmp_path, kill))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert load_state(tmp_path / STATE)["course"]["step"] == 19
    resumed, undisturbed = fit_drawn(tmp_path), fit_drawn(tmp_path / "whole")
    for name, tensor in undisturbed.items():
        assert torch.equal(resumed[name], tensor)


def fit_drawn(folder: Path, progress: Kill = lambda *_: None) -> dict[str, torch.Tensor]:
    """The weights of a head on drawn embeddings; its training is kept in `folder` after every step."""
    random = np.random.default_rng(0)
    codes = np.arange(40) % 4
    embeddings = (np.eye(4)[codes] + 0.3 * random.normal(size=(40, 4))).astype(np.float32)
    targets = make_targets(np.eye(4, dtype=np.float32)[codes], np.ones(40, dtype=np.float32))
    keeping = Keeping(folder / STATE, folder, {})
    folder.mkdir(exist_ok=True)
    config = config_of(save_every_s=1e-9, hidden=8)
    return fit_head(embeddings, targets, config, keeping=keeping, progress=progress).classifier.state_dict()


def test_resume__with_other_options_names_them(exported: ExportedSet, embeddings: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(exported, config_of(save_every_s=1e-9), tmp_path, embeddings=embeddings, progress=killed_at(3))
    with pytest.raises(TrainingError, match=r"method was 'cleaned', is 'plain'; seed was 0, is 1"):
        train(exported, config_of(method="plain", seed=1), tmp_path, embeddings=embeddings)
    train(exported, config_of(workers=0), tmp_path, embeddings=embeddings)  # changes nothing that counts


def test_save_state__a_kill_while_writing_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(tmp_path / "s.pt", {"step": 1})
    monkeypatch.setattr("pipelines.training.resuming._payload", lambda _: (_ for _ in ()).throw(KilledError()))
    with pytest.raises(KilledError):
        save_state(tmp_path / "s.pt", {"step": 2})
    monkeypatch.undo()
    assert load_state(tmp_path / "s.pt") == {"step": 1}


@pytest.mark.parametrize("at", [0, 40, -1])
def test_load_state__damage_is_said(at: int, tmp_path: Path) -> None:
    path = tmp_path / "s.pt"
    save_state(path, {"step": 1, "weights": torch.ones(3)})
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(TrainingError, match="is damaged"):
        load_state(path)

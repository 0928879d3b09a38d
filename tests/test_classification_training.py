"""Training from an export to a file: frozen and fine-tuned, refused with a reason."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from curation.config import ImagesConfig
from curation.encoders import load_encoder
from curation.errors import ExportError, TrainingError
from curation.export.reading import ExportedSet
from pipelines.classification.checkpoint import ClassifierFacts, LoadedClassifier, load_classifier, save_classifier
from pipelines.classification.course import Course
from pipelines.classification.embedding import embed_export
from pipelines.classification.fitting import select_state
from pipelines.classification.frozen import EmbeddingInputs
from pipelines.classification.images import ExportedImages, ImageInputs
from pipelines.classification.model import Classifier
from pipelines.classification.splitting import Validation
from pipelines.classification.training import MODEL, STATE, train
from tests.training_factory import (
    COLOURS,
    SMALL,
    coloured,
    coloured_export,
    coloured_samples,
    config_of,
    export_samples,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedSet:
    """48 pictures: three novel colours, a quarter of them wrong, two base ones; with a similarity network."""
    return coloured_export(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def embeddings(exported: ExportedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the embeddings of the export are kept for all tests."""
    return tmp_path_factory.mktemp("embeddings")


def colours_told(loaded: LoadedClassifier) -> list[str]:
    """What a classifier says of a new picture of each colour."""
    pictures = [Image.open(BytesIO(coloured(colour, 7))).resize((96, 96)) for colour in COLOURS.values()]
    pixels = torch.from_numpy(np.stack([np.array(picture) for picture in pictures])).permute(0, 3, 1, 2)
    return [loaded.facts.categories[code] for code in loaded.probabilities(pixels).argmax(dim=1).tolist()]


# ---- from an export to a classifier


@pytest.mark.parametrize("method", ["plain", "simtrans", "relabelled"])
def test_train__frozen_learns_the_colours(method: str, exported: ExportedSet, embeddings: Path, tmp_path: Path) -> None:
    trained = train(exported, config_of(method=method), tmp_path, embeddings=embeddings)
    loaded = load_classifier(tmp_path / MODEL, "cpu")
    assert colours_told(loaded) == list(COLOURS)
    assert loaded.facts == trained.facts
    figures = loaded.facts.figures
    assert figures["samples"] == 48 == figures["used"] + figures["held_out"] + figures["left_out"]
    assert figures["used"] == trained.targets.used.sum() and not trained.targets.used[trained.validation.rows].any()
    assert (tmp_path / STATE).exists()  # until it has been judged
    assert list((tmp_path / "tensorboard").glob("events*"))
    with (tmp_path / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert float(rows[-1]["classification_loss"]) < float(rows[0]["classification_loss"])
    assert any(row["graph_loss"] for row in rows) == (method == "simtrans")


def test_train__generalized_knows_base_categories_too(exported: ExportedSet, embeddings: Path, tmp_path: Path) -> None:
    trained = train(exported, config_of(generalized=True), tmp_path, embeddings=embeddings)
    assert trained.facts.categories == ("black", "blue", "green", "red", "white")
    assert trained.facts.novel == ("blue", "green", "red")
    assert colours_told(load_classifier(tmp_path / MODEL, "cpu")) == list(COLOURS)


def test_train__fine_tuned_moves_the_backbone(exported: ExportedSet, tmp_path: Path) -> None:
    trained = train(exported, config_of(**{**SMALL, "epochs": 3}, method="cleaned"), tmp_path)
    loaded = load_classifier(tmp_path / MODEL, "cpu")
    assert loaded.classifier.backbone is not None and trained.classifier.backbone is not None
    before = load_encoder("builtin", "cpu").backbone().network.state_dict()  # type: ignore[attr-defined]
    after = loaded.classifier.backbone.network.state_dict()
    assert any((before[name] != after[name]).any() for name in before if name.endswith("weight"))
    assert colours_told(loaded) == list(COLOURS)
    assert trained.history[-1].classification_loss < trained.history[0].classification_loss


def test_train__fine_tuned_with_the_graph(exported: ExportedSet, tmp_path: Path) -> None:
    trained = train(exported, config_of(**SMALL, method="graph", head="linear"), tmp_path)
    assert trained.facts.figures["graph_share_at_start"] == pytest.approx(0.05)
    assert all(row.graph_loss is not None and row.graph_loss > 0 for row in trained.history)


def test_train__a_second_method_embeds_nothing_again(
    exported: ExportedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(exported, config_of(epochs=1), tmp_path / "one", embeddings=tmp_path / "shared")
    monkeypatch.setattr("pipelines.classification.embedding._embed", lambda references, *_: dict.fromkeys(references))
    train(exported, config_of(epochs=1, method="plain"), tmp_path / "two", embeddings=tmp_path / "shared")


def test_train__the_state_of_the_best_epoch_is_kept(exported: ExportedSet, embeddings: Path, tmp_path: Path) -> None:
    trained = train(exported, config_of(), tmp_path, embeddings=embeddings)
    figures, found = trained.facts.figures, []
    for row in trained.history:
        assert row.validation_loss is not None and row.averaged_loss is not None
        found.append((row.validation_loss, row.validation_accuracy, row.epoch, False))
        found.append((row.averaged_loss, row.averaged_accuracy, row.epoch, True))
    best = min(found, key=lambda state: (state[0], -state[2], not state[3]))
    assert (figures["validation_loss"], figures["validation_accuracy"], figures["best_epoch"]) == best[:3]
    assert figures["best_is_average"] == best[3]


def test_select_state__none_of_a_first_phase() -> None:
    embeddings = np.eye(4, dtype=np.float32)
    validation = Validation(np.arange(4), np.arange(4), np.ones(4, dtype=np.float32))
    classifier = Classifier(4, 4)
    inputs, course, device = EmbeddingInputs(embeddings, torch.device("cpu")), Course(), torch.device("cpu")
    judged = select_state(course, classifier, inputs, validation, device, last=False, may_be_kept=False)
    assert None not in judged and course.best_state is None
    course.epoch = 1
    select_state(course, classifier, inputs, validation, device, last=False)
    assert course.best_state is not None and course.best_epoch == 2
    assert (course.best_accuracy, course.best_loss) == judged


def test_train__alpha_is_as_given_or_gives_the_graph_its_share(
    exported: ExportedSet, embeddings: Path, tmp_path: Path
) -> None:
    given = train(exported, config_of(method="graph", alpha=0.1), tmp_path / "a", embeddings=embeddings).facts.figures
    chosen = train(exported, config_of(method="graph"), tmp_path / "b", embeddings=embeddings).facts.figures
    assert given["alpha"] == 0.1 and chosen["graph_share_at_start"] == pytest.approx(0.05)
    ratio = given["graph_share_at_start"] / given["alpha"]
    assert chosen["alpha"] == pytest.approx(0.05 / ratio, rel=1e-4)


# ---- refusals


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"method": "graph", "head": "linear"}, "has none that move"),
        ({"method": "simtrans", "head": "linear"}, "has none that move"),
        ({"learning_rate": 1e30}, "diverged"),
    ],
)
def test_train__refuses_with_a_hint(
    options: dict[str, Any], told: str, exported: ExportedSet, embeddings: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=told) as caught:
        train(exported, config_of(**options), tmp_path, embeddings=embeddings)
    assert caught.value.hint and not (tmp_path / MODEL).exists()


def test_train__an_export_without_a_network_has_no_graph(tmp_path: Path) -> None:
    bare = export_samples(coloured_samples(tmp_path / "in", per_category=4, wrong=1), tmp_path / "out")
    for finetune in (False, True):
        with pytest.raises(TrainingError, match="needs a similarity network"):
            train(bare, config_of(method="graph", finetune=finetune), tmp_path / "model")


def test_train__one_category_is_no_task(tmp_path: Path) -> None:
    samples = [sample for sample in coloured_samples(tmp_path / "in", wrong=0) if sample.category == "red"]
    with pytest.raises(TrainingError, match="needs two categories"):
        train(export_samples(samples, tmp_path / "out"), config_of(), tmp_path / "model")


def test_embed_export__names_the_image_that_cannot_be_used(tmp_path: Path) -> None:
    bad = export_samples(coloured_samples(tmp_path / "in", per_category=2, wrong=0), tmp_path / "out")
    victim = next((tmp_path / "out").rglob("*.png"))
    victim.write_bytes(b"\0" * victim.stat().st_size)
    with pytest.raises(TrainingError, match="1 images of the export") as caught:
        train(bad, config_of(), tmp_path / "model")
    assert victim.name in caught.value.message


def test_train__a_damaged_image_ends_fine_tuning_by_name(tmp_path: Path) -> None:
    bad = export_samples(coloured_samples(tmp_path / "in", per_category=2, wrong=0), tmp_path / "out")
    victim = next((tmp_path / "out").rglob("*.png"))
    victim.write_bytes(b"\0" * victim.stat().st_size)
    with pytest.raises(ExportError, match=victim.name):
        train(bad, config_of(**SMALL), tmp_path / "model")
    with pytest.raises(TrainingError, match="cannot be decoded"):
        train(replace(bad, verify=False), config_of(**SMALL), tmp_path / "model")


# ---- images


def test_exported_images__depend_on_seed_epoch_and_row_alone(exported: ExportedSet) -> None:
    images = ExportedImages(exported, config_of(augmentation="strong"), 32, 1.0)
    first = images[(0, 3)]
    images[(0, 4)]  # what was read before does not matter
    torch.manual_seed(99)
    assert torch.equal(images[(0, 3)], first) and first.shape == (3, 32, 32) and first.dtype == torch.uint8
    assert not torch.equal(images[(1, 3)], first)
    assert not torch.equal(ExportedImages(exported, config_of(augmentation="strong", seed=1), 32, 1.0)[(0, 3)], first)


def test_exported_images__as_tested_is_what_encoders_see(exported: ExportedSet, tmp_path: Path) -> None:
    encoder = load_encoder("builtin", "cpu")
    images = ExportedImages(exported, config_of(), encoder.input_px, encoder.crop_share)
    pixels = np.stack([images[(-1, row)].permute(1, 2, 0).numpy() for row in range(4)])
    embedded = embed_export(exported, encoder, tmp_path, ImagesConfig(workers=1), lambda *_: None)[:4]
    np.testing.assert_allclose(encoder.embed(pixels), embedded, atol=2e-3)  # float16 on disk


# ---- the file of a classifier


def test_load_classifier__refuses(exported: ExportedSet, embeddings: Path, tmp_path: Path) -> None:
    trained = train(exported, config_of(epochs=1), tmp_path, embeddings=embeddings)
    path = tmp_path / MODEL

    def refused(told: str) -> None:
        with pytest.raises(TrainingError, match=told) as caught:
            load_classifier(path, "cpu")
        assert caught.value.hint

    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("damaged or no classifier")
    path.unlink()
    refused("there is no classifier")

    def saved(**changes: Any) -> None:
        save_classifier(path, trained.classifier, trained.facts.model_copy(update=changes))

    saved(schema_version=99)
    refused("schema version 99")
    saved(encoder_identity="builtin#0000")
    refused("trained on embeddings of builtin#0000")
    saved(dimension=7)
    refused("is damaged")
    saved(crop_share=math.inf)
    refused("crop_share")
    saved()
    assert load_classifier(path, "cpu").facts == trained.facts


def test_classifier_facts__survive_json(exported: ExportedSet, embeddings: Path, tmp_path: Path) -> None:
    facts = train(exported, config_of(epochs=1), tmp_path, embeddings=embeddings).facts
    assert ClassifierFacts.model_validate_json(facts.model_dump_json()) == facts
    assert facts.cleaned_set_hash == exported.manifest.content_hash


def test_image_inputs__workers_read_what_one_process_reads(exported: ExportedSet) -> None:
    batches, rows = [np.array([3, 1]), np.array([0])], np.arange(2)
    alone, shared = (
        ImageInputs(exported, config_of(workers=workers), input_px=16, crop_share=1.0, on_gpu=False)
        for workers in (0, 1)
    )
    for _ in range(2):  # the same workers serve every epoch
        for one, other in zip(alone.training(batches, 4), shared.training(batches, 4), strict=True):
            assert torch.equal(one, other)
        assert torch.equal(next(alone.plain(rows)), next(shared.plain(rows)))


def test_train__an_unusual_share_of_the_graph_is_said(exported: ExportedSet, embeddings: Path, tmp_path: Path) -> None:
    figures = train(exported, config_of(method="graph", alpha=100.0), tmp_path, embeddings=embeddings).facts.figures
    assert "1 to 10 % is usual" in figures["warning"]

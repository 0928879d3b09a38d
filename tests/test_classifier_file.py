"""The file of a classifier holds what is needed to use it: all of a fine-tuned one, the head of a frozen one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from app.cli import app
from curation.encoders import bare_network, load_backbone, load_encoder
from curation.errors import EncoderError, TrainingError
from curation.export.reading import ExportedSet
from pipelines.classification.checkpoint import MODEL, load_classifier, save_classifier
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.prediction import pixel_probabilities
from pipelines.classification.training import train
from tests.training_factory import coloured_samples, coloured_test_set, export_samples

NETWORK = "test_resnet"  # timm's own small network for tests


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedSet:
    folder = tmp_path_factory.mktemp("file")
    return export_samples(coloured_samples(folder / "in", per_category=8, wrong=1), folder / "out")


@pytest.fixture
def timm_file(tmp_path: Path) -> Path:
    """Random weights of a small network that differs from timm's own in shape, normalisation, size and crop."""
    torch.manual_seed(0)
    arguments = {"num_classes": 0, "global_pool": "catavgmax"}
    network = timm.create_model(NETWORK, pretrained=False, **arguments)
    facts = {"mean": "0.4,0.5,0.6", "std": "0.3,0.2,0.25", "input_size": "48", "crop_pct": "0.8"}
    path = tmp_path / "weights" / "small.safetensors"
    path.parent.mkdir()
    save_file(network.state_dict(), path, {"timm_kwargs": json.dumps(arguments), **facts})
    return path


def config_of(**options: object) -> ClassificationConfig:
    return ClassificationConfig.model_validate(
        {"device": "cpu", "finetune": True, "epochs": 1, "batch_size": 8, **options}
    )


def predicted(model: Path, images: Path, out: Path) -> str:
    """What the verb writes of the images."""
    done = CliRunner().invoke(app, f"predict {model} {images} --out {out} --device cpu", catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return out.read_text()


def test_fine_tuned__timm__without_its_original_file(exported: ExportedSet, timm_file: Path, tmp_path: Path) -> None:
    trained = train(exported, config_of(backbone=f"timm/{NETWORK}@{timm_file}"), tmp_path / "model")
    images = coloured_test_set(tmp_path / "test", 2)
    before = predicted(tmp_path / "model", images, tmp_path / "before.csv")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    probabilities = pixel_probabilities(load_classifier(tmp_path / "model" / MODEL, "cpu"), pixels)
    shutil.rmtree(timm_file.parent)
    assert predicted(tmp_path / "model", images, tmp_path / "after.csv") == before
    loaded = load_classifier(tmp_path / "model" / MODEL, "cpu")
    np.testing.assert_array_equal(pixel_probabilities(loaded, pixels), probabilities)
    logits, _ = trained.classifier(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    expected = torch.softmax(logits.detach() / trained.facts.temperature, dim=1)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert (loaded.facts.input_px, loaded.facts.crop_share) == (48, 0.8)
    backbone = loaded.classifier.backbone
    assert backbone is not None
    np.testing.assert_allclose(backbone.mean.flatten(), [0.4, 0.5, 0.6])
    np.testing.assert_allclose(backbone.std.flatten(), [0.3, 0.2, 0.25])


def test_fine_tuned__open_clip__without_its_original_file(
    exported: ExportedSet, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shutil.copy(clip_file, tmp_path / "clip.safetensors")
    train(exported, config_of(backbone=f"open_clip/small-clip@{path}"), tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    before = pixel_probabilities(load_classifier(tmp_path / MODEL, "cpu"), pixels)
    path.unlink()
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: None)  # as where nobody has told it of the model
    np.testing.assert_array_equal(pixel_probabilities(load_classifier(tmp_path / MODEL, "cpu"), pixels), before)


def test_fine_tuned__builtin__without_the_shipped_weights(
    exported: ExportedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(exported, config_of(), tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    before = pixel_probabilities(load_classifier(tmp_path / MODEL, "cpu"), pixels)
    monkeypatch.setattr("curation.encoders.builtin.WEIGHTS", tmp_path / "nowhere")
    np.testing.assert_array_equal(pixel_probabilities(load_classifier(tmp_path / MODEL, "cpu"), pixels), before)


def test_fine_tuned__a_file_of_version_1_still_asks_for_the_original(
    exported: ExportedSet, timm_file: Path, tmp_path: Path
) -> None:
    trained = train(exported, config_of(backbone=f"timm/{NETWORK}@{timm_file}"), tmp_path)
    earlier = trained.facts.model_copy(update={"schema_version": 1, "architecture": None})
    save_classifier(tmp_path / MODEL, trained.classifier, earlier)
    loaded = load_classifier(tmp_path / MODEL, "cpu").classifier.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in trained.classifier.state_dict().items())
    timm_file.unlink()
    with pytest.raises(EncoderError, match="does not exist"):
        load_classifier(tmp_path / MODEL, "cpu")


def test_fine_tuned__a_file_without_its_normalisation_is_damaged(exported: ExportedSet, tmp_path: Path) -> None:
    trained = train(exported, config_of(), tmp_path)
    assert trained.classifier.backbone is not None
    del trained.classifier.backbone.std
    save_classifier(tmp_path / MODEL, trained.classifier, trained.facts)
    with pytest.raises(TrainingError, match=r"is damaged: it lacks backbone\.std"):
        load_classifier(tmp_path / MODEL, "cpu")


def test_frozen__needs_the_weights_and_says_so(exported: ExportedSet, timm_file: Path, tmp_path: Path) -> None:
    train(exported, config_of(finetune=False, backbone=f"timm/{NETWORK}@{timm_file}"), tmp_path)
    assert not [name for name in load_file(tmp_path / MODEL) if name.startswith("backbone")]
    moved = timm_file.rename(tmp_path / "elsewhere.safetensors")
    with pytest.raises(TrainingError, match=rf"frozen backbone.*weights file {timm_file} does not exist") as caught:
        load_classifier(tmp_path / MODEL, "cpu")
    assert "--finetune" in caught.value.hint and "--backbone timm/MODEL@FILE" in caught.value.hint
    loaded = load_classifier(tmp_path / MODEL, "cpu", encoder=f"timm/{NETWORK}@{moved}")
    assert loaded.classifier.backbone is not None
    with pytest.raises(TrainingError, match=r"was trained on embeddings of timm/.*builtin is builtin#"):
        load_classifier(tmp_path / MODEL, "cpu", encoder="builtin")


def test_bare_network__has_the_shape_of_the_loaded_one(timm_file: Path, clip_file: Path) -> None:
    for name in ("builtin", f"timm/{NETWORK}@{timm_file}", f"open_clip/small-clip@{clip_file}"):
        backbone = load_backbone(name)
        architecture = json.loads(json.dumps(backbone.architecture))
        bare, whole = bare_network(name, architecture).state_dict(), backbone.network.state_dict()
        assert {key: value.shape for key, value in bare.items()} == {key: value.shape for key, value in whole.items()}
        assert not all(torch.equal(bare[key], whole[key]) for key in whole)


def test_bare_network__downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were asked for")

    monkeypatch.setattr("timm.models._builder.load_pretrained", refuse)
    monkeypatch.setattr("open_clip.factory.download_pretrained", refuse)
    assert bare_network(f"timm/{NETWORK}.r160_in1k", {"num_classes": 0}).state_dict()
    with pytest.raises(EncoderError, match="weights were asked for"):  # this is what they would be asked for by
        load_encoder(f"timm/{NETWORK}.r160_in1k", "cpu")


def test_bare_network__one_that_cannot_be_built_says_so() -> None:
    with pytest.raises(EncoderError, match="cannot be built as it was: TypeError"):
        bare_network(f"timm/{NETWORK}", {"num_classes": 0, "no_such_argument": 1})
    with pytest.raises(EncoderError, match="timm has no model 'gone'"):
        bare_network("timm/gone", {})
    with pytest.raises(EncoderError, match="unknown encoder 'vgg'"):
        bare_network("vgg", {})

"""The ONNX file says what PyTorch says, tells how it is to be used, and is not kept where it does not agree."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from curation.errors import TrainingError
from pipelines.classification import onnx_model
from pipelines.classification.onnx_model import onnx_probabilities, require_onnx, write_onnx
from pipelines.classification.prediction import pixel_probabilities
from tests.classifier_factory import NAMES, colour_classifier


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    found = write_onnx(path, colour_classifier(temperature=2.0))
    assert found.difference < 1e-5 and found.images >= 8 and found.size_bytes == path.stat().st_size
    return path


@pytest.mark.parametrize("images", [1, 2, 5])
def test_onnx__any_number_of_images_gives_the_probabilities_of_pytorch(written: Path, images: int) -> None:
    pixels = np.random.default_rng(images).integers(0, 256, (images, 16, 16, 3), dtype=np.uint8)
    ours = pixel_probabilities(colour_classifier(temperature=2.0), pixels)
    np.testing.assert_allclose(onnx_probabilities(written, pixels), ours, atol=1e-5)


def test_onnx__metadata_tells_categories_and_preprocessing(written: Path) -> None:
    stated = {item.key: item.value for item in onnx.load(written).metadata_props}
    assert json.loads(stated["categories"]) == list(NAMES)
    assert "uint8 (batch, 16, 16, 3)" in stated["input"] and "centre square of 16 px" in stated["preprocessing"]
    assert stated["cleaned_set_hash"] == "c" * 64


def test_onnx__one_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "_export", lambda path, _: path.write_bytes(b"another network"))
    monkeypatch.setattr(onnx_model, "onnx_probabilities", lambda _, pixels: np.full((len(pixels), 3), 1 / 3))
    with pytest.raises(TrainingError, match=r"differs from PyTorch by 0\.\d+"):
        write_onnx(tmp_path / "model.onnx", colour_classifier())
    assert list(tmp_path.iterdir()) == []


def test_onnx__a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(TrainingError, match="onnxruntime") as caught:
        require_onnx()
    assert "webnoise-curation[onnx]" in caught.value.hint


def test_onnx__a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be written"):
        write_onnx(tmp_path / "missing" / "model.onnx", colour_classifier())

"""What is told of a hybrid, and what it is written as: card, report, ONNX; from a file of vectors or from names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curation.encoders import load_encoder
from curation.export.reading import ExportedSet
from pipelines.classification.category_vectors import embed_category_names
from pipelines.classification.checkpoint import MODEL, load_classifier
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.flow import train_classification
from pipelines.classification.onnx_model import onnx_probabilities
from pipelines.classification.prediction import pixel_probabilities
from pipelines.classification.training import train
from tests.training_factory import coloured_samples, coloured_test_set, export_samples

COLOURS = "category,r,g,b\nred,1,0,0\ngreen,0,1,0\nblue,0,0,1\nwhite,1,1,1\nblack,-1,-1,-1\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedSet:
    """36 pictures of the web in three categories, a quarter of them wrong, and 16 base samples in two."""
    folder = tmp_path_factory.mktemp("hybrid")
    return export_samples(coloured_samples(folder / "in", base=8), folder / "out")


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four new pictures of each novel category."""
    return coloured_test_set(tmp_path_factory.mktemp("test"), 4)


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "colours.csv"
    path.write_text(COLOURS)
    return path


def config_of(**options: Any) -> ClassificationConfig:
    return ClassificationConfig(**{"method": "hybrid", "device": "cpu", "epochs": 8, "batch_size": 8, **options})


def one_line(path: Path) -> str:
    """A text without its line breaks."""
    return " ".join(path.read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("parts", "learned", "believed"),
    [
        (
            "v",
            "52 samples, of which {base} base samples were learned",
            "wrong category; none of them was learned from.",
        ),
        ("h", "52 samples, of which {web} were learned", "of what was learned from, all counting alike, "),
        ("both", "of which {base} base samples and {web} from the web were learned", "all counting alike, "),
    ],
)
def test_card_and_page__say_what_each_part_learned_from(
    parts: str, learned: str, believed: str, exported: ExportedSet, vectors: Path, embeddings: Path, tmp_path: Path
) -> None:
    config = config_of(hybrid_parts=parts, category_vectors=None if parts == "h" else str(vectors))
    told = train_classification(exported.folder, tmp_path, config, embeddings=embeddings)["training"]
    base, web = told["base_samples"], told["used"]
    assert (base > 8, web > 24) == (parts != "h", parts != "v")
    assert base + web + told["held_out"] + told["left_out"] == told["samples"] == 52
    card, page = one_line(tmp_path / "README.md"), one_line(tmp_path / "report.html")
    assert learned.format(base=base, web=web) in card and believed in card
    assert ("Category vectors: `" in card) == (parts != "h")
    assert ("zero-shot" in card) == ("None of its categories was learned from images" in card) == (parts == "v")
    assert ("the mean of their embeddings counted in training, and those held out" in card) == (parts == "v")
    assert ("biases of the search stay in the classifier" in card) == (parts != "v")
    assert ("nothing was learned from web images" in page) == (parts == "v")
    assert "o noise model has spoken" not in card + page
    usage = json.loads((tmp_path / "evaluation.json").read_text())["usage"]
    assert (usage["used"], usage["base"], usage["held_out"]) == (web, base, told["held_out"])
    assert any(item["learned_from"] for item in usage["categories"].values()) == (parts != "v")


def test_card__the_exports_weights_count_where_they_were_used(
    exported: ExportedSet, embeddings: Path, tmp_path: Path
) -> None:
    config = config_of(hybrid_parts="h", hybrid_weights="samples", epochs=1)
    train_classification(exported.folder, tmp_path, config, embeddings=embeddings)
    assert "of what was learned from, by its weights, " in one_line(tmp_path / "README.md")


def test_onnx_and_report__of_a_hybrid(
    exported: ExportedSet, vectors: Path, test_set: Path, embeddings: Path, tmp_path: Path
) -> None:
    told = train_classification(
        exported.folder,
        tmp_path,
        config_of(category_vectors=str(vectors)),
        test=test_set,
        embeddings=embeddings,
        onnx=True,
    )
    assert told["test"]["accuracy"] == 1.0 and told["onnx"]["largest difference to PyTorch"] < 1e-3
    loaded = load_classifier(tmp_path / MODEL, "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    np.testing.assert_allclose(
        onnx_probabilities(tmp_path / "model.onnx", pixels), pixel_probabilities(loaded, pixels), atol=1e-4
    )
    page = one_line(tmp_path / "report.html")
    assert "<b>hybrid</b>: every sample, and base samples by category vectors" in page
    assert (
        f"{told['training']['base_samples']} of them base samples, by category vectors" in page
        and "Every test image is right." in page
    )
    assert "Loss" in page and "Accuracy on the validation part" in page and "model.onnx" in page


@pytest.mark.parametrize("parts", ["v", "both"])
def test_text_vectors__are_those_of_the_names_by_open_clip(
    parts: str, exported: ExportedSet, clip_file: Path, test_set: Path, embeddings: Path, tmp_path: Path
) -> None:
    backbone = f"open_clip/small-clip@{clip_file}"
    options = {"backbone": backbone, "hybrid_parts": parts}
    config = config_of(category_vectors="text", **options)
    told = train_classification(
        exported.folder, tmp_path / "text", config, test=test_set, embeddings=embeddings, onnx=parts == "both"
    )
    assert told["training"]["base_categories"] == 2 and told["test"]["images"] == 12
    assert parts == "v" or told["onnx"]["largest difference to PyTorch"] < 1e-3
    card = one_line(tmp_path / "text" / "README.md")
    assert "Category vectors: the names of the categories, read by the backbone." in card
    assert "open_clip/small-clip@clip.safetensors" in card

    names = sorted(exported.categories)
    vectors = embed_category_names(load_encoder(backbone, "cpu"), names).tolist()

    def weights_by_file(name: str, order: list[str]) -> torch.Tensor:
        rows = "".join(f"{of},{','.join(map(repr, row))}\n" for of, row in zip(order, vectors, strict=True))
        (tmp_path / f"{name}.csv").write_text(f"category{',v' * len(vectors[0])}\n{rows}")
        config = config_of(category_vectors=str(tmp_path / f"{name}.csv"), **options)
        return train(exported, config, tmp_path / name, embeddings=embeddings).classifier.last.weight.detach()

    by_names = load_classifier(tmp_path / "text" / MODEL, "cpu").classifier.last.weight.detach()
    torch.testing.assert_close(weights_by_file("same", names), by_names, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(weights_by_file("mixed", [*names[1:], names[0]]), by_names, rtol=1e-3, atol=1e-5)

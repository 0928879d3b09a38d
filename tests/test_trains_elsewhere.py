"""What the README shows is run as it stands there: exports load in torchvision, timm, webdataset and datasets."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curation.export.loading import loading_code
from curation.export.reading import ExportedSet, read_export
from curation.export.splits import split_samples
from curation.export.writing import export_cleaned_set
from curation.sources.location import read_bytes
from curation.values import CleanedSet
from tests.cleaned_set_factory import cleaned_set

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
FOLDERS = {"imagefolder": "cleaned", "webdataset": "cleaned-tars", "hf": "cleaned-hf", "parquet": "cleaned-parquet"}
# timm and webdataset leave the files they read for the garbage collector to close.
OPEN_FILES = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def split_set(folder: Path) -> CleanedSet:
    made = cleaned_set(folder, per_category=12)
    return replace(made, kept=split_samples(made.kept, {"train": 0.75, "val": 0.25}))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that holds the exports, where the code of the README would be run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    yield tmp_path
    gc.collect()  # here, and not in a test of others, files that a library left open may be complained of


def exported(place: Path, export_format: str, chosen: CleanedSet | None = None) -> ExportedSet:
    chosen = chosen or split_set(place / "in")
    export_cleaned_set(chosen, place / FOLDERS[export_format], export_format, read_bytes=read_bytes)
    return read_export(place / FOLDERS[export_format])


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own documentation
    return names


def shown(title: str, export_format: str) -> str:
    """The code for this library, which the README must show just so."""
    (code,) = [
        item.code for item in loading_code(export_format, FOLDERS[export_format], "train") if item.title == title
    ]
    assert f"```python\n{code}```" in README, f"the README does not show how {title} loads {export_format}:\n{code}"
    return code


def weights_in(part: str, made: ExportedSet) -> list[float]:
    return sorted(sample.weight for sample in made.samples if sample.split == part)


def test_torchvision__loads_the_folder_with_its_weights(place: Path) -> None:
    made = exported(place, "imagefolder")
    names = run(shown("torchvision", "imagefolder"))
    assert names["images"].classes == ["Barn Swallow", "a_b"]
    assert names["picture"].size == (16, 16) and names["label"] == 0
    assert sorted(names["weights"]) == weights_in("train", made)
    assert {path.name for path in (place / "cleaned" / "val").iterdir()} == {"Barn Swallow", "a_b"}


@OPEN_FILES
def test_timm__loads_the_folder_with_its_weights(place: Path) -> None:
    made = exported(place, "imagefolder")
    names = run(shown("timm", "imagefolder"))
    assert names["images"].reader.class_to_idx == {"a_b": 0, "Barn Swallow": 1}  # letters in any case
    assert names["picture"].size == (16, 16) and sorted(names["weights"]) == weights_in("train", made)
    assert len(run(loading_code("imagefolder", "cleaned", "val")[1].code)["images"]) == len(weights_in("val", made))


@OPEN_FILES
def test_webdataset__loads_the_shards(place: Path) -> None:
    made = exported(place, "webdataset")
    names = run(shown("webdataset", "webdataset"))
    loaded = list(names["images"])
    assert sorted(facts["weight"] for _, _, facts in loaded) == weights_in("train", made)
    assert {category_id for _, category_id, _ in loaded} == {3, 7} and loaded[0][0].size == (16, 16)


def test_datasets__loads_images_labels_and_facts(place: Path) -> None:
    from datasets import ClassLabel, Image  # type: ignore[import-untyped]

    made = exported(place, "hf")
    names = run(shown("Hugging Face datasets", "hf"))
    images = names["images"]
    assert isinstance(images.features["image"], Image) and names["picture"].size == (16, 16)
    assert images.features["label"] == ClassLabel(names=["a/b", "Barn Swallow"])  # in the order of their ids
    assert [images.features["label"].names[label] for label in images["label"]] == images["category"][:]
    assert sorted(names["weights"]) == weights_in("train", made)
    assert set(images["split"]) == {"train"} and set(images["web_category"]) == {"Barn Swallow", "a/b"}
    assert images[0]["title"] == 'Said "tweet"\nthen left' and images[1]["noise_probability"] is None


def test_datasets__what_is_not_split_is_the_part_train(place: Path) -> None:
    from datasets import load_dataset

    exported(place, "hf", cleaned_set(place / "in"))
    loaded = load_dataset(str(place / "cleaned-hf"))
    assert {part: len(rows) for part, rows in loaded.items()} == {"train": 8}


def test_timm__loads_hugging_face_exports(place: Path) -> None:
    made = exported(place, "hf")
    names = run(shown("timm", "hf"))
    assert names["images"].reader.class_to_idx == {"a/b": 0, "Barn Swallow": 1}
    assert names["picture"].size == (16, 16) and sorted(names["weights"]) == weights_in("train", made)


def test_pandas__reads_the_rows(place: Path) -> None:
    made = exported(place, "parquet")
    names = run(loading_code("parquet", "cleaned-parquet", "val")[0].code)
    assert sorted(names["rows"]["weight"]) == weights_in("val", made) and names["encoded"][:2] == b"\xff\xd8"


@pytest.mark.parametrize("part", [None, "train"])
def test_own_package__reads_any_format(part: str | None, place: Path) -> None:
    made = exported(place, "webdataset", None if part else cleaned_set(place / "in"))
    names = run(loading_code("webdataset", "cleaned-tars", part)[-1].code)
    assert len(names["chosen"]) == sum(sample.split == part for sample in made.samples) > 0
    assert names["encoded"][:2] == b"\xff\xd8"


@OPEN_FILES
@pytest.mark.parametrize("export_format", FOLDERS)
def test_cards__show_code_that_runs(export_format: str, place: Path) -> None:
    """Of sets that are not split, in folders whose names must be quoted."""
    folder = place / 'a "quoted" nâme'
    export_cleaned_set(cleaned_set(place / "in"), folder, export_format, read_bytes=read_bytes)
    blocks = list(python_blocks((folder / "README.md").read_text(encoding="utf-8")))
    assert len(blocks) == len(loading_code(export_format, "x", None))
    for code in blocks:
        run(code)


def python_blocks(text: str) -> Iterator[str]:
    yield from re.findall(r"```python\n(.*?)```", text, re.DOTALL)

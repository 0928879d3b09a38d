"""What training pipelines read: the same through every format, and never damaged without saying so."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ExportError
from curation.export.formats import FORMATS
from curation.export.reading import ExportedSet, check_export, read_export
from curation.export.storage import Placement
from curation.export.tables import facts_of, new_sample_table, read_samples
from curation.export.writing import export_cleaned_set
from curation.sources.location import path_of, read_bytes
from curation.values import CleanedSample, CrawlFacts, Role
from tests.cleaned_set_factory import cleaned_set


def exported_to(tmp_path: Path, name: str) -> Path:
    export_cleaned_set(cleaned_set(tmp_path / "in"), tmp_path / "out", name, read_bytes=read_bytes)
    return tmp_path / "out"


# ---- access


@pytest.mark.parametrize("name", FORMATS)
def test_read_export__arrays_follow_the_samples(name: str, tmp_path: Path) -> None:
    exported = read_export(exported_to(tmp_path, name))
    assert len(exported) == 8
    assert exported.weights.dtype == np.float32
    assert exported.category_ids.dtype == np.int64
    np.testing.assert_allclose(exported.weights, [sample.weight for sample in exported.samples], rtol=1e-6)
    assert exported.category_ids.tolist() == [sample.category_id for sample in exported.samples]
    assert set(exported.category_ids.tolist()) == {3, 7}
    assert exported.samples[0].crawl.rank == 0
    assert exported.samples[0].role is Role.NOVEL


@pytest.mark.parametrize("name", FORMATS)
def test_read_export__survives_pickling_after_use(name: str, tmp_path: Path) -> None:
    exported = read_export(exported_to(tmp_path, name))
    first = exported.image_bytes(0)
    copy: ExportedSet = pickle.loads(pickle.dumps(exported))  # noqa: S301 - our own bytes
    assert copy.image_bytes(0) == first
    assert copy.samples == exported.samples


@pytest.mark.parametrize("name", FORMATS)
def test_read_export__feeds_a_data_loader_with_workers(name: str, tmp_path: Path) -> None:
    from torch.utils.data import DataLoader, Dataset

    exported = read_export(exported_to(tmp_path, name))
    exported.image_bytes(0)  # something may be open before the workers are forked

    class Images(Dataset[bytes]):
        def __getitem__(self, index: int) -> bytes:
            return exported.image_bytes(index)

        def __len__(self) -> int:
            return len(exported)

    loader = DataLoader(Images(), batch_size=None, shuffle=True, num_workers=2)
    assert sorted(loader) == sorted(exported.image_bytes(index) for index in range(8))


@pytest.mark.parametrize("name", ["imagefolder", "parquet", "webdataset"])
def test_read_export__does_not_need_the_sources_and_can_be_moved(name: str, tmp_path: Path) -> None:
    folder = exported_to(tmp_path, name)
    before = [read_export(folder).image_bytes(index) for index in range(8)]
    shutil.rmtree(tmp_path / "in")
    folder = folder.rename(tmp_path / "moved # to & fro")
    assert [read_export(folder).image_bytes(index) for index in range(8)] == before


def test_read_export__replaced_while_in_use(tmp_path: Path) -> None:
    exported = read_export(exported_to(tmp_path, "parquet"))
    first = exported.image_bytes(0)
    export_cleaned_set(cleaned_set(tmp_path / "in"), tmp_path / "out", "parquet", read_bytes=read_bytes, overwrite=True)
    assert exported.image_bytes(0) == first


# ---- folders that are none of ours, or not of this version


def test_read_export__missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="there is no folder"):
        read_export(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [None, "", "[]", '{"kind": "something else"}', "\udcff"])
def test_read_export__foreign_folder(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ExportError, match="not an export of this tool"):
        read_export(tmp_path)


def edit_manifest(folder: Path, edit: Callable[[dict[str, object]], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_read_export__newer_schema(tmp_path: Path) -> None:
    folder = exported_to(tmp_path, "csv")
    edit_manifest(folder, lambda manifest: manifest.update(schema_version=4, something="new"))
    with pytest.raises(ExportError, match=r"schema version 4.*Update webnoise-curation"):
        read_export(folder)


def test_read_export__format_of_another_version(tmp_path: Path) -> None:
    folder = exported_to(tmp_path, "csv")
    edit_manifest(folder, lambda manifest: manifest.update(format="tfrecord"))
    with pytest.raises(ExportError, match="unknown export format 'tfrecord'"):
        read_export(folder)


def test_read_export__manifest_that_lacks_something(tmp_path: Path) -> None:
    folder = exported_to(tmp_path, "csv")
    edit_manifest(folder, lambda manifest: manifest.pop("counts"))
    with pytest.raises(ExportError, match=r"damaged: counts"):
        read_export(folder)


# ---- damage


@pytest.mark.parametrize("name", ["imagefolder", "parquet", "webdataset"])
def test_read_export__changed_image_is_noticed_when_read(name: str, tmp_path: Path) -> None:
    folder = exported_to(tmp_path, name)
    exported = read_export(folder)
    path = folder / exported.placements[3].file
    data = bytearray(path.read_bytes())
    if name == "parquet":
        images = pq.ParquetFile(path).metadata.row_group(0).column(0)
        place = images.data_page_offset + images.total_compressed_size // 2
    else:
        place = data.find(exported.image_bytes(3)) + 300
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ExportError, match=r"not those that were exported|cannot be read"):
        for index in range(len(exported)):
            exported.image_bytes(index)
    with pytest.raises(ExportError):
        check_export(read_export(folder))


def test_read_export__without_verification_bytes_are_taken_as_they_are(tmp_path: Path) -> None:
    folder = exported_to(tmp_path, "imagefolder")
    exported = read_export(folder, verify=False)
    (folder / exported.placements[2].file).write_bytes(b"something else")
    assert read_export(folder, verify=False).image_bytes(2) == b"something else"
    with pytest.raises(ExportError, match="14 bytes"):
        read_export(folder)


@pytest.mark.parametrize("name", ["imagefolder", "parquet", "webdataset"])
def test_read_export__vanished_images(name: str, tmp_path: Path) -> None:
    folder = exported_to(tmp_path, name)
    exported = read_export(folder)
    for path in [*folder.glob("*/*.jpg"), *folder.glob("*.tar"), *folder.glob("*.parquet")]:
        path.unlink()
    with pytest.raises(ExportError, match="vanished"):
        exported.image_bytes(0)
    with pytest.raises(ExportError, match="is gone"):
        read_export(folder)


@pytest.mark.parametrize("name", ["parquet", "webdataset"])
def test_read_export__truncated_images(name: str, tmp_path: Path) -> None:
    folder = exported_to(tmp_path, name)
    exported = read_export(folder)
    path = folder / exported.placements[7].file
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ExportError, match="image 7 of the export"):
        exported.image_bytes(7)
    with pytest.raises(ExportError, match="has 2000 bytes"):
        read_export(folder)


def test_read_export__csv_says_when_an_original_has_changed(tmp_path: Path) -> None:
    exported = read_export(exported_to(tmp_path, "csv"))
    path_of(exported.samples[0].uri).write_bytes(b"another picture")
    path_of(exported.samples[1].uri).unlink()
    with pytest.raises(ExportError, match="not those that were exported"):
        exported.image_bytes(0)
    with pytest.raises(ExportError, match="vanished"):
        exported.image_bytes(1)


@pytest.mark.parametrize("table", ["samples.csv", "categories.csv", "set_aside.csv"])
def test_read_export__edited_table(table: str, tmp_path: Path) -> None:
    folder = exported_to(tmp_path, "csv")
    text = (folder / table).read_text()
    (folder / table).write_text(text.replace("Barn Swallow", "Barn Owl tyt"))
    with pytest.raises(ExportError):
        read_export(folder)
    (folder / table).unlink()
    with pytest.raises(ExportError, match=r"missing or damaged|is gone"):
        read_export(folder)


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda counts: counts.update(considered=11), "contradicts itself"),
        (lambda counts: counts.update(considered=9, set_aside=1), "contradicts itself"),
        (lambda counts: counts.update(considered=9, kept=7), "contradicts itself"),
        (lambda counts: counts.update(kept_by_category={"a/b": 8}), "not those that its manifest counts"),
        (lambda counts: counts.update(set_aside_by_reason={"leak": 2}), "not those that its manifest counts"),
        (lambda counts: counts.update(marked_by_reason={"leak": 2}), "not those that its manifest counts"),
        (lambda counts: counts.update(marked_by_reason={"leak": 9}), "8 samples were kept, 9 are marked"),
        (lambda counts: counts.update(kept_by_split={"train": 7}), "7 in the parts of the split together"),
    ],
)
def test_read_export__counts_that_do_not_balance(
    edit: Callable[[dict[str, object]], object], match: str, tmp_path: Path
) -> None:
    folder = exported_to(tmp_path, "csv")
    edit_manifest(folder, lambda manifest: edit(manifest["counts"]))  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=match):
        read_export(folder)


def test_read_export__content_hash_of_another_set(tmp_path: Path) -> None:
    folder = exported_to(tmp_path, "csv")
    edit_manifest(folder, lambda manifest: manifest.update(content_hash="0" * 64))
    with pytest.raises(ExportError, match="content hash"):
        read_export(folder)


@pytest.mark.parametrize(
    "line",
    [
        "too,few",
        'a,"unclosed',
        "f,i,i,c,not a number,c,novel,1,,,,,,,,0,u,,,,,,0,0",
        "f,i,i,c,1,c,nobody,1,,,,,,,,0,u,,,,,,0,0",
        "f,i,i,c,1,c,novel,1,,,,likely,,,,0,u,,,,,,0,0",
    ],
)
def test_read_samples__row_that_cannot_be_understood(line: str, tmp_path: Path) -> None:
    with new_sample_table(tmp_path):
        pass
    with (tmp_path / "samples.csv").open("a", newline="") as file:
        file.write(line)
    with pytest.raises(ExportError, match=r"samples\.csv is missing or damaged"):
        list(read_samples(tmp_path))


def test_read_samples__other_columns(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ExportError, match=r"its columns are \['a', 'b'\]"):
        list(read_samples(tmp_path))


# ---- any text


any_text = st.text(alphabet=st.characters(codec=None), max_size=12)  # commas, quotes, breaks, NUL, lone surrogates


@given(image_id=any_text, category=any_text, title=any_text, weight=st.floats(0, 1e6), rank=st.none() | st.integers())
def test_samples__any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, image_id: str, category: str, title: str, weight: float, rank: int | None
) -> None:
    folder = tmp_path_factory.mktemp("table")
    sample = CleanedSample(
        "id",
        image_id,
        Role.BASE,
        category,
        1,
        category,
        weight,
        None,
        "file:///x",
        "0",
        CrawlFacts(title=title, rank=rank),
    )
    with new_sample_table(folder) as add_row:
        add_row(sample, Placement("f", 5, 6))
    ((read, placement),) = read_samples(folder)
    facts = facts_of(sample)
    expected = replace(
        sample,
        image_id=facts["image_id"],
        category=facts["category"],
        web_category=facts["category"],
        weight=facts["weight"],
        crawl=CrawlFacts(title=facts["title"] or None, rank=rank),
    )
    assert (read, placement) == (expected, Placement("f", 5, 6))
    if not any("\ud800" <= character <= "\udfff" for character in image_id):
        assert read.image_id == image_id


def test_reading__needs_no_store() -> None:
    """Training pipelines read exports on machines that have no workspace."""
    code = "import sys, curation.export.reading; print([m for m in sys.modules if 'store' in m or 'duckdb' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

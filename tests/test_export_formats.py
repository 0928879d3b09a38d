"""How each format lays images out, and that the libraries it is meant for read it."""

from __future__ import annotations

import csv
import errno
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from curation.export import parquet, webdataset
from curation.export.imagefolder import PASSED_OVER_BY_TORCHVISION
from curation.export.names import _SUFFIXES
from curation.export.reading import check_export, read_export
from curation.export.storage import CheckedImage, StorageOptions
from curation.export.writing import export_cleaned_set
from curation.sources import list_source
from curation.sources.location import member_uri, path_of, read_bytes
from curation.values import CleanedSet
from tests.cleaned_set_factory import cleaned_set, with_kept


def checked(chosen: CleanedSet) -> list[CheckedImage]:
    return [CheckedImage(sample, read_bytes(sample.uri)) for sample in chosen.kept]


# ---- imagefolder


def test_imagefolder__is_read_by_torchvision(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder  # type: ignore[import-untyped]

    chosen = cleaned_set(tmp_path / "in", image_format="PNG")  # the files are called .jpg
    export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes)
    loaded = ImageFolder(str(tmp_path / "out"))
    assert loaded.classes == ["Barn Swallow", "a_b"]
    assert Counter(loaded.targets) == {0: 4, 1: 4}
    assert loaded[0][0].size == (16, 16)
    assert {Path(path).suffix for path, _ in loaded.samples} == {".png"}


def test_imagefolder__says_what_torchvision_passes_over(tmp_path: Path) -> None:
    from torchvision.datasets.folder import IMG_EXTENSIONS  # type: ignore[import-untyped]

    receipt = export_cleaned_set(
        cleaned_set(tmp_path / "in", image_format="GIF"), tmp_path / "out", "imagefolder", read_bytes=read_bytes
    )
    assert receipt.notes[0].startswith("8 images are of formats that torchvision's ImageFolder passes over")
    assert not set(PASSED_OVER_BY_TORCHVISION) & set(IMG_EXTENSIONS)
    assert {f".{suffix}" for suffix in (*_SUFFIXES.values(), "ppm", "bin")} <= {
        *IMG_EXTENSIONS,
        *PASSED_OVER_BY_TORCHVISION,
    }


def test_imagefolder__file_names_show_image_id_and_sample_id(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in", per_category=1)
    export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes)
    names = [path.name for path in (tmp_path / "out" / "Barn Swallow").iterdir()]
    assert names == [f"photo 7_0-{chosen.kept[0].sample_id}.jpg"]
    with (tmp_path / "out" / "samples.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["file"] == f"Barn Swallow/{names[0]}"


def test_imagefolder__hard_links_share_the_original(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    receipt = export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes, hard_links=True)
    exported = read_export(tmp_path / "out")
    for sample, placement in zip(exported.samples, exported.placements, strict=True):
        assert path_of(sample.uri).samefile(tmp_path / "out" / placement.file)
    assert (receipt.linked, receipt.notes) == (8, ())


def test_imagefolder__hard_link_of_a_symbolic_link_is_the_file_itself(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in", per_category=1)
    original = path_of(chosen.kept[0].uri)
    original.rename(tmp_path / "real.jpg")
    original.symlink_to(tmp_path / "real.jpg")
    export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes, hard_links=True)
    (written,) = (tmp_path / "out" / "Barn Swallow").iterdir()
    assert not written.is_symlink()
    assert written.samefile(tmp_path / "real.jpg")


def test_imagefolder__images_inside_an_archive_are_copied_and_that_is_stated(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    data = read_bytes(chosen.kept[0].uri)
    (tmp_path / "set.tar").write_bytes(b"\0" * 512 + data)
    moved = replace(chosen.kept[0], uri=member_uri(tmp_path / "set.tar", "x.jpg", 512, len(data)))
    chosen = with_kept(chosen, [moved, *chosen.kept[1:]])
    receipt = export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes, hard_links=True)
    assert receipt.linked == 7
    assert receipt.notes == ("1 of 8 images are not hard links: these were not possible there.",)
    assert read_export(tmp_path / "out").manifest.notes == receipt.notes


def test_imagefolder__other_file_system_means_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)  # a second file system is not there to be had in every test run
    receipt = export_cleaned_set(
        cleaned_set(tmp_path / "in"), tmp_path / "out", "imagefolder", read_bytes=read_bytes, hard_links=True
    )
    assert receipt.linked == 0
    assert receipt.notes == ("8 of 8 images are not hard links: these were not possible there.",)
    check_export(read_export(tmp_path / "out"))


# ---- parquet


def test_parquet__can_be_ingested_again(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", "parquet", read_bytes=read_bytes)
    listing = list_source(tmp_path / "out" / "images.parquet")
    assert listing.ignored == {}
    assert [(e.image_id, e.category, e.crawl) for e in listing.entries] == [
        (s.image_id, s.category, s.crawl) for s in chosen.kept
    ]
    assert [read_bytes(e.uri) for e in listing.entries] == [read_bytes(s.uri) for s in chosen.kept]


def test_parquet__repeated_image_ids_are_told_apart(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    relabelled = replace(chosen.kept[4], category="Barn Swallow", category_id=7, image_id=chosen.kept[0].image_id)
    export_cleaned_set(
        with_kept(chosen, [*chosen.kept[:4], relabelled]), tmp_path / "out", "parquet", read_bytes=read_bytes
    )
    listing = list_source(tmp_path / "out" / "images.parquet")
    assert len(listing.entries) == 5
    assert listing.entries[4].image_id == f"{chosen.kept[0].image_id}#{relabelled.sample_id}"


def test_parquet__row_groups_are_bounded(tmp_path: Path) -> None:
    images = checked(cleaned_set(tmp_path / "in"))
    largest = max(len(image.data) for image in images)
    for options, expected in (
        (StorageOptions(row_group_rows=3), [3, 3, 2]),
        (StorageOptions(row_group_bytes=largest * 2), [2, 2, 2, 2]),
        (StorageOptions(row_group_bytes=1), [1] * 8),
    ):
        folder = tmp_path / str(expected)
        folder.mkdir()
        placed = list(parquet.write_images(folder, images, options))
        file = pq.ParquetFile(folder / "images.parquet")
        assert [file.metadata.row_group(g).num_rows for g in range(file.metadata.num_row_groups)] == expected
        assert [item.placement.position for item in placed] == list(range(8))


def test_parquet__is_read_by_duckdb(tmp_path: Path) -> None:
    export_cleaned_set(cleaned_set(tmp_path / "in"), tmp_path / "out", "parquet", read_bytes=read_bytes)
    query = "SELECT category_id, count(*), bool_and(sha256(image) = sha256) FROM read_parquet(?) GROUP BY 1 ORDER BY 1"
    with duckdb.connect() as connection:
        rows = connection.execute(query, [str(tmp_path / "out" / "images.parquet")]).fetchall()
    assert rows == [(3, 4, True), (7, 4, True)]


# ---- webdataset


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library leaves its tar open
def test_webdataset__is_read_by_the_webdataset_library(tmp_path: Path) -> None:
    import webdataset as wds

    chosen = cleaned_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", "webdataset", read_bytes=read_bytes)
    loaded = list(wds.WebDataset(str(tmp_path / "out" / "shard-000000.tar"), shardshuffle=False).decode("pil"))
    assert [item["__key__"] for item in loaded] == [sample.sample_id for sample in chosen.kept]
    assert [item["cls"] for item in loaded] == [sample.category_id for sample in chosen.kept]
    assert loaded[0]["jpg"].size == (16, 16)
    assert loaded[1]["json"]["weight"] == round(chosen.kept[1].weight, 6)
    assert loaded[1]["json"]["noise_probability"] is None
    assert loaded[1]["json"]["title"] == 'Said "tweet"\nthen left'


def test_webdataset__shards_are_bounded_by_samples_and_each_holds_all_categories(tmp_path: Path) -> None:
    images = checked(cleaned_set(tmp_path / "in"))
    placed = list(webdataset.write_images(tmp_path, images, StorageOptions(samples={None: 8}, shard_samples=4)))
    held = {
        name: Counter(p.sample.category for p in placed if p.placement.file == name) for name in shard_names(tmp_path)
    }
    assert held == {
        "shard-000000.tar": {"Barn Swallow": 2, "a/b": 2},
        "shard-000001.tar": {"Barn Swallow": 2, "a/b": 2},
    }


def test_webdataset__shards_are_bounded_by_bytes(tmp_path: Path) -> None:
    images = checked(cleaned_set(tmp_path / "in"))
    placed = list(webdataset.write_images(tmp_path, images, StorageOptions(samples={None: 8}, shard_bytes=1)))
    assert shard_names(tmp_path) == [f"shard-{number:06d}.tar" for number in range(8)]
    assert [item.placement.file for item in placed] == shard_names(tmp_path)
    for name in shard_names(tmp_path):
        with tarfile.open(tmp_path / name) as shard:
            assert len(shard.getmembers()) == 3


def test_webdataset__same_set_same_bytes(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    for name in ("one", "two"):
        export_cleaned_set(chosen, tmp_path / name, "webdataset", read_bytes=read_bytes)
    first, second = ((tmp_path / name / "shard-000000.tar").read_bytes() for name in ("one", "two"))
    assert first == second


def shard_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("shard-*.tar"))

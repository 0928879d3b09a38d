"""Cleaned sets are written whole, in every format, or not at all."""

from __future__ import annotations

import csv
import errno
import json
import multiprocessing
import os
import signal
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ExportError
from curation.export import parquet, webdataset
from curation.export.formats import FORMATS
from curation.export.imagefolder import PASSED_OVER_BY_TORCHVISION
from curation.export.manifest import Counts, content_hash_of, count
from curation.export.names import _SUFFIXES, category_folders, file_name, image_suffix
from curation.export.reading import check_export, read_export
from curation.export.storage import CheckedImage, StorageOptions
from curation.export.writing import export_cleaned_set
from curation.sources import list_source
from curation.sources.location import member_uri, path_of, read_bytes
from curation.values import CleanedSample, CleanedSet, CrawlFacts, Role
from tests.cleaned_set_factory import CATEGORIES, cleaned_set, picture, with_kept


def partials(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def checked(chosen: CleanedSet) -> list[CheckedImage]:
    return [CheckedImage(sample, read_bytes(sample.uri)) for sample in chosen.kept]


# ---- every format


@pytest.mark.parametrize("name", FORMATS)
def test_export__reads_back_as_written(name: str, tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    receipt = export_cleaned_set(chosen, tmp_path / "out", name, read_bytes=read_bytes)
    exported = read_export(tmp_path / "out")
    assert {s.sample_id: exported.image_bytes(i) for i, s in enumerate(exported.samples)} == {
        s.sample_id: read_bytes(s.uri) for s in chosen.kept
    }
    as_written = [
        replace(s, weight=round(s.weight, 6), crawl=replace(s.crawl, title='Said "tweet"\nthen left'))
        for s in chosen.kept
    ]
    assert sorted(exported.samples, key=lambda s: s.sample_id) == sorted(as_written, key=lambda s: s.sample_id)
    assert exported.set_aside() == chosen.set_aside
    assert exported.categories == CATEGORIES
    assert exported.manifest.provenance == chosen.provenance
    assert exported.manifest.content_hash == chosen.content_hash == receipt.content_hash
    assert exported.manifest.counts == Counts(
        considered=10,
        kept=8,
        set_aside=2,
        set_aside_by_reason={"label_flip": 1, "outlier": 1},
        kept_by_category={"Barn Swallow": 4, "a/b": 4},
    )
    assert (receipt.kept, receipt.set_aside, receipt.notes) == (8, 2, ())
    assert receipt.image_bytes == sum(len(read_bytes(s.uri)) for s in chosen.kept)
    check_export(exported)
    assert partials(tmp_path) == []


@pytest.mark.parametrize("name", FORMATS)
def test_export__changed_and_vanished_images_are_set_aside(name: str, tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    changed, vanished = path_of(chosen.kept[0].uri), path_of(chosen.kept[5].uri)
    changed.write_bytes(picture(99))
    vanished.unlink()
    receipt = export_cleaned_set(chosen, tmp_path / "out", name, read_bytes=read_bytes)
    exported = read_export(tmp_path / "out")
    remaining = [sample for index, sample in enumerate(chosen.kept) if index not in (0, 5)]
    assert receipt.content_hash == content_hash_of(remaining) != chosen.content_hash
    assert exported.manifest.cleaned_set_hash == chosen.content_hash
    assert exported.manifest.counts.set_aside_by_reason == {"label_flip": 1, "outlier": 1, "unreadable": 2}
    assert exported.manifest.counts.considered == chosen.total
    details = {item.sample_id: item.detail for item in exported.set_aside() if item.reason == "unreadable"}
    assert details == {
        chosen.kept[0].sample_id: "the bytes have changed since they were ingested",
        chosen.kept[5].sample_id: "the file has vanished",
    }
    assert receipt.notes == ("2 samples were set aside because their bytes are gone or have changed.",)


@pytest.mark.parametrize("name", FORMATS)
def test_export__every_image_gone_leaves_nothing(name: str, tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    for sample in chosen.kept:
        path_of(sample.uri).unlink()
    with pytest.raises(ExportError, match="nothing is left to export: all of 8 kept samples are unreadable"):
        export_cleaned_set(chosen, tmp_path / "out", name, read_bytes=read_bytes)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_export__plain_os_errors_of_the_reader_are_reasons(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")

    def read(uri: str) -> bytes:
        if uri == chosen.kept[0].uri:
            raise OSError(errno.EIO, "Input/output error")
        return read_bytes(uri)

    export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=read)
    assert read_export(tmp_path / "out").set_aside()[-1].detail == "Input/output error"


def test_export__unknown_format_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="imagefolder, csv, parquet, webdataset"):
        export_cleaned_set(cleaned_set(tmp_path / "in"), tmp_path / "out", "tfrecord", read_bytes=read_bytes)


def test_export__manifest_has_digests_time_and_schema(tmp_path: Path) -> None:
    export_cleaned_set(cleaned_set(tmp_path / "in"), tmp_path / "out", "parquet", read_bytes=read_bytes)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["schema_version"] == 1
    assert manifest["created_at"].endswith("Z")
    assert [file["path"] for file in manifest["files"]] == [
        "categories.csv",
        "images.parquet",
        "samples.csv",
        "set_aside.csv",
    ]
    assert all(len(file["sha256"]) == 64 and file["size_bytes"] > 0 for file in manifest["files"])


def test_export__tells_progress(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    export_cleaned_set(
        cleaned_set(tmp_path / "in"),
        tmp_path / "out",
        "imagefolder",
        read_bytes=read_bytes,
        progress=lambda what, done, total: told.append((what, done, total)),
    )
    assert told == [("exporting", n, 8) for n in range(1, 9)] + [("checking", n, 8) for n in range(1, 9)]


# ---- sets that contradict themselves


def contradictory(original: CleanedSet, case: str) -> CleanedSet:
    first, *others = original.kept
    broken = {
        "occurs 2 times": [first, first, *others],
        "not made of letters": [replace(first, sample_id="a.b"), *others],
        "with id 4": [replace(first, category_id=4), *others],
        "weight nan": [replace(first, weight=float("nan")), *others],
        "weight -1": [replace(first, weight=-1), *others],
        "noise probability 1.5": [replace(first, noise_probability=1.5), *others],
        "'Robin'": [replace(first, category="Robin"), *others],
    }
    if case in broken:
        return with_kept(original, broken[case])
    if case == "same id":
        return replace(original, categories={**original.categories, "twin": 3})
    return replace(original, kept=original.kept[1:])


@pytest.mark.parametrize(
    "case",
    [
        "occurs 2 times",
        "not made of letters",
        "with id 4",
        "weight nan",
        "weight -1",
        "noise probability 1.5",
        "'Robin'",
        "same id",
        "content hash does not belong",
    ],
)
def test_export__contradictory_set_is_refused_before_anything_is_written(case: str, tmp_path: Path) -> None:
    chosen = contradictory(cleaned_set(tmp_path / "in"), case)
    with pytest.raises(ExportError, match=case):
        export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=read_bytes)
    assert not (tmp_path / "out").exists()


def test_export__provenance_becomes_plain(tmp_path: Path) -> None:
    chosen = replace(
        cleaned_set(tmp_path / "in"), provenance={"auroc": float("nan"), "weights": Path("/w"), "n": (1, 2)}
    )
    export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=read_bytes)
    assert read_export(tmp_path / "out").manifest.provenance == {"auroc": None, "weights": "/w", "n": [1, 2]}


def test_export__provenance_that_json_cannot_hold(tmp_path: Path) -> None:
    chosen = replace(cleaned_set(tmp_path / "in"), provenance={"network": object()})
    with pytest.raises(ExportError, match="provenance"):
        export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=read_bytes)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_count__refuses_a_lost_sample(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    with pytest.raises(ExportError, match="11 samples were considered, 8 kept and 2 set aside"):
        count(chosen.kept, chosen.set_aside, considered=11)


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
    placed = list(webdataset.write_images(tmp_path, images, StorageOptions(samples=8, shard_samples=4)))
    held = {
        name: Counter(p.sample.category for p in placed if p.placement.file == name) for name in shard_names(tmp_path)
    }
    assert held == {
        "shard-000000.tar": {"Barn Swallow": 2, "a/b": 2},
        "shard-000001.tar": {"Barn Swallow": 2, "a/b": 2},
    }


def test_webdataset__shards_are_bounded_by_bytes(tmp_path: Path) -> None:
    images = checked(cleaned_set(tmp_path / "in"))
    placed = list(webdataset.write_images(tmp_path, images, StorageOptions(samples=8, shard_bytes=1)))
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


# ---- names


def test_category_folders__unsafe_and_colliding_names() -> None:
    categories = {"a/b": 1, "A_B": 2, "..": 3, "samples.csv": 4, "": 5, "Épinoche à 3": 6, ".hidden": 7, "a_b": 8}
    assert category_folders(categories) == {
        "a/b": "a_b",
        "A_B": "A_B.2",
        "..": "3",
        "samples.csv": "samples.csv.4",
        "": "5",
        "Épinoche à 3": "Épinoche à 3",
        ".hidden": "hidden",
        "a_b": "a_b.8",
    }


@given(st.lists(st.text(max_size=150), unique=True, max_size=12))
def test_category_folders__are_safe_unique_and_stable(names: list[str]) -> None:
    categories = {name: number for number, name in enumerate(names)}
    folders = category_folders(categories)
    assert len({folder.casefold() for folder in folders.values()}) == len(names)
    for folder in folders.values():
        assert folder
        assert not set("/\\\0\n:*?") & set(folder)
        assert not folder.startswith(".")
        assert len(folder.encode()) <= 255
    fewer = dict(list(categories.items())[:-1])
    assert category_folders(fewer).items() <= folders.items()


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_file_name__is_safe_and_holds_the_sample_id(image_id: str) -> None:
    sample = CleanedSample(
        "0123456789abcdef", image_id, Role.NOVEL, "c", 0, "c", 1.0, None, "file:///x", "0" * 64, CrawlFacts()
    )
    name = file_name(sample, "png")
    assert name.endswith("0123456789abcdef.png")
    assert not set("/\\\0\n:*?") & set(name)
    assert not name.startswith((".", "-"))
    assert len(name.encode()) <= 255


@pytest.mark.parametrize(
    ("image_format", "suffix"),
    [
        ("JPEG", "jpg"),
        ("PNG", "png"),
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("BMP", "bmp"),
        ("TIFF", "tif"),
        ("JPEG2000", "jp2"),
        ("AVIF", "avif"),
        ("PPM", "ppm"),
    ],
)
def test_image_suffix__by_content(image_format: str, suffix: str) -> None:
    assert image_suffix(picture(1, image_format)) == suffix


def test_image_suffix__unknown_content() -> None:
    assert image_suffix(b"hello") == "bin"


# ---- content hash


def test_content_hash__ignores_order_and_last_bits_but_not_weights(tmp_path: Path) -> None:
    kept = cleaned_set(tmp_path / "in").kept
    same = content_hash_of(kept)
    assert content_hash_of(reversed(kept)) == same
    assert content_hash_of([replace(kept[0], weight=kept[0].weight + 1e-9), *kept[1:]]) == same
    assert content_hash_of([replace(kept[0], uri="file:///elsewhere"), *kept[1:]]) == same
    for other in (
        [replace(kept[0], weight=kept[0].weight + 1e-4), *kept[1:]],
        [replace(kept[0], category="a/b"), *kept[1:]],
        [replace(kept[0], sha256="0" * 64), *kept[1:]],
        kept[1:],
    ):
        assert content_hash_of(other) != same


# ---- the place it is written to


def test_staging__folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ExportError, match="is not an export of this tool"):
            export_cleaned_set(
                cleaned_set(tmp_path / "in"), tmp_path / "out", "csv", read_bytes=read_bytes, overwrite=overwrite
            )
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_staging__empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_cleaned_set(cleaned_set(tmp_path / "in"), tmp_path / "out", "csv", read_bytes=read_bytes)
    assert len(read_export(tmp_path / "out")) == 8


def test_staging__missing_parents_are_made(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "out"
    export_cleaned_set(cleaned_set(tmp_path / "in"), out, "csv", read_bytes=read_bytes)
    assert len(read_export(out)) == 8


def test_staging__file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ExportError, match="is a file, not a folder"):
        export_cleaned_set(cleaned_set(tmp_path / "in"), tmp_path / "out", "csv", read_bytes=read_bytes)
    with pytest.raises(ExportError, match="cannot be written"):
        export_cleaned_set(cleaned_set(tmp_path / "in"), tmp_path / "out" / "x", "csv", read_bytes=read_bytes)


def test_staging__earlier_export_is_replaced_only_when_asked(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes)
    smaller = with_kept(chosen, list(chosen.kept[:3]))
    with pytest.raises(ExportError, match="--overwrite"):
        export_cleaned_set(smaller, tmp_path / "out", "parquet", read_bytes=read_bytes)
    assert len(read_export(tmp_path / "out")) == 8
    export_cleaned_set(smaller, tmp_path / "out", "parquet", read_bytes=read_bytes, overwrite=True)
    assert len(read_export(tmp_path / "out")) == 3
    assert not (tmp_path / "out" / "Barn Swallow").exists()
    assert partials(tmp_path) == []


def test_staging__additions_to_an_earlier_export_are_not_deleted(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes)
    (tmp_path / "out" / "model.pt").write_text("trained for days")
    with pytest.raises(ExportError, match=r"no part of the export: model\.pt"):
        export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes, overwrite=True)
    assert (tmp_path / "out" / "model.pt").exists()


def test_staging__link_to_an_earlier_export_stays_a_link(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "real", "csv", read_bytes=read_bytes)
    (tmp_path / "out").symlink_to(tmp_path / "real")
    export_cleaned_set(
        with_kept(chosen, list(chosen.kept[:3])), tmp_path / "out", "csv", read_bytes=read_bytes, overwrite=True
    )
    assert (tmp_path / "out").is_symlink()
    assert len(read_export(tmp_path / "real")) == 3


def test_staging__failure_keeps_the_earlier_export(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=read_bytes)

    def interrupted(uri: str) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=interrupted, overwrite=True)
    assert len(read_export(tmp_path / "out")) == 8
    assert partials(tmp_path) == []


def test_staging__failed_swap_puts_the_earlier_export_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = cleaned_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=read_bytes)
    rename = Path.rename

    def refuse_partial(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_partial)  # a disk that fails between two renames cannot be had otherwise
    with pytest.raises(ExportError, match="Input/output error"):
        export_cleaned_set(chosen, tmp_path / "out", "parquet", read_bytes=read_bytes, overwrite=True)
    assert read_export(tmp_path / "out").manifest.format == "csv"
    assert partials(tmp_path) == []


def test_staging__full_disk_says_so_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    chosen = cleaned_set(tmp_path / "in")
    monkeypatch.setattr(Path, "write_bytes", full)  # filling a real disk would disturb everything else on it
    with pytest.raises(ExportError, match=r"No space left on device\. Free some space"):
        export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_staging__leftovers_of_dead_processes_are_put_right(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    dead = dead_process()
    living = os.getppid()
    for name in (
        f".out.{dead}.partial",
        f".out.{living}.partial",
        f".other.{dead}.partial",
        f".out.{os.getpid()}.partial",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("x")
    export_cleaned_set(chosen, tmp_path / "old", "csv", read_bytes=read_bytes)
    (tmp_path / "old").rename(tmp_path / f".out.{dead}.replaced")
    with pytest.raises(ExportError, match="holds an earlier export"):  # the one that was being replaced is back
        export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=read_bytes)
    assert sorted(partials(tmp_path)) == sorted([f".out.{living}.partial", f".other.{dead}.partial"])
    assert len(read_export(tmp_path / "out")) == 8


def test_staging__killed_export_is_invisible_and_cleaned_up(tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    process = multiprocessing.get_context("spawn").Process(target=export_and_die, args=(chosen, tmp_path / "out"))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert len(partials(tmp_path)) == 1
    export_cleaned_set(chosen, tmp_path / "out", "imagefolder", read_bytes=read_bytes)
    assert len(read_export(tmp_path / "out")) == 8
    assert partials(tmp_path) == []


def export_and_die(chosen: CleanedSet, out: Path) -> None:
    def read(uri: str) -> bytes:
        if uri == chosen.kept[5].uri:
            os.kill(os.getpid(), signal.SIGKILL)
        return read_bytes(uri)

    export_cleaned_set(chosen, out, "imagefolder", read_bytes=read)


def dead_process() -> int:
    """The id of a process that has ended."""
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid

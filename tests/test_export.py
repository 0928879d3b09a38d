"""Cleaned sets are written whole, in every format, or not at all."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest

from curation.errors import ExportError
from curation.export.formats import FORMATS
from curation.export.manifest import Counts, content_hash_of, count
from curation.export.reading import check_export, read_export
from curation.export.writing import export_cleaned_set
from curation.sources.location import path_of, read_bytes
from curation.values import CleanedSet
from tests.cleaned_set_factory import CATEGORIES, cleaned_set, picture, with_kept


def partials(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


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
    assert manifest["schema_version"] == 3
    assert manifest["created_at"].endswith("Z")
    assert [file["path"] for file in manifest["files"]] == [
        "README.md",
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

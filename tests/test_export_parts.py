"""Split exports: every format keeps the parts apart, and the promise of no leak holds through the store."""

from __future__ import annotations

import json
import tarfile
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from app.cli import app
from curation.config import Config
from curation.errors import ExportError
from curation.export import hugging_face, webdataset
from curation.export.formats import FORMATS
from curation.export.reading import check_export, read_export
from curation.export.splits import split_samples
from curation.export.storage import CheckedImage, StorageOptions
from curation.export.writing import export_cleaned_set
from curation.sources.location import read_bytes
from curation.stages.export import export
from curation.store.connection import catalog
from curation.store.near_copies import replace_near_copies
from curation.store.snapshot import publish_snapshot
from curation.values import CleanedSet
from curation.workspace import Workspace
from tests.cleaned_set_factory import cleaned_set, with_kept
from tests.test_promised_export import fill

SHARES = {"train": 0.75, "val": 0.25}


def split_set(folder: Path, per_category: int = 12) -> CleanedSet:
    made = cleaned_set(folder, per_category=per_category)
    return replace(made, kept=split_samples(made.kept, SHARES))


@pytest.mark.parametrize("name", FORMATS)
def test_formats__keep_the_parts_apart(name: str, tmp_path: Path) -> None:
    chosen = split_set(tmp_path / "in")
    receipt = export_cleaned_set(chosen, tmp_path / "out", name, read_bytes=read_bytes)
    exported = read_export(tmp_path / "out")
    check_export(exported)
    assert receipt.content_hash == chosen.content_hash  # the same choice of samples, however it is cut
    assert {s.sample_id: s.split for s in exported.samples} == {s.sample_id: s.split for s in chosen.kept}
    assert exported.manifest.counts.kept_by_split == Counter(sample.split for sample in chosen.kept)
    parts_of: dict[str, set[str | None]] = defaultdict(set)
    for sample, placement in zip(exported.samples, exported.placements, strict=True):
        parts_of[placement.file.partition("/")[0]].add(sample.split)
    if name != "csv":
        assert all(len(parts) == 1 for parts in parts_of.values()) and len(parts_of) == 2


def test_formats__where_the_parts_lie(tmp_path: Path) -> None:
    chosen = split_set(tmp_path / "in")
    found = {}
    for name in ("imagefolder", "webdataset", "parquet", "hf"):
        export_cleaned_set(chosen, tmp_path / name, name, read_bytes=read_bytes)
        manifest = read_export(tmp_path / name).manifest
        tables = ("README.md", "categories.csv", "samples.csv", "set_aside.csv")
        found[name] = sorted({*manifest.folders, *(file.path for file in manifest.files)} - {*tables})
    assert found == {
        "imagefolder": ["train", "val"],
        "webdataset": ["train-000000.tar", "val-000000.tar"],
        "parquet": ["train.parquet", "val.parquet"],
        "hf": ["train-00000.parquet", "val-00000.parquet"],
    }


def test_webdataset__every_part_has_shards_of_its_own(tmp_path: Path) -> None:
    chosen = split_set(tmp_path / "in")
    images = [CheckedImage(sample, read_bytes(sample.uri)) for sample in chosen.kept]
    counts = Counter(sample.split for sample in chosen.kept)
    list(webdataset.write_images(tmp_path, images, StorageOptions(samples=counts, shard_samples=5)))
    for part, number in counts.items():
        shards = sorted(tmp_path.glob(f"{part}-*.tar"))
        assert len(shards) == -(-number // 5)
        held = []
        for shard in shards:
            with tarfile.open(shard) as tar:
                held += [
                    json.load(member)
                    for name in tar.getnames()
                    if name.endswith(".json") and (member := tar.extractfile(name))
                ]
        assert len(held) == number and {facts["split"] for facts in held} == {part}


def test_hugging_face__a_new_file_begins_where_one_is_full(tmp_path: Path) -> None:
    images = [CheckedImage(sample, read_bytes(sample.uri)) for sample in cleaned_set(tmp_path / "in").kept]
    options = StorageOptions(labels=("a/b", "Barn Swallow"), shard_bytes=1, row_group_rows=3)
    placed = list(hugging_face.write_images(tmp_path, images, options))
    assert [item.placement.file for item in placed] == [
        f"train-{number:05d}.parquet" for number in (0, 0, 0, 1, 1, 1, 2, 2)
    ]
    assert [item.placement.position for item in placed] == [0, 1, 2, 0, 1, 2, 0, 1]
    rows = [row for number in range(3) for row in pq.read_table(tmp_path / f"train-{number:05d}.parquet").to_pylist()]
    assert [row["image"]["bytes"] for row in rows] == [image.data for image in images]
    assert [row["label"] for row in rows] == [1] * 4 + [0] * 4
    assert rows[0]["image"]["path"].endswith(".jpg")


def test_imagefolder__a_category_too_small_for_all_parts_is_told(tmp_path: Path) -> None:
    made = cleaned_set(tmp_path / "in", per_category=8)
    made = with_kept(made, [*made.kept[:8], made.kept[8]])
    cut = replace(made, kept=split_samples(made.kept, SHARES))
    receipt = export_cleaned_set(cut, tmp_path / "out", "imagefolder", read_bytes=read_bytes)
    assert receipt.notes[0].startswith("1 categories are not in every part of the split, having too few pictures (a/b")
    assert (tmp_path / "out" / "train" / "a_b").is_dir()


def test_export__near_copies_stay_together_also_in_an_export_of_everything(
    workspace: Workspace, tmp_path: Path
) -> None:
    samples = fill(workspace)
    digests = [sample.sha256 or "" for sample in samples]
    chains = [tuple(sorted(digests[first : first + 2])) for first in range(100, 199) if first % 10 != 9]
    with catalog(workspace) as connection:
        replace_near_copies(connection, [(first, second) for first, second in chains])
    publish_snapshot(workspace)
    done = export(workspace, Config(), export_format="csv", out=tmp_path / "out", everything=True, split=SHARES)
    ordinary = export(workspace, Config(), export_format="csv", out=tmp_path / "ordinary", split=SHARES)
    exported = read_export(tmp_path / "out")
    assert done.receipt.kept == 200 and exported.manifest.provenance["split"] == SHARES
    sides: dict[str, set[str | None]] = defaultdict(set)
    for sample in exported.samples:
        if sample.copies_group is not None:
            sides[sample.copies_group].add(sample.split)
    assert len(sides) == 10 and all(len(side) == 1 for side in sides.values())
    same = {sample.sample_id: sample.split for sample in exported.samples}
    assert ordinary.receipt.kept == 169
    assert {s.sample_id: s.split for s in read_export(tmp_path / "ordinary").samples}.items() <= same.items()


def test_command__split_and_everything(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    target = ["export", str(workspace.root), "--format", "hf", "--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, [*target, "--split", "train=0.8,test=0.2", "--everything"], catch_exceptions=False)
    assert json.loads(done.stdout)["marked_by_reason"] == {"leak": 1, "outlier": 30}
    assert read_export(tmp_path / "out").manifest.provenance["split"] == {"train": 0.8, "test": 0.2}
    with pytest.raises(ExportError, match="sum to 1"):
        CliRunner().invoke(app, [*target, "--split", "train=0.8"], catch_exceptions=False)

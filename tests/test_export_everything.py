"""`curate export --everything`: what the cleaned set leaves out stays in, marked; and what else a sample says."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from curation.config import Config
from curation.current_set import read_facts
from curation.export.formats import FORMATS
from curation.export.manifest import content_hash_of
from curation.export.reading import check_export, read_export
from curation.export.tables import SAMPLE_COLUMNS
from curation.export.writing import export_cleaned_set
from curation.sources import list_source
from curation.sources.location import read_bytes
from curation.stages.export import export
from curation.store.connection import catalog
from curation.store.near_copies import replace_near_copies
from curation.store.noise import replace_noise
from curation.store.runs import put_stage
from curation.store.snapshot import publish_snapshot
from curation.values import CleanedSet, DecisionAction, NoiseEstimate
from curation.workspace import Workspace
from tests.cleaned_set_factory import cleaned_set, with_kept
from tests.test_promised_export import decide, fill

CONFIG = Config()


def test_everything__flags_mark_instead_of_setting_aside(workspace: Workspace, tmp_path: Path) -> None:
    samples = fill(workspace)
    decide(
        workspace,
        {
            samples[1].sample_id: DecisionAction.DROP,
            samples[198].sample_id: DecisionAction.UNSURE,
            samples[199].sample_id: DecisionAction.KEEP,
        },
    )
    ordinary = export(workspace, CONFIG, export_format="csv", out=tmp_path / "ordinary")
    done = export(workspace, CONFIG, export_format="csv", out=tmp_path / "out", everything=True)
    assert ordinary.receipt.marked_by_reason == {} and ordinary.receipt.kept == 169
    assert done.receipt.kept == 199 and done.receipt.set_aside_by_reason == {"dropped": 1}
    assert done.receipt.marked_by_reason == {"leak": 1, "outlier": 29}
    assert "30 of 199 samples are marked in set_aside: the cleaned set leaves them out." in done.receipt.notes
    exported = read_export(tmp_path / "out")
    check_export(exported)
    by_name = {sample.image_id: sample for sample in exported.samples}
    assert by_name["198.jpg"].set_aside == "outlier" and by_name["198.jpg"].flags == ("outlier",)
    assert by_name["198.jpg"].noise_probability == pytest.approx(0.95)
    assert by_name["199.jpg"].set_aside is None and by_name["199.jpg"].flags == ("outlier",)
    unmarked = {sample.sample_id for sample in exported.samples if sample.set_aside is None}
    assert unmarked == {sample.sample_id for sample in read_export(tmp_path / "ordinary").samples}


def test_everything__under_a_promise_its_threshold_marks(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    ordinary = export(workspace, CONFIG, export_format="csv", out=tmp_path / "ordinary", promise=0.03)
    done = export(
        workspace, CONFIG, export_format="csv", out=tmp_path / "out", promise=0.03, budget=10, everything=True
    )
    assert done.promise == ordinary.promise and done.promise is not None
    assert done.receipt.kept == 200 and done.receipt.set_aside == 0
    assert done.receipt.marked_by_reason == {"leak": 1, "promise": done.promise.set_aside}
    assert done.receipt.notes[-1].endswith("The promise noise<=0.03 holds of the unmarked samples only.")
    kept = {sample.sample_id for sample in read_export(tmp_path / "ordinary").samples}
    exported = read_export(tmp_path / "out")
    assert {sample.sample_id for sample in exported.samples if sample.set_aside is None} == kept
    listed = (tmp_path / "out" / "review.csv").read_text().splitlines()[1:]
    assert {line.split(",")[0] for line in listed} <= kept
    stricter = export(workspace, CONFIG, export_format="csv", out=tmp_path / "stricter", promise=0.02, everything=True)
    assert stricter.receipt.content_hash != done.receipt.content_hash


def test_samples__suggestions_and_copies_are_in_the_export(workspace: Workspace, tmp_path: Path) -> None:
    samples = fill(workspace)
    with catalog(workspace) as connection:
        estimates = [NoiseEstimate(item.sample_id, 0.75, 0.5, "Robin", 0.6, "Odd.") for item in samples[3:6]]
        replace_noise(connection, estimates, [])
        first, second = sorted([samples[7].sha256 or "", samples[8].sha256 or ""])
        replace_near_copies(connection, [(first, second)])
    publish_snapshot(workspace)
    decide(workspace, {samples[4].sample_id: DecisionAction.KEEP})
    export(workspace, CONFIG, export_format="csv", out=tmp_path / "out")
    by_name = {sample.image_id: sample for sample in read_export(tmp_path / "out").samples}
    assert (by_name["003.jpg"].suggested_category, by_name["003.jpg"].suggested_probability) == ("Robin", 0.6)
    assert (by_name["004.jpg"].suggested_category, by_name["004.jpg"].noise_probability) == (None, 0.0)
    assert by_name["006.jpg"].suggested_probability is None and by_name["006.jpg"].noise_probability is None
    assert by_name["007.jpg"].copies_group == by_name["008.jpg"].copies_group == first[:12]
    assert by_name["003.jpg"].copies_group is None


# ---- the similarity network


def test_network__goes_along_where_it_made_the_weights(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    workspace.network.write_bytes(b"a network")
    trained = {"network": "n1", "file": sha256(b"a network").hexdigest()}
    with catalog(workspace) as connection:
        put_stage(connection, "train-similarity", "f", "r", trained)
        put_stage(connection, "score", "f", "r", {"network": "n1"})
        put_stage(connection, "embed", "f", "r", {"encoder": "timm/x:abc", "encoder name": "timm/x@/x.safetensors"})
    publish_snapshot(workspace)
    export(workspace, CONFIG, export_format="csv", out=tmp_path / "out")
    exported = read_export(tmp_path / "out")
    assert exported.similarity_network is not None and exported.similarity_network.read_bytes() == b"a network"
    assert (exported.encoder, exported.encoder_identity) == ("timm/x@/x.safetensors", "timm/x:abc")
    assert exported.manifest.provenance["network"] == "n1" and exported.manifest.notes == ()
    with catalog(workspace) as connection:
        put_stage(connection, "train-similarity", "f", "r", trained | {"network": "n2"})
    publish_snapshot(workspace)
    export(workspace, CONFIG, export_format="csv", out=tmp_path / "newer")
    assert read_export(tmp_path / "newer").similarity_network is None
    assert "not the one that scored" in read_export(tmp_path / "newer").manifest.notes[0]
    assert read_export(tmp_path / "newer").manifest.provenance["network"] == "n1"  # which made the weights


def test_network__one_that_is_gone_is_told(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    done = export(workspace, CONFIG, export_format="csv", out=tmp_path / "out")
    assert done.receipt.notes == ("The similarity network is not in the export: the workspace holds none.",)
    assert read_export(tmp_path / "out").similarity_network is None
    assert read_facts(workspace).near_copies == []


# ---- every format, and earlier versions


def judged_set(folder: Path) -> CleanedSet:
    """A set whose samples have everything that may be said of one."""
    made = cleaned_set(folder)
    said = {"suggested_probability": 0.25, "flags": ("outlier", "low_quality"), "copies_group": "0123456789ab"}
    kept = [
        replace(sample, set_aside="outlier", suggested_category="a/b", split="train", **said)
        if rank % 2
        else replace(sample, split="val", crawl=replace(sample.crawl, split="the crawl's"))
        for rank, sample in enumerate(made.kept)
    ]
    return with_kept(made, kept)


@pytest.mark.parametrize("name", FORMATS)
def test_formats__hold_all_that_is_said_of_a_sample(name: str, tmp_path: Path) -> None:
    chosen = judged_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", name, read_bytes=read_bytes)
    read = sorted(read_export(tmp_path / "out").samples, key=lambda sample: sample.sample_id)
    written = sorted(chosen.kept, key=lambda sample: sample.sample_id)
    assert read == [replace(sample, weight=round(sample.weight, 6)) for sample in written]


def test_parquet__ingested_again_the_crawls_split_is_the_crawls(tmp_path: Path) -> None:
    chosen = judged_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", "parquet", read_bytes=read_bytes)
    for part in ("train", "val"):
        entries = list_source(tmp_path / "out" / f"{part}.parquet").entries
        assert [entry.crawl for entry in entries] == [sample.crawl for sample in chosen.kept if sample.split == part]


def test_content_hash__marks_count_and_flags_do_not(tmp_path: Path) -> None:
    kept = cleaned_set(tmp_path / "in").kept
    same = content_hash_of(kept)
    said = {"suggested_category": "a/b", "flags": ("leak",), "copies_group": "0", "split": "train"}
    assert content_hash_of([replace(sample, **said) for sample in kept]) == same
    assert content_hash_of([replace(kept[0], set_aside="outlier"), *kept[1:]]) != same


def made_earlier(folder: Path, version: int, without: tuple[str, ...]) -> None:
    """Turn the export in `folder` into one of an earlier schema, whose `samples.csv` had fewer columns."""
    table, manifest = folder / "samples.csv", folder / "manifest.json"
    at = [SAMPLE_COLUMNS.index(name) for name in SAMPLE_COLUMNS if name not in without]
    with table.open(newline="") as file:
        rows = [[row[column] for column in at] for row in csv.reader(file)]
    if version == 1:
        rows[0][rows[0].index("source_split")] = "split"
        for row in rows[1:]:
            row[rows[0].index("split")] = "the crawl's"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    facts = json.loads(manifest.read_text())
    facts["schema_version"] = version
    if version == 1:
        del facts["counts"]["marked_by_reason"]
    for listed in facts["files"]:
        if listed["path"] == "samples.csv":
            listed |= {"size_bytes": table.stat().st_size, "sha256": sha256(table.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(facts))


def test_read_export__of_schema_version_2(tmp_path: Path) -> None:
    """It had no licences, and everything else."""
    chosen = judged_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=read_bytes)
    whole = read_export(tmp_path / "out").samples
    made_earlier(tmp_path / "out", 2, NEW_IN_3)
    exported = read_export(tmp_path / "out")
    check_export(exported)
    assert {sample.crawl.license for sample in whole} == {None, "CC BY-SA 4.0"}
    assert exported.samples == tuple(replace(s, crawl=replace(s.crawl, license=None)) for s in whole)


def test_read_export__of_schema_version_1(tmp_path: Path) -> None:
    """An export of an earlier version: other columns, no marks, a `split` that is the crawl's."""
    chosen = cleaned_set(tmp_path / "in")
    export_cleaned_set(chosen, tmp_path / "out", "csv", read_bytes=read_bytes)
    made_earlier(tmp_path / "out", 1, NEW_IN_2 + NEW_IN_3)
    exported = read_export(tmp_path / "out")
    check_export(exported)
    assert [sample.crawl.split for sample in exported.samples] == ["the crawl's"] * 8
    first = exported.samples[0]
    assert (first.set_aside, first.suggested_category, first.flags, first.copies_group, first.split) == (
        *(None, None, (), None, None),
    )
    assert exported.encoder is None and exported.similarity_network is None


NEW_IN_2 = ("set_aside", "suggested_category", "suggested_probability", "flags", "copies_group", "split")
NEW_IN_3 = ("license",)

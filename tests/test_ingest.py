"""Ingest: what is new is added once, what is wrong is said before anything is written, every file is accounted for."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from curation.errors import SourceError
from curation.sources.location import UnreadableImageError
from curation.stages.ingest import ingest, survey
from curation.store.category_ids import category_ids
from curation.store.connection import catalog
from curation.store.journal import journal
from curation.store.samples import read_samples
from curation.store.snapshot import current_snapshot
from curation.values import CrawlFacts, Role, Sample
from curation.workspace import Workspace
from tests.hostile import make_hostile_files

WriteImage = Callable[..., Path]


def stored(workspace: Workspace) -> dict[str, Sample]:
    with catalog(workspace) as connection:
        return {sample.image_id: sample for sample in read_samples(connection)}


def test_ingest__a_second_time_adds_only_what_is_new(
    workspace: Workspace, tmp_path: Path, write_image: WriteImage
) -> None:
    source = tmp_path / "web"
    write_image(source / "Wren" / "1.jpg", 1)
    write_image(source / "Robin" / "2.jpg", 2)
    first = ingest(workspace, source, Role.NOVEL)
    assert (first.listed, first.added, first.known, first.categories) == (2, 2, 0, 2)
    write_image(source / "Wren" / "3.jpg", 3)
    second = ingest(workspace, source, Role.NOVEL)
    assert (second.listed, second.added, second.known) == (3, 1, 2)
    assert len(stored(workspace)) == 3


def test_ingest__an_image_that_was_replaced_is_another_sample(
    workspace: Workspace, tmp_path: Path, write_image: WriteImage
) -> None:
    source = tmp_path / "web"
    path = write_image(source / "Wren" / "1.jpg", 1)
    ingest(workspace, source, Role.NOVEL)
    before = stored(workspace)["Wren/1.jpg"]
    write_image(path, 2)
    os.utime(path, ns=(1, 1))
    report = ingest(workspace, source, Role.NOVEL)
    after = stored(workspace)
    assert report.changed == 1 and len(after) == 1
    assert after["Wren/1.jpg"].sample_id != before.sample_id and after["Wren/1.jpg"].sha256 != before.sha256


def test_ingest__a_moved_folder_keeps_its_samples(
    workspace: Workspace, tmp_path: Path, write_image: WriteImage
) -> None:
    write_image(tmp_path / "old" / "Wren" / "1.jpg", 1)
    ingest(workspace, tmp_path / "old", Role.NOVEL)
    before = stored(workspace)["Wren/1.jpg"]
    (tmp_path / "old").rename(tmp_path / "new")
    report = ingest(workspace, tmp_path / "new", Role.NOVEL)
    after = stored(workspace)["Wren/1.jpg"]
    assert (report.added, report.moved) == (0, 1)
    assert after.sample_id == before.sample_id and "/new/" in after.uri


def test_ingest__files_that_are_gone_are_counted(workspace: Workspace, tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "web" / "Wren" / "1.jpg", 1)
    write_image(tmp_path / "web" / "Wren" / "2.jpg", 2)
    ingest(workspace, tmp_path / "web", Role.NOVEL)
    (tmp_path / "web" / "Wren" / "2.jpg").unlink()
    assert ingest(workspace, tmp_path / "web", Role.NOVEL).gone == 1


def test_ingest__a_category_is_base_or_novel_never_both(
    workspace: Workspace, tmp_path: Path, write_image: WriteImage
) -> None:
    write_image(tmp_path / "base" / "Wren" / "1.jpg", 1)
    write_image(tmp_path / "web" / "Wren" / "2.jpg", 2)
    write_image(tmp_path / "web" / "Robin" / "3.jpg", 3)
    ingest(workspace, tmp_path / "base", Role.BASE)
    with pytest.raises(SourceError, match="1 categories would be both base and novel: Wren"):
        ingest(workspace, tmp_path / "web", Role.NOVEL)
    assert len(stored(workspace)) == 1  # nothing of the refused source was written
    with journal(workspace.journal) as connection:
        assert category_ids(connection) == {"Wren": 0}
    assert ingest(workspace, tmp_path / "web", Role.TEST).added == 2  # a test set measures any category


def test_ingest__an_empty_source_is_an_error_and_writes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError):
        ingest(workspace, tmp_path / "empty", Role.NOVEL)
    assert stored(workspace) == {}


def test_ingest__category_ids_do_not_depend_on_later_ingests(
    workspace: Workspace, tmp_path: Path, write_image: WriteImage
) -> None:
    write_image(tmp_path / "one" / "Wren" / "1.jpg", 1)
    ingest(workspace, tmp_path / "one", Role.NOVEL)
    write_image(tmp_path / "two" / "Albatross" / "1.jpg", 2)
    ingest(workspace, tmp_path / "two", Role.NOVEL)
    workspace.catalog.unlink()  # the catalogue can be rebuilt, in any order
    ingest(workspace, tmp_path / "two", Role.NOVEL)
    ingest(workspace, tmp_path / "one", Role.NOVEL)
    with journal(workspace.journal) as connection:
        assert category_ids(connection) == {"Wren": 0, "Albatross": 1}


def test_ingest__every_hostile_file_is_accounted_for(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "web" / "Wren"
    folder.mkdir(parents=True)
    expected = make_hostile_files(folder)
    report = ingest(workspace, tmp_path / "web", Role.NOVEL)
    assert report.listed + sum(report.ignored.values()) == len(expected) == len(list(folder.iterdir()))
    assert report.listed == report.added == len(stored(workspace))
    assert all(sample.sha256 or sample.reason for sample in stored(workspace).values())


def test_ingest__what_could_not_be_read_is_read_again_when_it_is_back(
    workspace: Workspace, tmp_path: Path, write_image: WriteImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "web"
    write_image(source / "Wren" / "1.jpg", 1)
    write_image(source / "Wren" / "2.jpg", 2)
    with monkeypatch.context() as vanishing:

        def vanished(uri: str) -> bytes:
            raise UnreadableImageError("the file has vanished")

        vanishing.setattr("curation.stages.ingest.read_bytes", vanished)
        assert ingest(workspace, source, Role.NOVEL).unreadable == 2  # listed, then the disk went away
    assert survey(workspace, source, Role.NOVEL).read == 2
    report = ingest(workspace, source, Role.NOVEL)
    assert (report.read, report.changed, report.unreadable) == (2, 2, 0)
    assert all(sample.sha256 for sample in stored(workspace).values())
    assert ingest(workspace, source, Role.NOVEL).read == 0


def test_ingest__members_that_moved_inside_their_archive_are_not_gone(workspace: Workspace, tmp_path: Path) -> None:
    def write_shard(*names: str) -> None:
        with tarfile.open(tmp_path / "shard.tar", "w") as archive:
            for name in names:
                for suffix, data in ((".jpg", b"\xff\xd8" + name.encode()), (".cls", b"Wren")):
                    member = tarfile.TarInfo(name + suffix)
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))

    write_shard("b", "c")
    ingest(workspace, tmp_path / "shard.tar", Role.NOVEL)
    write_shard("a", "b", "c")
    expected = survey(workspace, tmp_path / "shard.tar", Role.NOVEL)
    report = ingest(workspace, tmp_path / "shard.tar", Role.NOVEL, remove_gone_up_to=1.0)
    assert (report.added, report.moved, report.gone, report.removed) == (1, 2, 0, 0)
    assert (expected.listed, expected.read, expected.gone) == (3, 3, 0)
    assert len(stored(workspace)) == 3


def test_ingest__removes_what_is_gone_up_to_a_share(
    workspace: Workspace, tmp_path: Path, write_image: WriteImage
) -> None:
    paths = [write_image(tmp_path / "web" / "Wren" / f"{number}.jpg", number) for number in range(4)]
    ingest(workspace, tmp_path / "web", Role.NOVEL)
    paths[0].unlink()
    kept = ingest(workspace, tmp_path / "web", Role.NOVEL, remove_gone_up_to=0.2)
    assert (kept.gone, kept.gone_share, kept.removed) == (1, 0.25, 0)
    removed = ingest(workspace, tmp_path / "web", Role.NOVEL, remove_gone_up_to=0.25)
    assert (removed.gone, removed.removed) == (1, 1) and len(stored(workspace)) == 3


def test_ingest__where_nothing_is_new_nothing_is_published(
    workspace: Workspace, tmp_path: Path, write_image: WriteImage
) -> None:
    write_image(tmp_path / "web" / "Wren" / "1.jpg", 1)
    ingest(workspace, tmp_path / "web", Role.NOVEL)
    published = current_snapshot(workspace)
    ingest(workspace, tmp_path / "web", Role.NOVEL)
    assert current_snapshot(workspace) == published


def test_ingest__facts_that_a_manifest_tells_later_are_taken_without_reading(
    workspace: Workspace, tmp_path: Path, write_image: WriteImage
) -> None:
    write_image(tmp_path / "1.jpg", 1)
    write_image(tmp_path / "2.jpg", 2)
    manifest = tmp_path / "set.csv"
    manifest.write_text("image,category\n1.jpg,Wren\n2.jpg,Wren\n")
    ingest(workspace, manifest, Role.NOVEL)
    before, published = stored(workspace), current_snapshot(workspace)
    manifest.write_text("image,category,licence\n1.jpg,Wren,CC BY 4.0\n2.jpg,Wren,\n")
    report = ingest(workspace, manifest, Role.NOVEL)
    assert (report.read, report.known, report.described_anew) == (0, 2, 1)
    assert current_snapshot(workspace) != published
    after = stored(workspace)
    assert after["1.jpg"] == replace(before["1.jpg"], crawl=CrawlFacts(license="CC BY 4.0"))
    assert after["2.jpg"] == before["2.jpg"]
    assert ingest(workspace, manifest, Role.NOVEL).described_anew == 0

"""`curate report` on real workspaces: files, snapshot, records, thumbnails, the command."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import duckdb
import pytest
from PIL import Image
from typer.testing import CliRunner

from app.cli import app
from curation.config import Config, ImagesConfig
from curation.decoding import ImageReference
from curation.errors import ReportError, StoreError
from curation.flags import raise_flags
from curation.flags.inputs import FlagInputs
from curation.report.thumbnails import THUMBNAIL_PX, draw_thumbnails
from curation.sources.location import file_uri
from curation.stages.ingest import ingest
from curation.stages.report import report
from curation.store.connection import catalog
from curation.store.decisions import append_decision
from curation.store.flags import read_flags, replace_flags
from curation.store.journal import journal
from curation.store.noise import replace_noise
from curation.store.runs import put_stage, start_run
from curation.store.samples import read_samples
from curation.store.snapshot import current_snapshot, publish_snapshot, snapshot
from curation.thumbnails import fitted_size
from curation.values import CategoryNoise, Decision, DecisionAction, FlagName, Role
from curation.workspace import Workspace
from tests.report_factory import estimate, flag, novel

ONE_WORKER = ImagesConfig(workers=1)
CONFIG = Config(images=ONE_WORKER)


def fill(workspace: Workspace, folder: Path, write_image) -> None:  # type: ignore[no-untyped-def]
    """Two categories of four images, one of them no image at all, as a first run leaves them."""
    for category in ("wren", "robin"):
        for number in range(4):
            write_image(folder / category / f"{number}.jpg", seed=len(category) * 10 + number)
    (folder / "wren" / "0.jpg").write_bytes(b"<html>")
    ingest(workspace, folder, Role.NOVEL)
    judge(workspace, "20260101T000000-aaaaaa", suspected=1)


def judge(workspace: Workspace, run_id: str, *, suspected: int) -> None:
    """What a run leaves behind: the first `suspected` samples by id are thought wrong."""
    with catalog(workspace) as connection:
        samples = read_samples(connection, Role.NOVEL)
        chances = [0.9 if number < suspected else 0.1 for number in range(len(samples))]
        estimates = [estimate(sample, chance) for sample, chance in zip(samples, chances, strict=True)]
        replace_noise(connection, estimates, [CategoryNoise("wren", 4, 0.3, 0.1, 0.5)])
        replace_flags(connection, [flag(sample, FlagName.OUTLIER) for sample in samples[:suspected]])
        start_run(connection, run_id, "run", CONFIG)
        rates = {"noise rate": 0.25, "noise rate, low": 0.1, "noise rate, high": 0.4}
        put_stage(connection, "noise", "f", run_id, {"judged": len(samples), **rates})
        put_stage(connection, "flag", "f", run_id, {})
    publish_snapshot(workspace)


def test_report__of_a_run_and_what_changed_since(workspace: Workspace, tmp_path: Path, write_image) -> None:  # type: ignore[no-untyped-def]
    fill(workspace, tmp_path / "web", write_image)
    first = report(workspace, CONFIG)
    assert first.path == workspace.runs / "20260101T000000-aaaaaa" / "report.html"
    assert first.facts.changes is None and first.facts.headline.suspected == 1
    page = first.path.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 7 and "No picture: not an image" in page
    assert len(page.encode()) == first.size_bytes
    judge(workspace, "20260102T000000-bbbbbb", suspected=3)
    for _ in range(2):  # a second report of one run has the same one before it
        changes = report(workspace, CONFIG, tmp_path / "monday.html").facts.changes
        assert changes is not None and changes.run_id == "20260101T000000-aaaaaa"
        assert (changes.flags[0].newly, changes.flags[0].no_longer, len(changes.newly_suspected)) == (2, 0, 2)
    assert not (workspace.runs / "20260102T000000-bbbbbb" / "report.html").exists()
    assert (workspace.runs / "20260102T000000-bbbbbb" / "report.json").is_file()


def test_report__needs_nothing_but_decisions(workspace: Workspace) -> None:
    with journal(workspace.journal) as connection:
        append_decision(connection, Decision("gone", DecisionAction.KEEP, "anna"))
    written = report(workspace, CONFIG)
    assert written.path == workspace.runs / "no-run" / "report.html"
    assert "nothing has been run yet" in written.path.read_text(encoding="utf-8")
    assert not workspace.catalog.exists()  # it reads snapshots, and makes nothing


def test_report__does_not_wait_for_a_writer(workspace: Workspace, tmp_path: Path, write_image) -> None:  # type: ignore[no-untyped-def]
    fill(workspace, tmp_path / "web", write_image)
    with catalog(workspace) as connection:
        replace_flags(connection, [])
        assert report(workspace, CONFIG).facts.headline.suspected == 1


def test_report__that_cannot_be_written(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot be written"):
        report(workspace, CONFIG, tmp_path / "missing" / "report.html")


def test_report__refuses_a_snapshot_of_another_version(workspace: Workspace) -> None:
    publish_snapshot(workspace)
    with duckdb.connect(str(current_snapshot(workspace))) as connection:
        connection.execute("UPDATE schema_version SET version = 1")
    with pytest.raises(StoreError, match="published by another version"):
        report(workspace, CONFIG)


def test_command__prints_figures_and_where_the_page_is(workspace: Workspace, tmp_path: Path) -> None:
    def curate(*arguments: str | Path) -> str:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    publish_snapshot(workspace)
    told = curate("report", workspace.root, "--out", tmp_path / "a.html")
    assert f"wrote {tmp_path / 'a.html'}" in told and "note: There are no base images yet" in told
    figures = json.loads(curate("report", workspace.root, "--json"))
    assert figures["headline"]["workspace"] == "ws" and figures["changes"] is None
    assert Path(figures["path"]).stat().st_size == figures["size_bytes"]


def test_thumbnails__whole_pictures_and_reasons(tmp_path: Path) -> None:
    Image.new("RGB", (600, 300), "red").save(tmp_path / "wide.png")
    Image.new("RGB", (10, 20), "blue").save(tmp_path / "small.png")
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    paths = [tmp_path / name for name in ("wide.png", "small.png", "bad.jpg")]
    references = [ImageReference(sha256(path.read_bytes()).hexdigest(), file_uri(path)) for path in paths]
    gone, changed = ImageReference("0" * 64, file_uri(tmp_path / "gone")), replace(references[0], sha256="1" * 64)
    drawn = draw_thumbnails([*references, gone, changed, references[0]], ONE_WORKER)
    wide, small, bad = (drawn[reference.sha256] for reference in references)
    assert (wide.width_px, wide.height_px) == (THUMBNAIL_PX, THUMBNAIL_PX // 2)
    assert (small.width_px, small.height_px) == (THUMBNAIL_PX // 2, THUMBNAIL_PX)  # shown larger than it is
    assert (bad.address, bad.reason != "") == ("", True)
    assert drawn[gone.sha256].reason == "the file has vanished" and "changed since" in drawn[changed.sha256].reason
    picture = Image.open(io.BytesIO(base64.b64decode(wide.address.partition(",")[2])))
    assert picture.size == (THUMBNAIL_PX, THUMBNAIL_PX // 2) and picture.getpixel((0, 0))[0] > 240  # type: ignore[index]
    assert picture.getpixel((THUMBNAIL_PX - 1, THUMBNAIL_PX // 2 - 1))[0] > 240  # type: ignore[index]


@pytest.mark.parametrize(
    ("size", "fitted"), [((304, 152), (152, 76)), ((10, 5), (10, 5)), ((10_000, 1), (152, 1)), ((1, 1), (1, 1))]
)
def test_fitted_size__by_hand(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fitted_size(*size, 152) == fitted


def test_flags__name_the_samples_they_are_copies_of(workspace: Workspace) -> None:
    one, same = novel(1), replace(novel(2), sha256=novel(1).sha256)
    other = replace(novel(3, "robin"), sha256=one.sha256)
    test, base = (replace(novel(4 + n, role=role), sha256=one.sha256) for n, role in enumerate((Role.TEST, Role.BASE)))
    near, nearer = novel(7), novel(8, "finch")
    copies = {str(near.sha256): {str(nearer.sha256): 0.98}, str(nearer.sha256): {str(near.sha256): 0.98}}
    flags = raise_flags(FlagInputs((one, same, other, test, base, near, nearer), {}, {}, near_copies=copies))
    found = {(item.sample_id, item.name): item.copies for item in flags}
    assert found[same.sample_id, FlagName.NEAR_DUPLICATE] == (one.sample_id,)
    assert found[one.sample_id, FlagName.LABEL_CONFLICT] == (other.sample_id,)
    assert found[near.sample_id, FlagName.LABEL_CONFLICT] == (nearer.sample_id,)
    assert found[base.sample_id, FlagName.LEAK] == (test.sample_id,)
    with catalog(workspace) as connection:
        replace_flags(connection, flags)
    publish_snapshot(workspace)
    with snapshot(workspace) as connection:
        kept = [item for items in read_flags(connection).values() for item in items]
    assert {(item.sample_id, item.name): item.copies for item in kept} == found

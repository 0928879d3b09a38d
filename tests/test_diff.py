"""`curate diff`: what came, went and moved between two exports, in numbers, sample by sample, and on a page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from curation.config import Config
from curation.errors import ExportError, ReportError
from curation.export.difference import changes_between, counted
from curation.export.reading import read_export
from curation.export.writing import export_cleaned_set
from curation.report.difference import difference_facts
from curation.sources.location import path_of, read_bytes
from curation.stages.diff import diff
from curation.values import CleanedSet, SetAside
from curation.workspace import Workspace
from tests.cleaned_set_factory import cleaned_set, sample_at, with_kept

SCRIPT = "<script>alert(1)</script>"


def written(folder: Path, made: CleanedSet) -> Path:
    export_cleaned_set(made, folder, "imagefolder", read_bytes=read_bytes)
    return folder


def two_exports(folder: Path) -> tuple[Path, Path]:
    """In the newer one sample 0 was dropped, 1 moved, 2 has vanished without a word, "aaaa" came back, one is new."""
    older = cleaned_set(folder / "in", categories={"Barn Swallow": 7, f"a/b {SCRIPT}": 3, "unused": 11})
    first, second, _, *others = older.kept
    moved = replace(second, category=others[-1].category, category_id=3, noise_probability=0.0)
    (folder / "in" / "new.jpg").write_bytes(read_bytes(first.uri) + b"\0")
    new = sample_at(folder / "in" / "new.jpg", "Barn Swallow", rank=2, weight=1.0, categories=older.categories)
    back = replace(new, sample_id="aaaa", image_id="x.jpg", noise_probability=0.9, suggested_category=SCRIPT)
    gone = SetAside(first.sample_id, first.image_id, first.web_category, first.uri, "dropped", "Dropped by anna.")
    newer = with_kept(older, [moved, *others, new, replace(back, suggested_probability=0.8)])
    newer = replace(newer, set_aside=(older.set_aside[1], gone))
    return written(folder / "older", older), written(folder / "newer", newer)


def test_difference__counts_and_reasons(tmp_path: Path) -> None:
    before, after = (read_export(folder) for folder in two_exports(tmp_path))
    changes = changes_between(before, after)
    found = counted(changes, before)
    assert found.added == {"Barn Swallow": 2} and found.added_because == {"new in the workspace": 1, "was outlier": 1}
    assert found.removed == {"Barn Swallow": 2}
    assert found.removed_because == {"dropped": 1, "not in the workspace any more": 1}
    assert found.moved == {("Barn Swallow", f"a/b {SCRIPT}"): 1} and found.same == 5
    (moved,) = [change for change in changes if change.before and change.after]
    assert moved.reason == "was Barn Swallow" and path_of(moved.image_uri).is_relative_to(tmp_path / "newer")
    assert counted(changes_between(before, before), before).same == 8


def test_difference__marked_samples_count_as_left_out(tmp_path: Path) -> None:
    older = cleaned_set(tmp_path / "in")
    marked = with_kept(older, [replace(older.kept[0], set_aside="promise"), *older.kept[1:]])
    before, after = (
        read_export(written(tmp_path / name, made)) for name, made in (("a", older), ("everything", marked))
    )
    (went,) = changes_between(before, after)
    assert (went.before, went.after, went.reason) == ("Barn Swallow", None, "promise")
    (came,) = changes_between(after, before)
    assert (came.before, came.after, came.reason) == (None, "Barn Swallow", "was promise")


def test_page__shows_pictures_with_reasons_and_nothing_of_names_is_code(workspace: Workspace, tmp_path: Path) -> None:
    older, newer = two_exports(tmp_path)
    found = diff(workspace, Config(), str(older), str(newer), page=tmp_path / "changes.html")
    page = (tmp_path / "changes.html").read_text(encoding="utf-8")
    assert len(found.changes) == 5 == page.count("data:image/jpeg;base64,")
    assert "was outlier" in page and "was Barn Swallow" in page and "not in the workspace any more" in page
    assert "0 shown" not in page and SCRIPT not in page and "&lt;script&gt;" in page
    heads = re.findall(r"<h2>(\w+): (\d+)</h2>", page)
    assert heads == [("Moved", "1"), ("Came", "2"), ("Went", "2")]


def test_page__of_equal_exports_says_so(workspace: Workspace, tmp_path: Path) -> None:
    folder = written(tmp_path / "only", cleaned_set(tmp_path / "in"))
    diff(workspace, Config(), str(folder), str(folder), page=tmp_path / "changes.html")
    page = (tmp_path / "changes.html").read_text(encoding="utf-8")
    assert "No image is new." in page and "No image is missing." in page and "data:image" not in page


def test_page__is_bounded_and_shows_the_least_expected(tmp_path: Path) -> None:
    made = cleaned_set(tmp_path / "in", per_category=20)
    noisy = [replace(item, noise_probability=rank / 100) for rank, item in enumerate(made.kept)]
    full, empty = with_kept(made, noisy), with_kept(made, noisy[-1:])
    before, after = (read_export(written(tmp_path / name, x)) for name, x in (("a", full), ("b", empty)))
    went = difference_facts(before, after, changes_between(before, after))
    assert [(group.samples, len(group.pictures)) for group in went.went] == [(20, 12), (19, 12)]
    assert went.left_out == 39 - 24 and went.went[0].pictures[0].noise_probability == 0.0
    came = difference_facts(after, before, changes_between(after, before))
    assert came.came[0].pictures[0].noise_probability == 0.19


def test_diff__errors(workspace: Workspace, tmp_path: Path) -> None:
    folder = str(written(tmp_path / "only", cleaned_set(tmp_path / "in")))
    with pytest.raises(ExportError, match=r"tuesday is neither .* `curate export --out` writes one"):
        diff(workspace, Config(), folder, "tuesday")
    Path(folder).rename(workspace.exports / "monday")
    with pytest.raises(ExportError, match=r"There are: monday\."):
        diff(workspace, Config(), "monday", "tuesday")
    folder = "monday"
    with pytest.raises(ReportError, match="cannot be written"):
        diff(workspace, Config(), folder, folder, page=tmp_path / "no folder" / "page.html")


def test_command__names_and_folders_as_text_and_json(workspace: Workspace, tmp_path: Path) -> None:
    older, newer = two_exports(tmp_path)
    older.rename(workspace.exports / "monday")

    def curate(*arguments: str | Path) -> str:
        done = CliRunner().invoke(app, ["diff", str(workspace.root), *map(str, arguments)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    table = curate("monday", newer, "--out", tmp_path / "page.html")
    assert "monday → newer" in table and "went because" in table and "wrote " in table
    printed = json.loads(curate("monday", newer, "--json"))
    assert printed["same"] == 5 and printed["removed_because"]["dropped"] == 1 and printed["page"] is None
    assert printed["moved"] == [{"before": "Barn Swallow", "after": f"a/b {SCRIPT}", "samples": 1}]
    assert {change["reason"] for change in printed["changes"]} == {
        *("dropped", "not in the workspace any more", "was outlier", "new in the workspace", "was Barn Swallow"),
    }

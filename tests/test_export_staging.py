"""An export appears whole or not at all, and never in the place of somebody else's files."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from curation.errors import ExportError
from curation.export.reading import read_export
from curation.export.writing import export_cleaned_set
from curation.sources.location import read_bytes
from curation.values import CleanedSet
from tests.cleaned_set_factory import cleaned_set, with_kept


def partials(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


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

"""A disk that fills up at any step, and one that cannot be written: said, nothing lost, and made good afterwards."""

from __future__ import annotations

import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from curation.workspace import Workspace
from tests.benchmarks.faults_mounts import NoMountsError, make_read_only, on_small_disk
from tests.benchmarks.faults_review import Browser, open_desk, page_of, records
from tests.benchmarks.faults_world import (
    FaultRow,
    World,
    assert_same,
    assert_sound,
    curate,
    decide,
    failed_in_words,
    members,
    outcome,
    succeed,
)

_DISK_MB = 96
_SAYS_SO = ("space", "disk", "full")


def fill_disk(world: World, times: int, *, seed: int = 0) -> FaultRow:
    """Let nights meet a full disk, at steps that depend on how much was left; then free it and do the night again."""
    return _on_disk("disk full in a night", world, lambda disk: _fill_disk(world, disk, times, random.Random(seed)))


def fill_disk_elsewhere(world: World) -> FaultRow:
    """A full disk under the review app, an export, and a night that looks first."""
    return _on_disk("disk full elsewhere", world, lambda disk: _fill_disk_elsewhere(world, disk))


def read_only_disk(world: World) -> FaultRow:
    """Every verb on a workspace that cannot be written."""
    return _on_disk("read-only workspace", world, lambda disk: _read_only_disk(world, disk))


def _on_disk(fault, world, work):  # type: ignore[no-untyped-def]
    disk = world.folder / "disk"
    try:
        return on_small_disk(disk, _DISK_MB, lambda: work(disk))
    except NoMountsError as error:
        return FaultRow(fault, f"skipped: {error}", 0, "", "")


def _fill_disk(world: World, disk: Path, times: int, chance: random.Random) -> FaultRow:
    said: dict[str, str] = {}
    enough = 0
    for number in range(times):
        workspace = world.copy(world.empty, f"full-{number}", disk)
        decide(workspace, world.decisions)
        left_kb = (0, 700, 2500, 5000)[number] if number < 4 else chance.randrange(0, 12_000)
        filler = _fill(disk, left_kb)
        found = curate("nightly", str(workspace.root))
        if found.status == 0:
            enough += 1
        else:
            message = failed_in_words(found)
            assert any(word in message for word in _SAYS_SO) and "move it away" not in message, message
            said.setdefault(_step_of(found.errors), message)
        filler.unlink()
        succeed(curate("nightly", str(workspace.root)))
        assert_sound(workspace, world.expected)
        shutil.rmtree(workspace.root)
    steps = ", ".join(sorted(said))
    return FaultRow(
        "disk full in a night",
        f"a tmpfs with 0 to 12 MB left; met at: {steps}; {enough} times it was enough",
        times,
        next(iter(said.values()), ""),
        "one sentence with a hint; space freed, the next night ends as undisturbed",
    )


def _step_of(errors: str) -> str:
    """What a night had said last before it failed."""
    lines = [line.partition("  ")[2] for line in errors.splitlines() if line[:2] == "20" and "FAILED" not in line]
    before = [line for line in lines if not line.startswith(("night ", "PROBLEM", "the log"))]
    return before[-1].split()[0].rstrip(":") if before else "the start"


def _fill(disk: Path, left_kb: int) -> Path:
    """A file that leaves so much of the disk."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        while (more := shutil.disk_usage(disk).free - 1024 * left_kb) > 0:
            try:
                os.posix_fallocate(file.fileno(), file.tell(), more)
            except OSError:
                more //= 2  # somebody else was faster
                os.posix_fallocate(file.fileno(), file.tell(), more)
            file.seek(more, os.SEEK_CUR)
    return filler


def _fill_disk_elsewhere(world: World, disk: Path) -> FaultRow:
    workspace = world.copy(world.finished, "ws", disk)
    said = [_full_journal(workspace, disk), _full_export(workspace, disk)]
    config = workspace.config_file.read_text(encoding="utf-8")
    workspace.config_file.write_text(config.replace("least_free_gb = 0.0", "least_free_gb = 1.0"), encoding="utf-8")
    looked = failed_in_words(curate("nightly", str(workspace.root)))
    assert "a night needs 1.0 GB" in looked, looked
    workspace.config_file.write_text(config, encoding="utf-8")
    succeed(curate("nightly", str(workspace.root)))
    found = outcome(workspace)
    assert_same(found, {part: world.expected[part] for part in ("samples", "images", "evidence")}, workspace.root)
    return FaultRow(
        "disk full elsewhere",
        "review app, thumbnails, export, a night that looks first",
        4,
        f"{looked} / review: {said[0]} / export: {said[1]}",
        "the annotator is told, and all that was pressed is written once there is space; no half export; no work begun",
    )


def _full_journal(workspace: Workspace, disk: Path) -> str:
    """An annotator goes on pressing keys on a full disk."""
    browser = Browser(random.Random(0))
    before = len(records(workspace))
    with ThreadPoolExecutor(1) as workers:
        desk = open_desk(workspace, workers)
        browser.page = page_of(desk)
        shutil.rmtree(workspace.thumbnails)
        filler = _fill(disk, 0)
        for _ in range(400):  # what is left of the last page of the log takes a few
            browser.act()
        desk.receive([browser.parcel()], lambda: True)
        told = desk.notice or ""
        browser.hear(desk.acknowledged.get("browser", 0))
        assert "Not saved yet" in told and "Free some space" in told and browser.outbox, told
        assert len(records(workspace)) - before >= browser.acknowledged
        filler.unlink()
        desk.receive([browser.parcel()], lambda: True)
        browser.hear(desk.acknowledged["browser"])
        assert desk.notice is None and not browser.outbox
    assert records(workspace)[before:] == browser.written
    return told


def _full_export(workspace: Workspace, disk: Path) -> str:
    out = disk / "out"
    words = ["export", str(workspace.root), "--format", "webdataset", "--out", str(out)]
    filler = _fill(disk, 60)
    said = failed_in_words(curate(*words))
    left = [path.name for path in disk.iterdir() if path.name.startswith((".out", "out"))]
    assert not left, left
    filler.unlink()
    succeed(curate(*words))
    assert members(out)
    shutil.rmtree(out)
    return said


_READING = {  # verb -> its arguments, with a place elsewhere where it writes something
    "status": [],
    "doctor": [],
    "scores": ["--out", "{out}/scores.csv"],
    "report": ["--out", "{out}/report.html"],
    "search": ["--image", "{image}"],
    "export": ["--format", "csv", "--out", "{out}/export"],
    "backup": ["{out}/backup.tar"],
}
_WRITING = {"nightly": [], "run": [], "embed": [], "review": []}


def _read_only_disk(world: World, disk: Path) -> FaultRow:
    workspace = world.copy(world.finished, "ws", disk)
    image = min(Path(world.config.nightly.sources[1].path).rglob("*.jpg"))
    succeed(curate("search", str(workspace.root), "--image", str(image)))
    out = world.folder / "elsewhere"
    out.mkdir()
    make_read_only(disk)
    works, refused = [], {}
    for verb, arguments in (_READING | _WRITING).items():
        words = [word.format(out=out, image=image) for word in arguments]
        found = curate(verb, str(workspace.root), *words)
        if found.status == 0 or (verb == "doctor" and "cannot be written by this user" in found.output):
            works.append(verb)
        else:
            refused[verb] = failed_in_words(found)
            assert "ead-only" in refused[verb], refused
    assert set(refused) == {*_WRITING, "export"}, refused
    return FaultRow(
        "read-only workspace",
        "every verb on a disk mounted read-only",
        len(_READING) + len(_WRITING),
        refused["nightly"],
        f"{', '.join(works)} work; {', '.join(refused)} say why not",
    )

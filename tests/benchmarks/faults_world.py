"""A small workspace before and after an undisturbed night, and how another is held against it after a fault."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from curation.config import Config, EmbeddingConfig, SimilarityConfig
from curation.demo.images import make_demo_images
from curation.doctor import examine
from curation.doctor.finding import Level
from curation.export.reading import check_export, read_export
from curation.history.keeping import read_history
from curation.nightly_config import NightlyConfig, NightlySource
from curation.store.connection import Connection, catalog
from curation.store.decisions import append_decision, latest_decisions
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.images import read_image_facts
from curation.store.journal import journal
from curation.store.noise import read_category_noise, read_noise_estimates
from curation.store.samples import read_samples
from curation.store.snapshot import snapshot
from curation.values import Decision, DecisionAction, Role
from curation.workspace import Workspace, create_workspace
from pipelines.nightly.flow import nightly

TOKEN = "CURATE_FAULTS"  # noqa: S105 - marks whatever a disturbed command starts, to find who outlives it
_ORPHANS_S = 20.0  # for a worker to see that its parent is dead

# Small shards and few batches: every stage has many moments to be killed at, and a run lasts seconds.
SMALL = Config(
    embedding=EmbeddingConfig(shard_size=16),
    similarity=SimilarityConfig(batches=60, batch_size=32, categories_per_batch=4, held_out=0.4),
)

Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One fault: what was done and how often, what the program said to it, and what was seen to hold after each."""

    fault: str
    done: str
    times: int
    said: str
    held: str


@dataclass(frozen=True, slots=True)
class Command:
    """How a command ended: its exit status (negative: the signal that ended it) and what it printed."""

    status: int
    output: str
    errors: str

    @property
    def message(self) -> str:
        """What it said was wrong, in one line."""
        lines = [line for line in self.errors.splitlines() if line.startswith(("error:", "hint:"))]
        problems = [line.partition("PROBLEM: ")[2] for line in self.errors.splitlines() if "PROBLEM: " in line]
        return " ".join(line.strip() for line in (*lines, *problems))


@dataclass(frozen=True)
class World:
    """`empty` is a workspace before its first night, `finished` after it, `expected` what that night came to.

    `decisions` are what people decide of it meanwhile. Nobody changes these workspaces: faults befall copies.
    """

    folder: Path
    config: Config
    empty: Workspace
    finished: Workspace
    expected: Outcome
    decisions: tuple[Decision, ...]
    night_s: float

    def copy(self, workspace: Workspace, name: str, folder: Path | None = None) -> Workspace:
        """The same workspace under another name."""
        root = (folder or self.folder) / name
        shutil.copytree(workspace.root, root, symlinks=True)
        return Workspace(root)


def make_world(folder: Path) -> World:
    """Draw images, make a workspace whose nights take them up, and do one night in peace."""
    make_demo_images(
        folder / "images",
        base_categories=8,
        novel_categories=3,
        base_images=12,
        novel_images=12,
        test_images=2,
        workers=1,
    )
    category = min((folder / "images" / "novel").iterdir())
    (category / "broken.jpg").write_bytes(b"<html>no image here</html>")
    sources = tuple(NightlySource(path=str(folder / "images" / role), role=role) for role in (Role.BASE, Role.NOVEL))
    settings = NightlyConfig(sources=sources, export_format="imagefolder", promise=0.9, least_free_gb=0.0)
    config = SMALL.model_copy(update={"nightly": settings})
    first = create_workspace(folder / "first", config)
    result = nightly(first, config)  # in this process: what it has loaded and compiled its children have too
    return world_after(folder, first, config, night_s=sum(result.durations_s.values()))


def world_after(folder: Path, first: Workspace, config: Config, *, night_s: float) -> World:
    """The world of a workspace on which one night of `night_s` has been done: another takes in what people decided."""
    from app import cli  # noqa: F401 - a forked command has it then

    empty = create_workspace(folder / "empty", config)
    finished = Workspace(folder / "finished")
    shutil.copytree(first.root, finished.root, symlinks=True)
    decisions = _some_decisions(finished)
    decide(finished, decisions)
    nightly(finished, config)
    expected = outcome(finished)
    assert_sound(finished, expected)
    return World(folder, config, empty, finished, expected, decisions, night_s)


def _some_decisions(workspace: Workspace) -> tuple[Decision, ...]:
    """A word on every third novel sample, right or not."""
    with catalog(workspace) as connection:
        novel = read_samples(connection, Role.NOVEL)[::3]
    actions = (DecisionAction.KEEP, DecisionAction.DROP, DecisionAction.UNSURE)
    return tuple(
        Decision(sample.sample_id, actions[place % 3], f"annotator {place % 2}") for place, sample in enumerate(novel)
    )


def decide(workspace: Workspace, decisions: Sequence[Decision]) -> None:
    """Write decisions one by one, as they come."""
    for decision in decisions:
        with journal(workspace.journal) as connection:
            append_decision(connection, decision)


def curate(
    *words: str, meanwhile: Callable[[int], None] | None = None, before: Callable[[], None] | None = None
) -> Command:
    """Run `curate WORDS` in a forked process that has everything imported, in a process group of its own.

    `meanwhile` is given its process id while it runs; `before` is called in it before it begins.
    """
    child, paths = begin(*words, before=before)
    if meanwhile is not None:
        meanwhile(child)
    return end(child, paths)


def begin(*words: str, before: Callable[[], None] | None = None) -> tuple[int, tuple[Path, Path]]:
    """Start `curate WORDS` as `curate` does, and leave it running."""
    paths = tuple(Path(tempfile.mkstemp(prefix="curate-faults-")[1]) for _ in range(2))
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _be(words, paths, before)
    with suppress(OSError):  # the child does the same: whoever is first
        os.setpgid(child, child)
    return child, paths  # type: ignore[return-value]


def end(child: int, paths: tuple[Path, Path]) -> Command:
    """Wait for a command that `begin` has started."""
    _, status = os.waitpid(child, 0)
    output, errors = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
    for path in paths:
        path.unlink()
    return Command(os.waitstatus_to_exitcode(status), output, errors)


def _be(words: Sequence[str], paths: Sequence[Path], before: Callable[[], None] | None) -> None:
    """Become the command; never returns."""
    status = 1
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        os.environ[TOKEN] = str(os.getpid())
        for path, descriptor in zip(paths, (1, 2), strict=True):
            os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
        # pytest has put files of its own in their place
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if before is not None:
            before()
        from app.cli import main

        with patch.object(sys, "argv", ["curate", *words]):
            main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def succeed(command: Command) -> Command:
    """The command, which must have ended with 0."""
    if command.status != 0:
        raise AssertionError(f"ended with status {command.status}: {command.errors[-3000:]}")
    return command


def failed_in_words(command: Command) -> str:
    """What the command said, which must have ended with 1 and one of our sentences, not with a traceback."""
    if command.status != 1 or "Traceback" in command.errors or not command.message:
        raise AssertionError(f"ended with status {command.status}, not with an error of ours: {command.errors[-3000:]}")
    return command.message


def outcome(workspace: Workspace) -> Outcome:
    """Everything that nights decide, bit for bit, and what people decided."""
    with catalog(workspace) as connection:
        found = _results(connection)
    with journal(workspace.journal) as connection_to_journal:
        records = connection_to_journal.execute("SELECT sample_id, action, annotator FROM decisions").fetchall()
        found["decisions"] = latest_decisions(connection_to_journal)
    return found | {"records": Counter(records), "export": newest_export(workspace)}


def _results(connection: Connection) -> Outcome:
    return {
        "samples": {sample.sample_id: sample for sample in read_samples(connection)},
        "images": read_image_facts(connection),
        "evidence": read_evidence(connection),
        "noise": read_noise_estimates(connection),
        "noise of categories": read_category_noise(connection),
        "flags": read_flags(connection),
    }


def newest_export(workspace: Workspace) -> Mapping[str, tuple[str, float, str]]:
    """Sample -> category, weight and image of the export that the link leads to, which must be whole."""
    link = workspace.exports / "nightly-latest"
    return members(link) if link.is_symlink() else {}


def members(folder: Path) -> Mapping[str, tuple[str, float, str]]:
    """Sample -> category, weight and image of an export, read back and checked."""
    exported = read_export(folder)
    check_export(exported)
    return {
        sample.sample_id: (sample.category, float(weight), sample.sha256)
        for sample, weight in zip(exported.samples, exported.weights, strict=True)
    }


def assert_same(found: Outcome, expected: Outcome, where: object) -> None:
    """Raise where two outcomes differ, and say in what."""
    for part, values in expected.items():
        if found[part] != values:
            raise AssertionError(f"{where}: {part} differ: {_difference(found[part], values)}")


def _difference(found: Any, expected: Any) -> str:
    if isinstance(expected, Mapping):
        for key in sorted(expected.keys() | found.keys(), key=str):
            if found.get(key) != expected.get(key):
                return f"{key}: {found.get(key)} instead of {expected.get(key)}"
    return f"{found} instead of {expected}"


def assert_sound(workspace: Workspace, expected: Outcome) -> None:
    """Raise unless the workspace ended as `expected`: results, what readers see, exports, history, no complaint."""
    assert_same(outcome(workspace), expected, workspace.root)
    with snapshot(workspace) as connection:
        assert_same(_results(connection), {part: expected[part] for part in _results(connection)}, "the snapshot")
    half = [path.name for path in workspace.exports.iterdir() if path.name.endswith((".partial", ".replaced"))]
    for folder in workspace.exports.iterdir():
        if not folder.name.startswith(".") and folder.is_dir():
            members(folder)
    history = read_history(workspace)
    nights = [night.images for night in history.nights]
    novel = sum(sample.role is Role.NOVEL for sample in expected["samples"].values())
    wrong = [f"{one.check}: {one.sentence}" for one in examine(workspace) if one.level is not Level.OK]
    if half or history.damaged or not nights or nights[-1] != novel or wrong:
        raise AssertionError(
            f"{workspace.root}: half exports {half}, damaged nights {history.damaged}, images of the nights {nights} "
            f"where there are {novel}, and the doctor says {wrong}"
        )


def started_by(child: int) -> set[int]:
    """The processes that a command of ours has started, and that have not ended."""
    mark = f"{TOKEN}={child}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != child:
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
    return found


def assert_no_orphans(child: int) -> float:
    """Wait until nothing that a dead command started is left; returns how long that took, seconds."""
    began = time.monotonic()
    while left := started_by(child):
        if time.monotonic() - began > _ORPHANS_S:
            raise AssertionError(f"processes {sorted(left)} outlive the command that started them")
        time.sleep(0.02)
    return time.monotonic() - began

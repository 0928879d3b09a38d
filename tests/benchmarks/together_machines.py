"""Commands beside people, each a process of its own, again and again: nights, exports, searches, status, backups."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from curation.store.snapshot import is_published
from curation.workspace import Workspace
from tests.benchmarks.together_people import Wait
from tests.benchmarks.together_set import Place, arrivals

_ROOT = Path(__file__).parents[2]
_FORMATS = ("csv", "parquet", "imagefolder", "webdataset")


@dataclass
class Done:
    """What the commands did: how long each took, work included; those that failed; which process was which."""

    took: list[Wait] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    commands: dict[int, str] = field(default_factory=dict)
    exports: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Commands:
    """`curate` on the workspace of `place` until `until` (seconds since 1970); transactions are noted in `log`."""

    place: Place
    folder: Path
    log: Path
    until: float
    done: Done
    with_looks: bool = True

    def run(self, *words: str) -> int:
        """One command, to its end; returns its exit status."""
        began_at, started = time.time(), time.perf_counter()
        program = [sys.executable, "-m", "tests.benchmarks.together_watch", str(self.log), *words]
        process = subprocess.Popen(
            program, cwd=_ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=_environment()
        )
        self.done.commands[process.pid] = words[0]
        said = process.communicate()[0]
        self.done.took.append(Wait(f"{words[0]}, whole command", began_at, time.perf_counter() - started))
        if process.returncode:
            self.done.failures.append(f"{' '.join(words)} ended with {process.returncode}: {said[-2000:]}")
        return process.returncode

    def nights(self, each_night: int) -> None:
        """A night after the other, new images before each; it works on without new ones when all have arrived."""
        coming = arrivals(self.place, each_night)
        while time.time() < self.until:
            next(coming, None)
            self.run("nightly", str(self.place.workspace.root), "--json")

    def exports(self) -> None:
        """Without pause, in every format, under the flags and under a promise."""
        number = 0
        while time.time() < self.until:
            out = self.folder / "exports" / f"{number:04}"
            promise = ["--promise", "noise<=0.3"] if number % 2 else []
            self.run(
                "export", str(self.place.workspace.root), "--format", _FORMATS[number % len(_FORMATS)],
                "--out", str(out), *promise,
            )  # fmt: skip
            self.done.exports.append(out)
            number += 1

    def looks(self, pause_s: float) -> None:
        """Now and then somebody asks for the status, searches for what looks like a picture, and takes a backup."""
        root = str(self.place.workspace.root)
        pictures = sorted(self.place.images.glob("novel/*/*.jpg"))
        number = 0
        while self.with_looks and time.time() < self.until:
            self.run("status", root, "--json")
            self.run("search", root, "--image", str(pictures[number * 97 % len(pictures)]), "--json")
            if number % 4 == 0:
                self.run("backup", root, str(self.folder / f"backup-{number:04}.tar"))
            number += 1
            time.sleep(max(0.0, min(pause_s, self.until - time.time())))


@dataclass
class Archive:
    """Every snapshot that was published, kept under a second name before it is taken away; how busy the cores are."""

    workspace: Workspace
    folder: Path
    running: list[tuple[float, int]] = field(default_factory=list)

    def keep(self, until: Callable[[], bool]) -> None:
        """Look ten times a second until it is over."""
        self.folder.mkdir()
        while not until():
            self.look()
            time.sleep(0.1)
        self.look()

    def look(self) -> None:
        """Keep what is new; note how many threads of all the machine want a core just now."""
        running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
        self.running.append((time.time(), running - 1))  # this one is not meant
        if not is_published(self.workspace):
            return
        for path in self.workspace.snapshots.glob("[0-9]*.duckdb"):
            kept = self.folder / path.name
            if not kept.exists():
                os.link(path, kept)


def in_threads(*work: Callable[[], None]) -> list[threading.Thread]:
    """Begin all of it; they end by themselves."""
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    return threads


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder

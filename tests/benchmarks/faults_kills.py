"""`kill -9` at random moments of a night and of an export: the next one ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from typing import Any

from curation.export.manifest import is_export
from curation.values import Decision
from curation.workspace import Workspace
from tests.benchmarks.faults_world import (
    Command,
    FaultRow,
    World,
    assert_no_orphans,
    assert_sound,
    curate,
    decide,
    members,
    started_by,
    succeed,
)

_LINES = 17  # that a night says
_FORMATS = ("imagefolder", "csv", "parquet", "webdataset")


def kill_nights(world: World, deaths: int, *, seed: int = 0, fewest_cycles: int = 1) -> FaultRow:
    """Kill nights on copies of a workspace, at random moments, while people decide, until `deaths` have died.

    Two of three times only the process itself is killed, and what it started has to end by itself; else all of it is.
    Every second workspace has had its first night, and has only what is new to do.
    """
    chance = random.Random(seed)
    died_in: Counter[str] = Counter()
    cycles, longest_orphan_s, said = 0, 0.0, ""
    while died_in.total() < deaths or cycles < fewest_cycles:
        workspace = world.copy(world.finished if cycles % 2 else world.empty, f"night-{seed}-{cycles}")
        undecided = list(world.decisions) if not cycles % 2 else []
        while died_in.total() < deaths:
            killer = _Killer(chance, workspace, undecided, world.night_s)
            command = curate("nightly", str(workspace.root), meanwhile=killer)
            if command.status != -signal.SIGKILL:
                succeed(command)
                break
            died_in[_last_step(workspace)] += 1
            longest_orphan_s = max(longest_orphan_s, assert_no_orphans(killer.child))
        decide(workspace, undecided)
        last = succeed(curate("nightly", str(workspace.root)))
        said = _took_over(workspace) or said
        assert_sound(workspace, world.expected)
        assert "FAILED" not in last.errors
        shutil.rmtree(workspace.root)
        cycles += 1
    where = ", ".join(f"{step} {number}" for step, number in sorted(died_in.items()))
    return FaultRow(
        "kill -9 of a night",
        f"at random moments, {cycles} workspaces; last said before: {where}",
        died_in.total(),
        said,
        "results, decisions, export, snapshot, history as undisturbed; the doctor finds nothing; "
        f"what it had started ended within {longest_orphan_s:.1f} s",
    )


class _Killer:
    """Lets a night go on for a while, decides meanwhile, then kills it, alone or with all that it has started.

    Half of the nights die at any moment, which is mostly in a long stage; the others soon after any of the lines that
    they say, so that short steps have their turn too.
    """

    def __init__(self, chance: random.Random, workspace: Workspace, undecided: list[Decision], night_s: float) -> None:
        self._chance, self._workspace, self._undecided, self._night_s = chance, workspace, undecided, night_s
        self._earlier = set(_logs(workspace))
        self.child = 0

    def __call__(self, child: int) -> None:
        self.child = child
        if self._chance.random() < 0.5:
            self._live(self._chance.uniform(0, self._night_s))
        else:
            self._live(2 * self._night_s, lines=self._chance.randint(0, _LINES))
            self._live(self._chance.uniform(0, 0.3))
        everything = self._chance.random() < 1 / 3
        others = started_by(child) if everything else set()
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL) if everything else os.kill(child, signal.SIGKILL)
        for other in others:
            with suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)

    def _live(self, at_most_s: float, lines: int | None = None) -> None:
        """Let it go on for so long, or until it has said so many lines, or has come to its end."""
        ends = time.monotonic() + at_most_s
        while (left := ends - time.monotonic()) > 0 and not _is_over(self.child):
            if lines is not None and len(_events(self._workspace, self._earlier)) >= lines:
                return
            if self._undecided and self._chance.random() < 0.2:
                decide(self._workspace, [self._undecided.pop()])
            time.sleep(min(left, 0.02))


def _is_over(child: int) -> bool:
    """Whether a child of ours has ended; it is not waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _last_step(workspace: Workspace) -> str:
    """What the newest night had said last: the step or the stage before the one it died in."""
    events = _events(workspace)
    return str(events[-1].get("stage", events[-1]["event"])) if events else "nothing"


def _logs(workspace: Workspace) -> list[Path]:
    return sorted(workspace.runs.glob("*/nightly.jsonl"))


def _events(workspace: Workspace, earlier: Container[Path] = ()) -> list[dict[str, Any]]:
    """The lines of the newest night's log, if it is not an earlier one, but for one that is being written."""
    logs = [log for log in _logs(workspace) if log not in earlier]
    lines = logs[-1].read_text(encoding="utf-8").splitlines(keepends=True) if logs else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _took_over(workspace: Workspace) -> str:
    """What a night said that followed a killed one."""
    for log in _logs(workspace):
        for line in log.read_text(encoding="utf-8").splitlines():
            if (event := json.loads(line))["event"] == "took over":
                return str(event["said"])
    return ""


def kill_exports(world: World, deaths: int, *, seed: int = 0) -> FaultRow:
    """Kill exports that replace an earlier one: the old one is there or the new one, whole, or it is put back."""
    chance = random.Random(seed)
    workspace = world.copy(world.finished, f"export-{seed}")
    outs = [world.folder / f"exported-{seed}" / name for name in _FORMATS]
    expected, seconds = {}, {}
    for out in outs:
        started = time.monotonic()
        succeed(_export(workspace, out))
        seconds[out], expected[out] = time.monotonic() - started, members(out)
    died = put_back = 0
    while died < deaths:
        out = chance.choice(outs)
        command = _export(workspace, out, meanwhile=_after(chance.uniform(0, 1.2 * seconds[out])))
        died += command.status == -signal.SIGKILL
        if not out.exists():
            put_back += 1
        elif members(out) != expected[out]:
            raise AssertionError(f"{out} is neither the old nor the new export")
        if chance.random() < 0.2:
            _check_rerun(workspace, out, expected[out])
    for out in outs:
        _check_rerun(workspace, out, expected[out])
    assert_sound(workspace, world.expected)
    return FaultRow(
        "kill -9 of an export",
        f"in {len(outs)} formats, over an earlier one",
        died,
        "",
        f"the old or the new one, whole ({put_back} times died between two renames, put right by the next)",
    )


def _export(workspace: Workspace, out: Path, meanwhile: Callable[[int], None] | None = None) -> Command:
    words = ["export", str(workspace.root), "--format", out.name, "--out", str(out)]
    return curate(*words, *(["--overwrite"] if out.exists() else []), meanwhile=meanwhile)


def _after(seconds: float) -> Callable[[int], None]:
    def kill(child: int) -> None:
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    return kill


def _check_rerun(workspace: Workspace, out: Path, expected: object) -> None:
    """An export after killed ones: the same set, and nothing left of them."""
    succeed(_export(workspace, out))
    left = [path.name for path in out.parent.iterdir() if path.name.startswith(f".{out.name}.")]
    if members(out) != expected or not is_export(out) or left:
        raise AssertionError(f"{out} is not what an undisturbed export gives, or left {left} beside it")

"""Two starts at once, a clock that goes back, and decoding processes that are killed for memory."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo

from curation.decoding import KILLED
from curation.history.keeping import read_history
from curation.store.connection import catalog
from curation.store.images import read_image_facts
from tests.benchmarks.faults_world import (
    FaultRow,
    World,
    assert_no_orphans,
    assert_sound,
    begin,
    curate,
    decide,
    end,
    failed_in_words,
    started_by,
    succeed,
)


def start_two_at_once(world: World, times: int) -> FaultRow:
    """Start two nights at the same moment: one runs, the other says who does since when."""
    workspace = world.copy(world.finished, "two")
    said = ""
    for _ in range(times):
        gate, opens = os.pipe()

        def wait(gate: int = gate, opens: int = opens) -> None:
            os.close(opens)
            os.read(gate, 1)  # until the other side is closed

        started = [begin("nightly", str(workspace.root), before=wait) for _ in range(2)]
        os.close(opens)
        os.close(gate)
        done = [end(*one) for one in started]
        refused = [command for command in done if command.status == 1]
        assert sorted(command.status for command in done) == [0, 1], [command.errors for command in done]
        said = failed_in_words(refused[0])
        runs = next(child for (child, _), command in zip(started, done, strict=True) if command.status == 0)
        assert f"(process {runs} on " in said and "has been running since" in said, said
    assert len(read_history(workspace).nights) == 2 + times
    assert_sound(workspace, world.expected)
    shutil.rmtree(workspace.root)
    return FaultRow(
        "two starts at once",
        "two processes let go at the same moment",
        times,
        said,
        "one night is done, the other ends with 1; one entry in the history each time",
    )


def set_clock_back(world: World, times: int) -> FaultRow:
    """Let each night begin days before the last one: ids, history, exports and retention keep their order."""
    workspace = world.copy(world.finished, "clock")
    config = workspace.config_file.read_text(encoding="utf-8")
    config = config.replace("keep_exports = 7", "keep_exports = 1").replace("keep_runs = 30", "keep_runs = 2")
    workspace.config_file.write_text(config, encoding="utf-8")
    for number in range(times):
        ids = [night.night_id for night in read_history(workspace).nights]
        broken = number % 2 == 0
        if broken:  # so that this night makes an export
            shutil.rmtree((workspace.exports / "nightly-latest").resolve())
        found = succeed(curate("nightly", str(workspace.root), before=_Clock(timedelta(days=3 * (number + 1)))))
        now = [night.night_id for night in read_history(workspace).nights]
        assert now[:-1] == ids and now[-1] > ids[-1], f"{now[-1]} after {ids[-1]}"
        assert "ALARM" not in found.errors, found.errors
        made = (workspace.exports / "nightly-latest").resolve()
        assert made.is_dir() and (now[-1] in made.name) is broken, made
        assert (workspace.runs / now[-1]).is_dir() and len(list(workspace.runs.iterdir())) == 2
        assert_sound(workspace, world.expected)
    shutil.rmtree(workspace.root)
    return FaultRow(
        "the clock goes back",
        "3 days further each night, with one export and two runs kept",
        times,
        "",
        "run ids, history and exports keep the order in which they were made; retention takes the oldest; no alarm",
    )


class _Clock:
    """Sets the clock of a forked command back, wherever our code asks for the time."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def __call__(self) -> None:
        by = self.by

        class Earlier(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) - by

        for name, module in list(sys.modules.items()):
            ours = name.partition(".")[0] in ("app", "pipelines", "curation")
            if ours and vars(module).get("datetime") is datetime and not name.endswith(("night", "journal")):
                vars(module)["datetime"] = Earlier


def kill_workers(world: World, times: int, *, seed: int = 0) -> FaultRow:
    """Kill decoding processes, as the kernel does where memory runs out: no image is blamed."""
    chance = random.Random(seed)
    killed = 0
    for number in range(times):
        workspace = world.copy(world.empty, f"workers-{number}")
        decide(workspace, world.decisions)
        killer = _WorkerKiller(chance, at_most=2)
        succeed(curate("nightly", str(workspace.root), meanwhile=killer))
        killed += killer.killed
        assert_sound(workspace, world.expected)
        shutil.rmtree(workspace.root)
    return FaultRow(
        "a worker killed for memory",
        f"{times} nights, decoding processes killed at random moments",
        killed,
        "",
        "the night goes on; the image in hand is tried again alone; results as undisturbed",
    )


def kill_all_workers(world: World) -> FaultRow:
    """Kill every decoding process there is, again and again: what could not be decoded is tried by the next night."""
    workspace = world.copy(world.empty, "all-workers")
    decide(workspace, world.decisions)
    killer = _WorkerKiller(random.Random(0), at_most=10_000)
    found = curate("nightly", str(workspace.root), meanwhile=killer)
    said = failed_in_words(found)
    with catalog(workspace) as connection:
        blamed = [facts for facts in read_image_facts(connection).values() if facts.reason == KILLED]
    succeed(curate("nightly", str(workspace.root)))
    assert_no_orphans(killer.child)
    assert_sound(workspace, world.expected)
    shutil.rmtree(workspace.root)
    return FaultRow(
        "every worker killed",
        "whenever one is seen, all night",
        killer.killed,
        said,
        f"the next night decodes them ({len(blamed)} were marked as killed) and ends as undisturbed",
    )


class _WorkerKiller:
    """Watches a command and kills decoding processes that it starts."""

    def __init__(self, chance: random.Random, at_most: int) -> None:
        self._chance, self._at_most = chance, at_most
        self.killed = self.child = 0

    def __call__(self, child: int) -> None:
        self.child = child
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            workers = sorted(started_by(child))
            if workers and self.killed < self._at_most:
                with suppress(ProcessLookupError):
                    os.kill(self._chance.choice(workers), signal.SIGKILL)
                    self.killed += 1
                time.sleep(0.0 if self._at_most > 100 else self._chance.uniform(0.05, 0.6))
            time.sleep(0.005)

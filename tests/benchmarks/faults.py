"""Faults, one after the other, each many times: what was done, what the program said, what held.

Every fault befalls copies of one small workspace, and after each the rerun has to end with what an undisturbed night
gives: anything else raises. `tests/test_faults.py` does a few of each.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

# Before torch is imported: forked commands with threads of their own would wait for each other on a small machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.benchmarks import (
    faults_damage,
    faults_disk,
    faults_kills,
    faults_processes,
    faults_review,
    faults_sources,
)
from tests.benchmarks.faults_world import FaultRow, World, make_world

FAULTS: tuple[Callable[[World], FaultRow], ...] = (
    lambda world: faults_kills.kill_nights(world, 100),
    lambda world: faults_kills.kill_exports(world, 50),
    lambda world: faults_review.kill_review(world, 40),
    lambda world: faults_review.kill_server(world, 10),
    lambda world: faults_disk.fill_disk(world, 10),
    faults_disk.fill_disk_elsewhere,
    faults_disk.read_only_disk,
    faults_sources.vanishing_source,
    lambda world: faults_sources.cut_tar(world, 4),
    lambda world: faults_damage.cut_catalogue(world, 8),
    lambda world: faults_damage.cut_log_of_catalogue(world, 8),
    lambda world: faults_damage.flip_in_shards(world, 12),
    lambda world: faults_damage.flip_in_models(world, 4),
    lambda world: faults_damage.flip_in_snapshots(world, 12),
    lambda world: faults_damage.flip_elsewhere(world, 16),
    lambda world: faults_processes.set_clock_back(world, 6),
    lambda world: faults_processes.start_two_at_once(world, 20),
    lambda world: faults_processes.kill_workers(world, 6),
    faults_processes.kill_all_workers,
)


def run() -> dict[str, Any]:
    """The benchmark; it says on stderr what it has done, since it takes a while."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        for fault in FAULTS:
            started = time.monotonic()
            row = fault(world)
            rows.append(asdict(row) | {"seconds": round(time.monotonic() - started, 1)})
            print(f"{row.fault}: {row.times} times, {rows[-1]['seconds']} s", file=sys.stderr, flush=True)
    killed = sum(row["times"] for row in rows if row["fault"].startswith("kill -9"))
    return {"undisturbed night, seconds": world.night_s, "kills": killed, "rows": rows}


def print_table(figures: dict[str, Any]) -> None:
    """One fault a row; the message as it was said."""
    table = Table(title=f"faults: {figures['kills']} kills", show_lines=True)
    for name, width in (("fault", 22), ("done", 40), ("times", 5), ("said", 60), ("held", 50)):
        table.add_column(name, width=width, overflow="fold")
    for row in figures["rows"]:
        table.add_row(*(str(row[name]) for name in ("fault", "done", "times", "said", "held")))
    Console(width=200).print(table)

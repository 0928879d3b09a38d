"""People review, exports run and nights run at once on one workspace: nothing lost, no error shown, nobody waits long.

For `--minutes` (10): one annotator in Chromium presses keys without pause and one at the pace of people, one opens
every screen and exports from the app, two write decisions through the library; one `curate export` follows the other,
and so do nights, with new images at their source and old ones gone from it; `curate status`, `search` and `backup` now
and then. Everything is real: drawn images (20,000, `--samples`), the served app, the commands. Afterwards a last night,
and a rebuild from the same sources and decisions that must give the same numbers.

    OMP_NUM_THREADS=1 python -m tests.benchmarks together --cache ~/together-cache
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.nightly.flow import nightly
from tests.benchmarks.together_checks import (
    differences_from_rebuild,
    wrong_in_exports,
    wrong_in_journal,
    wrong_in_snapshots,
)
from tests.benchmarks.together_machines import Archive, Commands, Done, empty, in_threads
from tests.benchmarks.together_people import Seen, Start, Wait, at_the_browser, at_the_library, looking_around
from tests.benchmarks.together_set import Place, make_place
from tests.benchmarks.together_watch import Transaction, read_transactions
from tests.review_server import ReviewServer

Member = Callable[[Start], Seen]

CREW: tuple[Member, ...] = (
    partial(at_the_browser, name="without pause", pause_s=0.0, keys=12),
    partial(at_the_browser, name="at the pace of people", pause_s=0.5, keys=16),
    partial(looking_around, name="looks around", pause_s=5.0),
    partial(at_the_library, name="library 1", pause_s=0.25, keys=16),
    partial(at_the_library, name="library 2", pause_s=0.25, keys=16),
)
LONGEST_S = 2.0
_FEWEST_NEW = 40  # images a night
_NIGHTS = 12  # that the waiting images are meant for, about
_WORK = ("whole command", ": work")  # how the names end of what is no wait but work


def run(minutes: float = 10.0, samples: int = 20_000, cache: Path | None = None) -> dict[str, Any]:
    """All figures; `cache` keeps the workspace after its first night for the next time."""
    with tempfile.TemporaryDirectory() as folder:
        _tell(f"a workspace of {samples:,} samples")
        place = make_place(Path(folder), samples, cache or Path(folder) / "cache")
        _tell(f"{minutes:g} minutes together")
        return together(place, Path(folder), 60 * minutes)


def together(
    place: Place, folder: Path, seconds: float, crew: Sequence[Member] = CREW, *, looks: bool = True
) -> dict[str, Any]:
    """Everybody at once for so many seconds, `looks` or not (status, search, backup); then whether all is right."""
    load_before = os.getloadavg()[0]
    log, done = folder / "transactions.jsonl", Done()
    archive = Archive(place.workspace, folder / "snapshots")
    everybody = _at_once(place, folder, seconds, crew, Commands(place, folder, log, 0.0, done, looks), archive)
    load_after = os.getloadavg()[0]
    _tell("a last night, and a rebuild to compare with")
    nightly(place.workspace, place.workspace.config())
    archive.look()
    transactions = read_transactions(log)
    waits = [wait for seen in everybody for wait in seen.waits] + _for_locks(transactions) + done.took
    apart, differences = differences_from_rebuild(place, folder / "rebuilt")
    wrong = _wrong(place, everybody, done, sorted(archive.folder.iterdir()))
    return {
        "seconds": seconds,
        "cores": len(os.sched_getaffinity(0)),
        "load before": round(load_before, 1),
        "load at the end": round(load_after, 1),
        "wanted a core, mean": round(statistics.mean(number for _, number in archive.running), 1),
        "decisions acknowledged": sum(len(told) for seen in everybody for told in seen.acknowledged.values()),
        "seconds with `not saved yet` shown": {seen.annotator: round(seen.late_s, 1) for seen in everybody},
        "pages": {seen.annotator: seen.pages for seen in everybody},
        "commands": _counted(done),
        "snapshots": len(list(archive.folder.iterdir())),
        "rows": [_row(what, of_kind) for what, of_kind in _by_kind(waits).items()],
        "too long": _too_long(waits, transactions, done, archive),
        "longest transactions": _longest(transactions),
        "largest difference from a quiet rebuild": apart,
        "wrong": {**wrong, "differences from a quiet rebuild": differences},
    }


def _at_once(
    place: Place, folder: Path, seconds: float, crew: Sequence[Member], commands: Commands, archive: Archive
) -> list[Seen]:
    """People, nights, exports and looks at the same time; returns everybody's own account, each of its own process."""
    server, over = ReviewServer(place.workspace), threading.Event()
    server.start()
    (folder / "exports").mkdir()
    start = Start(place.workspace, server.address, empty(folder / "start"), len(crew), seconds)
    new_each_night = max(_FEWEST_NEW, sum(1 for _ in place.waiting.rglob("*.jpg")) // _NIGHTS)
    keeping = in_threads(lambda: archive.keep(over.is_set))
    try:
        with ProcessPoolExecutor(len(crew), mp_context=get_context("spawn")) as processes:
            people = [processes.submit(member, start) for member in crew]
            working = replace(commands, until=start.give(people))
            machines = in_threads(lambda: working.nights(new_each_night), working.exports, lambda: working.looks(10.0))
            everybody = [one.result() for one in people]
            for thread in machines:
                thread.join()
    finally:
        server.kill()
        over.set()
        keeping[0].join()
    return everybody


def _wrong(place: Place, everybody: Sequence[Seen], done: Done, snapshots: Sequence[Path]) -> dict[str, list[str]]:
    """Everything that must not be, by what it is; all lists are empty where all is well."""
    suspected_at = place.workspace.config().flags.noise_probability
    exports = [*done.exports, *(path for path in place.workspace.exports.glob("[a-z]*-*") if not path.is_symlink())]
    return {
        "errors shown": [f"{seen.annotator}: {error}" for seen in everybody for error in seen.errors],
        "commands that failed": done.failures,
        "records lost, doubled or unknown": wrong_in_journal(place.workspace, everybody),
        "snapshots that contradict themselves": wrong_in_snapshots(snapshots, suspected_at=suspected_at),
        "exports of no published snapshot": wrong_in_exports(exports, snapshots),
    }


def _for_locks(transactions: Iterable[Transaction]) -> list[Wait]:
    return [Wait(f"{one.command}: lock of the catalogue", one.asked_at, one.waited_s) for one in transactions]


def _by_kind(waits: Iterable[Wait]) -> dict[str, list[float]]:
    kinds: dict[str, list[float]] = defaultdict(list)
    for wait in waits:
        kinds[wait.what].append(wait.seconds)
    return dict(sorted(kinds.items(), key=lambda item: (item[0].endswith(_WORK), item[0])))


def _row(what: str, seconds: Sequence[float]) -> dict[str, Any]:
    ordered = sorted(seconds)
    return {
        "what": what,
        "n": len(ordered),
        "median": statistics.median(ordered),
        "p95": ordered[round(0.95 * (len(ordered) - 1))],
        "max": ordered[-1],
        f"over {LONGEST_S:g} s": sum(one > LONGEST_S for one in ordered),
    }


def _too_long(
    waits: Iterable[Wait], transactions: Sequence[Transaction], done: Done, archive: Archive
) -> list[dict[str, Any]]:
    """Every wait that was too long, with who held the catalogue meanwhile and how many threads wanted a core."""
    found = []
    for wait in sorted(waits, key=lambda wait: wait.began_at):
        if wait.seconds <= LONGEST_S or wait.what.endswith(_WORK):
            continue
        end = wait.began_at + wait.seconds
        held = [
            f"{one.command} {one.where} {one.held_s:.1f} s"
            for one in transactions
            if one.held_s > 0.2 and one.got_at < end and one.got_at + one.held_s > wait.began_at
        ]
        running = [number for moment, number in archive.running if wait.began_at <= moment <= end]
        night = [one for one in done.took if one.what.startswith("nightly") and one.began_at < end]
        found.append(
            {
                "what": wait.what,
                "seconds": round(wait.seconds, 2),
                "after start of a night, s": round(wait.began_at - night[-1].began_at, 1) if night else None,
                "wanted a core, mean": round(statistics.mean(running), 1) if running else None,
                "catalogue held by": held,
            }
        )
    return found


def _longest(transactions: Iterable[Transaction]) -> dict[str, float]:
    """By command and place in the code, the longest time that the catalogue was held, in seconds."""
    longest: dict[str, float] = {}
    for one in transactions:
        key = f"{one.command} {one.where}"
        longest[key] = max(longest.get(key, 0.0), round(one.held_s, 2))
    return dict(sorted(longest.items(), key=lambda item: -item[1])[:12])


def _counted(done: Done) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for one in done.took:
        counts[one.what.partition(",")[0]] += 1
    return dict(counts)


def print_table(figures: dict[str, Any]) -> None:
    """The waits, then what was too long and what was wrong, each by name."""
    console = Console(width=170, highlight=False)
    named = ("rows", "too long", "wrong", "longest transactions")
    console.print(", ".join(f"{key} {value}" for key, value in figures.items() if key not in named))
    table = Table(*figures["rows"][0], title="seconds waited; whole commands are work, not waits")
    for row in figures["rows"]:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)
    for wait in figures["too long"]:
        console.print(f"over {LONGEST_S:g} s: {wait}", markup=False)
    console.print(f"catalogue held longest: {figures['longest transactions']}", markup=False)
    for what, sentences in figures["wrong"].items():
        console.print(f"{what}: {len(sentences)}", markup=False)
        for sentence in sentences[:10]:
            console.print(f"    {sentence}", markup=False)


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)

"""The review app: how long its users wait, how many of them it serves, and how fast they find errors.

A generated workspace of `--samples` (100,000) novel samples in categories of a thousand, each with a JPEG file of its
own (400 x 300; beyond 100,000 shared), 200 different pictures among them, so that thumbnails are really drawn. Figures
of the server are of its own code in one process (`review_load`), those of the browser of the served app in Chromium
(`review_browser`); `birds` of the real data, where it is there, of a simulated annotator (`review_annotator`).

    OMP_NUM_THREADS=1 python -m tests.benchmarks review --cache ~/review-cache
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from playwright.sync_api import Page
from rich.console import Console
from rich.table import Table

from app.review.pictures import page_data
from curation.config import Config
from curation.review.deciding import decide
from curation.review.pages import next_page
from curation.review.queue import loaded_queue
from curation.review.values import Verdict
from curation.store.decisions import append_decisions
from curation.store.journal import begin_writing, journal
from curation.values import Decision, DecisionAction
from curation.workspace import Workspace
from tests.benchmarks import review_annotator, review_browser
from tests.benchmarks.noise_measure import alone, peak_mib
from tests.benchmarks.review_load import HUMAN, WITHOUT_PAUSE, Rhythm, work
from tests.benchmarks.review_workspace import make_workspace
from tests.review_server import ReviewServer

Row = dict[str, Any]
T = TypeVar("T")
P = ParamSpec("P")

_PAGES = 30
_ANNOTATORS = (1, 5, 20)
_TILES = (60, 240)
_PRESSES = 60
_BROWSERS = 5
_MEMORY_AFTER = (20, 100, 200)


def run(samples: int = 100_000, cache: Path | None = None) -> dict[str, Any]:
    """All figures; `cache` keeps the embeddings of birds for the next time."""
    with tempfile.TemporaryDirectory() as folder:
        _tell(f"a workspace of {samples:,} samples")
        workspace = make_workspace(Path(folder), samples)
        rows: list[Row] = []
        for part in (_first_page, _pages, _crowds, _first_page_of_a_long_journal):
            _tell(part.__name__.strip("_").replace("_", " "))
            rows += alone(part, workspace)
        _tell("Chromium")
        rows += _browser(workspace)
        data = Path(os.environ.get("CURATION_DATA", Path(__file__).parents[3] / "shared"))
        found = []
        if (data / "data" / "birds").is_dir():
            _tell("birds")
            found = alone(review_annotator.figures, data, cache or Path(folder))
    return {
        "samples": samples,
        "load_before": round(os.getloadavg()[0], 2),
        "cores": len(os.sched_getaffinity(0)),
        "rows": rows,
        "annotator": found or "skipped: no real data; set CURATION_DATA to the folder that holds `data`",
    }


def row_of(what: str, values: Sequence[float], target: float | None = None, **more: Any) -> Row:
    """One measurement, in milliseconds: how many, their median, 95th percentile and maximum, and what is wanted."""
    ordered = sorted(values)
    return {
        "what": what,
        "n": len(ordered),
        "median": statistics.median(ordered),
        "p95": ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))],
        "max": ordered[-1],
        "target": target,
        "note": ", ".join(f"{key} {value}" for key, value in more.items()),
    }


def _first_page(workspace: Workspace) -> list[Row]:
    """What a server does that has just been started: read the queue, start decoders, draw the first page."""
    config = workspace.config()
    return [row_of("first page of a process, with thumbnails", [timed(_page, workspace, config, "first")[0]])]


def _page(workspace: Workspace, config: Config, who: str) -> None:
    page = next_page(workspace, config, who)
    assert page is not None
    page_data(workspace, config, page)


def _pages(workspace: Workspace) -> list[Row]:
    """Pages of 60 one after the other, each for somebody else so that it is a new one; then decisions on one."""
    config = workspace.config()
    _page(workspace, config, "reader")
    queue, drawn, known, decided = [], [], [], []
    for number in range(_PAGES):
        reader = f"reader {number}"
        in_queue, page = timed(next_page, workspace, config, reader)
        assert page is not None
        queue.append(in_queue)
        drawn.append(in_queue + timed(page_data, workspace, config, page)[0])
        known.append(in_queue + timed(page_data, workspace, config, page)[0])
        for tile in page.tiles[:5]:
            verdict = Verdict(tile.sample_id, DecisionAction.DROP, None, "e")
            decided.append(timed(decide, workspace, page, reader, [verdict])[0])
    return [
        row_of("page of 60: queue and facts", queue),
        row_of("page of 60 ready, thumbnails drawn", drawn, 300),
        row_of("page of 60 ready, thumbnails known", known, 300),
        row_of("decision in the journal", decided, 20, peak_mib=round(peak_mib())),
    ]


def _crowds(workspace: Workspace) -> list[Row]:
    """Several annotators at once, without pauses and at the pace of people."""
    rhythms: dict[str, Rhythm] = {"without pause": WITHOUT_PAUSE, "2 decisions a second": HUMAN}
    rows = []
    for name, rhythm in rhythms.items():
        for number in _ANNOTATORS:
            times, seconds = work(workspace, number, rhythm, f"{name} {number}")
            errors = len(times.errors)
            who = f"{number} annotators {name}"
            rate = f"{len(times.page) / seconds:.1f}"
            rows.append(row_of(f"{who}: wait for a page", times.page, 300, pages_a_second=rate, errors=errors))
            rows.append(row_of(f"{who}: decision", times.decision, 20, errors=errors))
    return rows


def _first_page_of_a_long_journal(workspace: Workspace) -> list[Row]:
    """The same with decisions on nine tenths of all samples, which a new server has to take in."""
    ids = loaded_queue(workspace).order.sample_ids
    with journal(workspace.journal) as connection:
        begin_writing(connection)
        context = {"run": "r", "page": "p", "mode": "category", "category": "", "key": "", "preset": "keep"}
        long_ago = (
            Decision(name, DecisionAction.KEEP, "before", context=context) for name in ids[: len(ids) * 9 // 10]
        )
        written = append_decisions(connection, long_ago, datetime.now(UTC))
    elapsed = alone(_first_page, workspace)[0]["median"]
    return [row_of("first page of a process, long journal", [elapsed], None, decisions=f"{written:,}")]


def _browser(workspace: Workspace) -> Iterator[Row]:
    """Keys, pages and memory of the served app."""
    with review_browser.chromium() as browser:
        for tiles in _TILES:
            with review_browser.served(workspace, tiles) as server, browser.new_context() as context:
                page = context.new_page()
                first = review_browser.sit_down(page, server, f"browser {tiles}")
                yield row_of(f"browser, {tiles} tiles: sign in to first page", [first])
                repaints = review_browser.key_to_repaint(page, _PRESSES, 0.25)
                yield row_of(f"browser, {tiles} tiles: key to repaint", repaints, 100)
                review_browser.all_saved(page)
                to_disk = review_browser.key_to_disk(page, workspace, _PRESSES // 2, 0.25)
                yield row_of(f"browser, {tiles} tiles: key to disk", to_disk)
        with review_browser.served(workspace, _TILES[0]) as server, browser.new_context() as context:
            page = context.new_page()
            review_browser.sit_down(page, server, "stays")
            yield from _memory(page, server)
        with review_browser.served(workspace, _TILES[0]) as server:
            repaints = review_browser.several(browser, server, _BROWSERS)
            yield row_of(f"{_BROWSERS} browsers at once, 2 keys a second each: key to repaint", repaints, 100)


def _memory(page: Page, server: ReviewServer) -> Iterator[Row]:
    waits: list[float] = []
    for target in _MEMORY_AFTER:
        while len(waits) < target:
            waits.append(review_browser.confirm_and_wait(page))
        yield row_of(
            f"Enter to next page, {target} pages without pause",
            waits,
            server_mib=round(review_browser.resident_mib(server)),
        )


def timed(do: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> tuple[float, T]:
    """Milliseconds and result."""
    started = time.perf_counter()
    result = do(*arguments, **more)
    return 1000 * (time.perf_counter() - started), result


def print_table(figures: dict[str, Any]) -> None:
    """Two tables for people: what was waited for, in milliseconds, and what the simulated annotator found."""
    console = Console(width=160, highlight=False)
    facts = {key: value for key, value in figures.items() if key not in ("rows", "annotator")}
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()))
    table = Table("milliseconds", "n", "median", "p95", "max", "target", "")
    for row in figures["rows"]:
        numbers = (f"{row[name]:.1f}" for name in ("median", "p95", "max"))
        table.add_row(
            row["what"], str(row["n"]), *numbers, "" if row["target"] is None else f"{row['target']}", row["note"]
        )
    console.print(table)
    if isinstance(figures["annotator"], str):
        console.print(figures["annotator"])
        return
    birds = Table(*figures["annotator"][0], title="birds: an annotator who is right 90 % of the time")
    for row in figures["annotator"]:
        birds.add_row(*(f"{value:.2f}" if name.startswith("share") else f"{value:.0f}" for name, value in row.items()))
    console.print(birds)


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)

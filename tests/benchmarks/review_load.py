"""Several annotators at once: their desks in threads of one process, as the server of the review app runs them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec

from app.review.desk import Choice, Desk
from app.review.screens.review import READERS
from curation.workspace import Workspace

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How somebody works: `pages`, on each so many `decisions`, and a pause after each of them; the rest by Enter."""

    pages: int
    decisions: int
    pause_s: float


WITHOUT_PAUSE = Rhythm(pages=4, decisions=5, pause_s=0.0)
HUMAN = Rhythm(pages=2, decisions=40, pause_s=0.5)  # two decisions a second, a page in twenty seconds


@dataclass
class Times:
    """Milliseconds of everything that somebody waited for, of all annotators, and what went wrong."""

    page: list[float] = field(default_factory=list)
    decision: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def work(workspace: Workspace, annotators: int, rhythm: Rhythm, label: str) -> tuple[Times, float]:
    """Have them all work at once; returns their times, and the seconds until the last has finished."""
    times = Times()
    with ThreadPoolExecutor(READERS) as workers:
        threads = [
            threading.Thread(target=_work, args=(workspace, f"{label} {number}", workers, rhythm, times, number))
            for number in range(annotators)
        ]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return times, time.perf_counter() - started


def _work(
    workspace: Workspace, name: str, workers: ThreadPoolExecutor, rhythm: Rhythm, times: Times, number: int
) -> None:
    desk = Desk(workspace, workspace.config(), name, Choice(), workers)
    time.sleep(rhythm.pause_s * number)  # people do not begin on the same tick
    try:
        for page in range(rhythm.pages):
            times.page.append(_elapsed_ms(show, desk))
            shown = desk.pages[0].page
            for place, tile in enumerate(shown.tiles[: rhythm.decisions]):
                verdict = {"sample_id": tile.sample_id, "action": "drop", "category": None, "key": "e"}
                event = {"seq": page * 1000 + place + 1, "type": "verdicts", "page_id": shown.page_id}
                times.decision.append(_elapsed_ms(send, desk, {**event, "verdicts": [verdict]}))
                desk.fetch()
                time.sleep(rhythm.pause_s)
            send(desk, {"seq": page * 1000 + 999, "type": "confirm", "page_id": shown.page_id, "verdicts": []})
        desk.leave()
    except Exception as error:  # whatever it is: it is what is counted here
        times.errors.append(f"{name}: {error!r}")


def show(desk: Desk) -> None:
    """Wait for a page, and make of it what travels to the browser."""
    desk.fetch(wait=True)
    if not desk.pages:
        raise RuntimeError("nothing is left to review")
    json.dumps(desk.pages[0].data)


def send(desk: Desk, event: dict[str, object]) -> None:
    """What a browser sends, written down; raises where it was not."""
    desk.receive([{"client": desk.annotator, "events": [event], "pages": {}, "asked": {}}], lambda: True)
    if desk.notice or desk.refused:
        raise RuntimeError(desk.notice or str(desk.refused))


def _elapsed_ms(do: Callable[P, None], *arguments: P.args, **more: P.kwargs) -> float:
    started = time.perf_counter()
    do(*arguments, **more)
    return 1000 * (time.perf_counter() - started)

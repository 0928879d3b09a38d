"""An export beside the server, in a process of its own: started, watched and ended from the Cleaned sets screen.

Run as `python -m app.review.export_job`, it writes one line of JSON a step to its standard output, which is a file in
`exports/.jobs`. Ended early it leaves nothing behind, since an export is written beside and renamed.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curation.errors import CurationError, ExportError
from curation.export.splits import parse_split
from curation.priority import BEHIND_PEOPLE, give_way
from curation.stages.export import export
from curation.workspace import Workspace, open_workspace

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_SAY_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """What to export: a name below `exports/`, a format, the promise, if any, and parts as `--split` takes them."""

    name: str
    export_format: str
    promise: float | None
    with_base: bool
    everything: bool = False
    split: str = ""

    def shares(self) -> dict[str, float] | None:
        """The shares of the parts by name, `None` for none; raises `ExportError`."""
        return parse_split(self.split) if self.split.strip() else None


@dataclass(frozen=True, slots=True)
class JobState:
    """How far a job is: `state` is `running`, `done`, `failed` or `cancelled`; `said` is its last step in words."""

    order: ExportOrder
    state: str
    said: str
    done: int
    total: int


@dataclass
class ExportJob:
    """A running or finished export of this server."""

    order: ExportOrder
    process: subprocess.Popen[bytes]
    log: Path
    cancelled: bool = False

    def state(self) -> JobState:
        """What its log says, and whether it still runs."""
        status = self.process.poll()
        last: dict[str, Any] = {"said": "starting", "done": 0, "total": 0}
        for line in _lines(self.log):
            last = line
        state = "running" if status is None else "done" if status == 0 else "cancelled" if self.cancelled else "failed"
        said = last["said"] if state != "cancelled" else "Cancelled; nothing was written."
        return JobState(self.order, state, said, int(last["done"]), int(last["total"]))

    def cancel(self) -> None:
        """End it; what it had written beside is removed."""
        self.cancelled = True
        self.process.terminate()


def start_export(workspace: Workspace, order: ExportOrder) -> ExportJob:
    """Start an export into `exports/NAME`; raises `ExportError` for a name that is no plain one, or is taken, and for
    parts that are none."""
    if not _NAME.fullmatch(order.name):
        raise ExportError(
            f"{order.name!r} is no name of an export.", hint="Use letters, digits, - and _, at most 64, as in birds-2."
        )
    if (workspace.exports / order.name).exists():
        raise ExportError(f"there is an export {order.name} already.", hint="Choose another name.")
    order.shares()
    jobs = workspace.exports / ".jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    log = jobs / f"{order.name}.jsonl"
    command = [sys.executable, "-m", "app.review.export_job", str(workspace.root), json.dumps(asdict(order))]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # noqa: S603
    return ExportJob(order, process, log)


def finished_exports(workspace: Workspace) -> list[Path]:
    """The exports below `exports/`, by name; what is still being written, or was left so, has a name with a dot."""
    found = (path.parent for path in workspace.exports.glob("*/manifest.json"))
    return sorted(path for path in found if not path.name.startswith("."))


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a log; a half-written last one is left for the next look."""
    for text in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # a warning of some library, or the half-written last line
            continue
        if isinstance(line, dict) and {"said", "done", "total"} <= line.keys():
            yield line


def main(root: str, order_text: str) -> int:
    """Export as ordered; returns the exit status."""
    give_way(BEHIND_PEOPLE)
    order = ExportOrder(**json.loads(order_text))
    workspace = open_workspace(Path(root))
    last_said = 0.0

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last_said
        if time.monotonic() - last_said >= _SAY_EVERY_S or done == total:
            last_said = time.monotonic()
            _say(what, done, total)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was written beside is removed
    try:
        result = export(
            workspace,
            workspace.config(),
            export_format=order.export_format,
            out=workspace.exports / order.name,
            promise=order.promise,
            with_base=order.with_base,
            everything=order.everything,
            split=order.shares(),
            progress=tell,
        )
    except CurationError as error:
        _say(str(error), 0, 0)
        return 1
    kept = result.receipt.kept
    _say(f"Wrote {kept:,} images to {result.receipt.folder}.", kept, kept)
    return 0


def _say(what: str, done: int, total: int) -> None:
    print(json.dumps({"said": what, "done": done, "total": total}), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""`curate` with a note of every wait for the catalogue: `python -m tests.benchmarks.together_watch LOG VERB ...`.

One line of JSON a transaction: which command, where in its code, when it asked (seconds since 1970), how long it
waited, which process made it wait, and how long it held the catalogue itself.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from curation.store import connection as door

_MACHINERY = ("contextlib.py", "connection.py", "together_watch.py")


@dataclass(frozen=True, slots=True)
class Transaction:
    """One use of the catalogue. `held_by` is a process id where another process made it wait, else `None`."""

    command: str
    pid: int
    where: str
    asked_at: float
    waited_s: float
    held_by: int | None
    held_s: float

    @property
    def got_at(self) -> float:
        return self.asked_at + self.waited_s


class _Watched:
    """A connection that notes when it is closed."""

    def __init__(self, connection: Any, note: Any) -> None:
        self._connection, self._note = connection, note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def close(self) -> None:
        self._connection.close()
        self._note()


def watch(log: Path, command: str) -> None:
    """From here on every transaction on the catalogue in this process is noted in `log`."""
    connect, is_busy = door._connect, door._is_busy
    holders: list[int] = []

    def noting_the_holder(error: duckdb.Error) -> bool:
        if found := re.search(r"\(PID (\d+)\)", str(error)):
            holders.append(int(found[1]))
        return is_busy(error)

    def noting(path: Path, timeout_s: float, *, for_reading: bool = False) -> Any:
        where, asked_at = _caller(), time.time()
        holders.clear()
        connection = connect(path, timeout_s, for_reading=for_reading)
        got_at, held_by = time.time(), next(iter(holders), None)

        def note() -> None:
            held_s = time.time() - got_at
            one = Transaction(command, os.getpid(), where, asked_at, got_at - asked_at, held_by, held_s)
            with log.open("a") as lines:
                lines.write(json.dumps(asdict(one)) + "\n")

        return _Watched(connection, note)

    door._is_busy, door._connect = noting_the_holder, noting  # type: ignore[assignment]


def read_transactions(log: Path) -> list[Transaction]:
    """All that were noted, in the order in which they ended."""
    return [Transaction(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def _caller() -> str:
    """The function that wanted the catalogue."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.endswith(_MACHINERY):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"


if __name__ == "__main__":
    log_file, *words = sys.argv[1:]
    watch(Path(log_file), words[0])
    sys.argv = ["curate", *words]
    from app.cli import main

    main()

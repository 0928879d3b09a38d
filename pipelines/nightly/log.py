"""What a night says: one line for people and one JSON object for machines, both in the folder of its run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curation.errors import NightlyError

HUMAN_LOG = "nightly.log"
MACHINE_LOG = "nightly.jsonl"

Echo = Callable[[str], None]


def unheard(line: str) -> None:
    """Say nothing beyond the files."""


class NightLog:
    """Two files that grow by whole lines; what they cannot take is still said to `echo`.

    A line of the machine's log has `time` (UTC, ISO 8601), `night_id`, `event`, `said` (the line for people) and the
    figures of that event.
    """

    def __init__(self, folder: Path, night_id: str, echo: Echo) -> None:
        self.folder = folder
        self._night_id = night_id
        self._echo = echo
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._files = [(folder / name).open("ab", buffering=0) for name in (HUMAN_LOG, MACHINE_LOG)]
        except OSError as error:
            raise NightlyError(
                f"the log of the night cannot be written to {folder}: {error.strerror}.",
                hint="Free some space, or check permissions.",
            ) from error

    def say(self, event: str, said: str, **figures: Any) -> None:
        """Write one event; anything that JSON does not know becomes text."""
        now = datetime.now(UTC)
        line = {"time": now.isoformat(timespec="milliseconds"), "night_id": self._night_id, "event": event}
        human = f"{now:%Y-%m-%d %H:%M:%S}  {said}"
        self._echo(human)
        try:
            for file, text in zip(
                self._files, (human, json.dumps({**line, "said": said, **figures}, default=str)), strict=True
            ):
                file.write(f"{text}\n".encode("utf-8", "backslashreplace"))
        except OSError as error:  # a full disk ends the night by itself; here the line has been said at least
            self._echo(f"the log in {self.folder} cannot be written: {error.strerror}")

    def close(self) -> None:
        for file in self._files:
            file.close()

"""The whole state of an unfinished training in one file, so that a killed one goes on without a jump in the loss."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from types import FrameType
from typing import Any

import torch

from curation.errors import TrainingError
from curation.files import replace_bytes

_DIGEST_BYTES = 32
_KIND = b"webnoise-curation training state 1\n"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values to `path`: digest first, then the data; read back, then renamed.

    A kill at any moment leaves the old state or the new one.
    """
    buffer = BytesIO()
    torch.save(dict(state), buffer)
    payload = buffer.getvalue()
    partial = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(partial, _KIND + sha256(payload).digest() + payload)
        _payload(partial)
        partial.replace(path)
    except OSError as error:
        raise TrainingError(
            f"the state of the training cannot be written to {path}: {error.strerror}.",
            hint="Free some space or check permissions, then go on with --resume.",
        ) from error


def load_state(path: Path) -> dict[str, Any]:
    """Read a state back, on the CPU; `TrainingError` where it is damaged or something else."""
    try:
        state: dict[str, Any] = torch.load(BytesIO(_payload(path)), map_location="cpu", weights_only=True)
    except (OSError, UnpicklingError, RuntimeError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    return state


def refuse_other_options(path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """`TrainingError` naming what differs between the options of an unfinished training and those of now."""
    differing = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    if differing:
        told = "; ".join(f"{name} was {then.get(name)!r}, is {now.get(name)!r}" for name in differing)
        raise TrainingError(
            f"the unfinished training in {path.parent} was started otherwise: {told}.",
            hint="Resume it with the options it was started with, or start anew in another folder.",
        )


class Clock:
    """Says when it is time to save: every so many seconds, beginning with the first batch."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last = time.monotonic()

    def is_due(self) -> bool:
        if time.monotonic() - self._last < self._every_s:
            return False
        self._last = time.monotonic()
        return True


@contextmanager
def ends_between_steps() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C and SIGTERM end nothing: the function given tells whether one came, so that a step is finished.

    A second Ctrl-C ends at once. Outside of the main thread signals are not ours and nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal wants it
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _payload(path: Path) -> bytes:
    data = path.read_bytes()
    head = len(_KIND) + _DIGEST_BYTES
    digest, payload = data[len(_KIND) : head], data[head:]
    if not data.startswith(_KIND) or sha256(payload).digest() != digest:
        raise _damaged(path, "it is not what was written")
    return payload


def _damaged(path: Path, what: str) -> TrainingError:
    return TrainingError(
        f"the state of the training in {path} is damaged: {what}.", hint="Delete it and start the training again."
    )

"""One command changes a workspace at a time: a lock that says who holds it, and that the kernel frees with its holder.

Ingesting, running stages and a night take it. Reviews, exports and everything that reads a snapshot never do.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from curation.errors import WorkspaceBusyError, WorkspaceError
from curation.workspace import Workspace

# Of the thread that asks: a command takes the lock again for each of its steps, another thread is another command.
_held: ContextVar[frozenset[Path]] = ContextVar("held workspaces", default=frozenset())


_GLANCES = 10
_GLANCE_S = 0.1  # `refuse_if_busy` shares the lock for far less: who begins meanwhile is not to be refused for that


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who wrote itself into a lock: process id, host, command and when it took the lock (UTC, ISO 8601)."""

    pid: int
    host: str
    command: str
    started_at: str

    def __str__(self) -> str:
        return f"`curate {self.command}` (process {self.pid} on {self.host})"


@contextmanager
def run_lock(workspace: Workspace, command: str) -> Iterator[LockHolder | None]:
    """Hold the workspace for `command`; gives who held it last and died before it could let go, else `None`.

    Whoever holds it may take it again. Raises `WorkspaceBusyError`, at once, where another command holds it.
    """
    if workspace.run_lock in _held.get():
        yield None
        return
    descriptor = _open(workspace, os.O_RDWR | os.O_CREAT)
    try:
        if not (_take(descriptor, fcntl.LOCK_EX) or _take(descriptor, fcntl.LOCK_EX, after_s=_GLANCE_S)):
            raise _busy(workspace, _named(descriptor))
        dead = _read(descriptor)
        _write(descriptor, LockHolder(os.getpid(), socket.gethostname(), command, _now()))
        before = _held.set(_held.get() | {workspace.run_lock})
        try:
            yield dead
        finally:
            _held.reset(before)
            os.ftruncate(descriptor, 0)  # who ends well leaves no name behind
    finally:
        os.close(descriptor)


def refuse_if_busy(workspace: Workspace) -> None:
    """Raise `WorkspaceBusyError` where a command holds the workspace now; writes nothing."""
    if not workspace.run_lock.exists():
        return
    descriptor = _open(workspace, os.O_RDONLY)
    try:
        if not _take(descriptor, fcntl.LOCK_SH):
            raise _busy(workspace, _named(descriptor))
    finally:
        os.close(descriptor)


def last_holder(workspace: Workspace) -> LockHolder | None:
    """Who is named in the lock: who holds it, or held it and died before letting go; `None` where nobody is."""
    if not workspace.run_lock.exists():
        return None
    descriptor = _open(workspace, os.O_RDONLY)
    try:
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _open(workspace: Workspace, flags: int) -> int:
    """Python's descriptors are closed on exec, so a child that outlives its parent does not keep the lock."""
    try:
        return os.open(workspace.run_lock, flags, 0o644)
    except OSError as error:
        raise WorkspaceError(
            f"{workspace.run_lock} cannot be opened: {error.strerror}.",
            hint="The workspace has to be on a disk that you may write to.",
        ) from error


def _take(descriptor: int, mode: int, *, after_s: float = 0.0) -> bool:
    time.sleep(after_s)
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> LockHolder | None:
    """`None` where nobody is named, or only half: it was killed as it wrote."""
    try:
        return LockHolder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _named(descriptor: int) -> LockHolder | None:
    """Who holds the lock; who has taken it this very moment is given the time to write down its name."""
    for _ in range(_GLANCES):
        if (holder := _read(descriptor)) is not None:
            return holder
        time.sleep(_GLANCE_S)
    return None


def _write(descriptor: int, holder: LockHolder) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
    except OSError as error:
        raise WorkspaceError(
            f"the workspace's lock cannot be written: {error.strerror}.", hint="Free some space on its disk."
        ) from error


def _busy(workspace: Workspace, holder: LockHolder | None) -> WorkspaceBusyError:
    who = "another command has just begun" if holder is None else f"{holder} has been running since {holder.started_at}"
    return WorkspaceBusyError(
        f"{workspace.root} is in use: {who}.",
        hint="Wait for it to end, or end it: what it has done is kept. Reviews and exports need not wait.",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

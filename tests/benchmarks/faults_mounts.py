"""A small disk of its own for one forked process: it is there for that process alone, and gone with it."""

from __future__ import annotations

import ctypes
import os
import pickle
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_NEWNS, _NEWUSER = 0x20000, 0x10000000  # linux/sched.h
_RDONLY, _REMOUNT, _REC, _PRIVATE = 0x1, 0x20, 0x4000, 0x40000  # linux/mount.h

_libc = ctypes.CDLL(None, use_errno=True)


Result = TypeVar("Result")


class NoMountsError(Exception):
    """This process may not make a disk of its own; the text says what refused it."""


def on_small_disk(folder: Path, size_mb: int, work: Callable[[], Result]) -> Result:
    """Call `work` in a forked process that sees an empty disk (tmpfs) of this size at `folder`; returns its result.

    Root needs no more; others need user namespaces, which some systems forbid: `NoMountsError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    answer = Path(name)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            try:
                _mount_small_disk(folder, size_mb)
                found: object = work()
            except NoMountsError as error:
                found = error
            except BaseException:
                found = AssertionError(traceback.format_exc())
            answer.write_bytes(pickle.dumps(found))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    result: Result = pickle.loads(answer.read_bytes())  # noqa: S301 - our own child wrote it
    answer.unlink()
    if isinstance(result, Exception):
        raise result
    return result


def make_read_only(folder: Path) -> None:
    """Let nothing on the small disk be written any more."""
    _checked("mount", _libc.mount(b"none", os.fsencode(folder), None, _REMOUNT | _RDONLY, None))


def _mount_small_disk(folder: Path, size_mb: int) -> None:
    user, group = os.geteuid(), os.getegid()
    _checked("unshare", _libc.unshare(_NEWNS if user == 0 else _NEWNS | _NEWUSER))
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _checked("mount", _libc.mount(b"none", b"/", None, _REC | _PRIVATE, None))
    _checked("mount", _libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size_mb}m".encode()))


def _checked(what: str, status: int) -> None:
    if status != 0:
        raise NoMountsError(f"{what}: {os.strerror(ctypes.get_errno())}; run it as root")

"""`leftovers`: no half-written file of a process that died, and nothing that was put aside as damaged."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import DoctorInputs
from curation.export.staging import is_alive, put_right_leftovers
from curation.workspace import Workspace

_PARTIAL = re.compile(r"\.(?:.*\.)?(?P<process>\d+)(?:-\d+)?\.(?:partial|replaced)(?:\.wal)?")
_EXPORT = re.compile(r"\.(?P<name>.+)\.\d+\.(?:partial|replaced)")

# A process of another machine or container has a number that says nothing here. What only commands write that hold the
# run lock is dead for certain once a repair holds it; of the rest, what nobody has touched for so long.
_QUIET = timedelta(hours=1)


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding."""
    leftovers = sorted(_leftovers(inputs.workspace, inputs.now))
    if not leftovers or inputs.held:
        return [ok("nothing half-written lies about." if not leftovers else "a command is writing; look again later.")]

    def repair() -> str:
        for path in leftovers:
            _remove(path, inputs.workspace)
        return f"removed {len(leftovers)} leftovers."

    size = sum(_size(path) for path in leftovers)
    return [
        warning(
            f"dead processes left {len(leftovers)} half-written or damaged files and folders ({size / 1e6:.1f} MB), "
            f"{leftovers[0]} for one.",
            "--fix removes them.",
            repair,
        )
    ]


def _leftovers(workspace: Workspace, now: datetime) -> Iterator[Path]:
    locked = (workspace.embeddings, workspace.snapshots, workspace.network.parent)
    for folder in (workspace.root, *locked, workspace.indexes, workspace.exports, workspace.runs, workspace.history):
        depth = "*" if folder in (workspace.root, workspace.exports) else "**/*"
        for path in folder.glob(depth):
            if path.suffix == ".damaged" and folder == workspace.embeddings:
                yield path
            match = _PARTIAL.fullmatch(path.name)
            if match and not is_alive(int(match["process"])) and (folder in locked or _is_quiet(path, now)):
                yield path
    yield from (path for path in workspace.thumbnails.glob(".*.partial") if _is_quiet(path, now))


def _is_quiet(path: Path, now: datetime) -> bool:
    newest = max((one.lstat().st_mtime for one in (path, *path.rglob("*"))), default=0.0)
    return now.timestamp() - newest > _QUIET.total_seconds()


def _remove(path: Path, workspace: Workspace) -> None:
    """What an export left is put right as the next export of that name would: the old one may have to come back."""
    match = _EXPORT.fullmatch(path.name)
    if path.parent == workspace.exports and match:
        put_right_leftovers(workspace.exports / match["name"])
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return sum(one.lstat().st_size for one in (path, *path.rglob("*")) if not one.is_dir())

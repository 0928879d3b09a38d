"""What dead processes left half-written in a workspace, and how it is taken away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from curation.export.staging import is_alive, put_right_leftovers
from curation.workspace import Workspace

_PARTIAL = re.compile(r"\.(?:.*\.)?(?P<process>\d+)(?:-\d+)?\.(?:partial|replaced)(?:\.wal)?")
_EXPORT = re.compile(r"\.(?P<name>.+)\.\d+\.(?:partial|replaced)")

# A process of another machine or container has a number that says nothing here. What only commands write that hold the
# run lock is dead for certain for whoever holds it; of the rest, what nobody has touched for so long.
_QUIET = timedelta(hours=1)


def half_written(workspace: Workspace, now: datetime) -> Iterator[Path]:
    """Files and folders that processes were writing when they died. Meant for who holds the run lock."""
    locked = (workspace.embeddings, workspace.snapshots, workspace.network.parent)
    for folder in (workspace.root, *locked, workspace.indexes, workspace.exports, workspace.runs, workspace.history):
        for path in folder.glob("*" if folder in (workspace.root, workspace.exports) else "**/*"):
            match = _PARTIAL.fullmatch(path.name)
            if match and not is_alive(int(match["process"])) and (folder in locked or _is_quiet(path, now)):
                yield path
    yield from (path for path in workspace.thumbnails.glob(".*.partial") if _is_quiet(path, now))


def put_aside(workspace: Workspace) -> Iterator[Path]:
    """Shards of embeddings that were found damaged; their images have been embedded again, or will be."""
    yield from workspace.embeddings.glob("**/*.damaged")


def remove_leftover(path: Path, workspace: Workspace) -> None:
    """What an export left is put right as the next export of that name would: the old one may have to come back."""
    match = _EXPORT.fullmatch(path.name)
    if path.parent == workspace.exports and match:
        put_right_leftovers(workspace.exports / match["name"])
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_quiet(path: Path, now: datetime) -> bool:
    newest = max((one.lstat().st_mtime for one in (path, *path.rglob("*"))), default=0.0)
    return now.timestamp() - newest > _QUIET.total_seconds()

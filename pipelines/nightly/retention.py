"""What a night leaves: the newest runs and exports, nothing of images that are no samples any more."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from curation.flow import RUN_ID
from curation.forgetting import forget_removed_images
from curation.leftovers import half_written, remove_leftover
from curation.nightly_config import NightlyConfig
from curation.workspace import Workspace
from pipelines.nightly.exports import nightly_exports
from pipelines.nightly.night import Night


def remove_what_is_old(night: Night) -> None:
    """Delete runs and nightly exports beyond those that are kept, and what killed processes left half done."""
    workspace, settings = night.workspace, night.config.nightly
    runs = old_runs(workspace, settings, newest=night.night_id)
    exports = old_exports(workspace, settings)
    for folder in (*runs, *exports, *_unfinished(workspace, settings)):
        shutil.rmtree(folder)
    leftovers = list(half_written(workspace, datetime.now(UTC)))
    for path in leftovers:
        remove_leftover(path, workspace)
    embeddings = forget_removed_images(workspace) if settings.remove_gone else 0
    night.log.say(
        "retention",
        f"removed {len(runs)} runs, {len(exports)} exports, {embeddings} embeddings of removed images, "
        f"{len(leftovers)} leftovers of killed commands",
        runs=[folder.name for folder in runs],
        exports=[folder.name for folder in exports],
        embeddings=embeddings,
        leftovers=[str(path) for path in leftovers],
    )


def old_runs(workspace: Workspace, settings: NightlyConfig, newest: str) -> list[Path]:
    """The folders of runs that go, oldest first. Where the clock went back, the run `newest` counts as newest too."""
    folders = {path.name: path for path in workspace.runs.glob("*") if RUN_ID.fullmatch(path.name)}
    others = [folders[name] for name in sorted(folders.keys() - {newest})]
    return _but_last(others, settings.keep_runs - 1) if settings.keep_runs else []


def old_exports(workspace: Workspace, settings: NightlyConfig, coming: int = 0) -> list[Path]:
    """The nightly exports that go when `coming` more are there, oldest first; what people exported is none of them."""
    kept = settings.keep_exports - coming
    return _but_last(nightly_exports(workspace, settings), kept) if settings.keep_exports else []


def _unfinished(workspace: Workspace, settings: NightlyConfig) -> list[Path]:
    """What killed nights left of their exports. No other night runs now, so none of it is being written."""
    name = re.compile(rf"\.{re.escape(settings.export_name)}-{RUN_ID.pattern}\.\d+\.(partial|replaced)")
    return sorted(path for path in workspace.exports.iterdir() if name.fullmatch(path.name))


def _but_last(folders: Sequence[Path], number: int) -> list[Path]:
    return list(folders[: max(len(folders) - number, 0)])

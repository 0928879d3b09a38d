"""Whether the disk has room for a night, asked before any work."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from curation.config import Config
from curation.errors import NightlyError
from curation.workspace import Workspace
from pipelines.nightly.exports import newest_export
from pipelines.nightly.night import Night


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes that are free where the workspace lies, and bytes that a night has to find free."""

    free: int
    needed: int


def space_of(workspace: Workspace, config: Config) -> Space:
    """What is free; needed are `nightly.least_free_gb`, another copy of the catalogue, and of the newest export."""
    needed = int(config.nightly.least_free_gb * 1e9)
    needed += workspace.catalog.stat().st_size if workspace.catalog.exists() else 0
    before = newest_export(workspace, config.nightly) if config.nightly.export_format else None
    if before is not None:
        needed += sum(path.stat().st_size for path in before.rglob("*") if path.is_file())
    return Space(free=shutil.disk_usage(workspace.root).free, needed=needed)


def check_space(night: Night) -> None:
    """Raise `NightlyError` where the night would probably fill the disk."""
    space = space_of(night.workspace, night.config)
    if space.free < space.needed:
        raise NightlyError(
            f"the disk of {night.workspace.root} has {space.free / 1e9:.1f} GB free, a night needs "
            f"{space.needed / 1e9:.1f} GB.",
            hint="Free some space, keep fewer exports (nightly.keep_exports), or lower nightly.least_free_gb.",
        )
    night.log.say(
        "space",
        f"{space.free / 1e9:.1f} GB free, {space.needed / 1e9:.1f} GB needed",
        free_bytes=space.free,
        needed_bytes=space.needed,
    )

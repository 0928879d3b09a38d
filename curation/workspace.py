"""The folder that holds one curation project: where everything in it lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from curation.config import Config, read_config, write_config
from curation.errors import WorkspaceError

_FOLDERS = ("embeddings", "indexes", "models", "snapshots", "runs", "exports")


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths of one workspace. `decisions.sqlite` and `history` are irreplaceable; the rest can be rebuilt."""

    root: Path

    @property
    def config_file(self) -> Path:
        return self.root / "curate.toml"

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.duckdb"

    @property
    def journal(self) -> Path:
        return self.root / "decisions.sqlite"

    @property
    def embeddings(self) -> Path:
        return self.root / "embeddings"

    @property
    def indexes(self) -> Path:
        return self.root / "indexes"

    @property
    def network(self) -> Path:
        return self.root / "models" / "similarity.safetensors"

    @property
    def noise_model(self) -> Path:
        return self.root / "models" / "noise.safetensors"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def run_lock(self) -> Path:
        return self.root / "run.lock"

    @property
    def history(self) -> Path:
        return self.root / "history"

    @property
    def thumbnails(self) -> Path:
        return self.root / "thumbnails"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    def config(self) -> Config:
        """The configuration as it stands in the file now."""
        return read_config(self.config_file)


def create_workspace(root: Path, config: Config) -> Workspace:
    """Make a new workspace with its commented configuration; refuses a folder that holds anything."""
    root = root.absolute()
    if (root / "curate.toml").exists():
        raise WorkspaceError(f"{root} is a workspace already.", hint="Use it as it is, or name another folder.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise WorkspaceError(f"{root} exists and is not an empty folder.", hint="Name a new or an empty folder.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        make_folders(root)
        workspace = Workspace(root)
        write_config(config, workspace.config_file)
    except OSError as error:
        raise WorkspaceError(f"{root} cannot be written: {error.strerror}.", hint="Choose a folder you own.") from error
    return workspace


def refuse_read_only(workspace: Workspace) -> None:
    """Raise `WorkspaceError` where nothing can be written to the workspace."""
    if not os.access(workspace.root, os.W_OK):
        raise WorkspaceError(
            f"{workspace.root} cannot be written: its disk is read-only, or this user may not.",
            hint="Make it writable. Status, report, scores, search, doctor and backup go on working.",
        )


def make_folders(root: Path) -> None:
    """Make the folders of a workspace in `root`, those that are not there."""
    for folder in _FOLDERS:
        (root / folder).mkdir(exist_ok=True)


def open_workspace(root: Path) -> Workspace:
    """Open an existing workspace; says how to make one where there is none."""
    root = root.absolute()
    workspace = Workspace(root)
    if not workspace.config_file.is_file():
        raise WorkspaceError(
            f"{root} is not a workspace: it has no curate.toml.", hint=f"`curate init {root}` makes a new one."
        )
    if not os.access(workspace.config_file, os.R_OK):
        raise WorkspaceError(f"{workspace.config_file} cannot be read.", hint="Check its permissions.")
    return workspace

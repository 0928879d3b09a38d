"""Where a night takes place: what the units must know of a workspace and its machine."""

from __future__ import annotations

import grp
import pwd
import re
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from curation.errors import UnitsError
from curation.workspace import Workspace
from pipelines.nightly.sources import place_of

_LONGEST = 40  # "curate-" and this stay below the 52 characters that Kubernetes allows a CronJob


@dataclass(frozen=True, slots=True)
class Place:
    """One workspace and who works there. All paths are absolute and printable; those that are mounted hold no colon."""

    workspace: Path
    command: Path  # of `curate`
    sources: tuple[Path, ...]  # folders outside the workspace that nights read
    user: str
    group: str
    uid: int
    gid: int
    cache: Path | None  # of the user: encoder weights; none where the user has no home

    def __post_init__(self) -> None:
        for path in (self.workspace, *self.sources):
            if ":" in str(path):
                raise UnitsError(
                    f"{path} holds a colon, which Docker and Kubernetes cannot mount.", hint="Rename the folder."
                )
        if set("'\"\\") & set(str(self.command)):
            raise UnitsError(
                f"{self.command} holds a quote or a backslash; systemd would not start it.",
                hint="Install the package in another folder.",
            )
        for path in (self.workspace, self.command, *self.sources, *([self.cache] if self.cache else [])):
            if not str(path).isprintable():
                raise UnitsError(
                    f"{str(path)!r} holds a line break or another character that units cannot hold.",
                    hint="Rename the folder.",
                )

    @property
    def name(self) -> str:
        """What the units are called: lower-case letters, digits and hyphens, at most 47 characters."""
        words = re.sub(r"[^a-z0-9]+", "-", self.workspace.name.lower()).strip("-")
        return f"curate-{words[:_LONGEST].rstrip('-') or 'workspace'}"


def place_of_nights(workspace: Workspace) -> Place:
    """What this machine knows: nights run as the owner of the workspace, by the `curate` of this installation."""
    root = workspace.root.resolve()
    command = Path(sysconfig.get_path("scripts")).absolute() / "curate"
    if not command.is_file():
        raise UnitsError(f"the command {command} is not there.", hint="Install the package: `pip install -e .`")
    owner = root.stat()
    user, home = _user(owner.st_uid)
    places = (place_of(workspace, source) for source in workspace.config().nightly.sources)
    return Place(
        workspace=root,
        command=command,
        sources=folders_outside(root, places),
        user=user,
        group=_group(owner.st_gid),
        uid=owner.st_uid,
        gid=owner.st_gid,
        cache=home / ".cache" if home else None,
    )


def folders_outside(workspace: Path, places: Iterable[Path]) -> tuple[Path, ...]:
    """The folders that hold `places`, each once, without those in the workspace and without `/`."""
    folders = (place if place.is_dir() else place.parent for place in places)
    outside = {folder: None for folder in folders if not folder.resolve().is_relative_to(workspace)}
    return tuple(folder for folder in outside if folder != Path("/"))


def _user(uid: int) -> tuple[str, Path | None]:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # a number alone, as in a container
        return str(uid), None
    return entry.pw_name, Path(entry.pw_dir)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)

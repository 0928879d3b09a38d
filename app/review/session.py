"""What every screen gets: the workspace, its configuration as it stands now, and who is at the browser."""

from __future__ import annotations

from dataclasses import dataclass

from app.review.access import Person
from curation.config import Config
from curation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the script for one browser."""

    workspace: Workspace
    config: Config
    person: Person

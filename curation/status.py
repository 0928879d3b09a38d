"""The state of a workspace: what it holds, and which stages would run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from curation.config import Config
from curation.errors import WorkspaceBusyError
from curation.flow import STAGES, is_up_to_date
from curation.run_lock import refuse_if_busy
from curation.store.connection import Connection, catalog
from curation.store.decisions import latest_decisions
from curation.store.flags import count_flags
from curation.store.journal import journal
from curation.store.runs import StageState, read_stages
from curation.store.samples import count_samples
from curation.store.snapshot import is_published, snapshot
from curation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StageStatus:
    """`state` is `up to date`, `out of date` or `never run`; `published` while a command runs. `finished_at` is UTC."""

    name: str
    state: str
    finished_at: str


@dataclass(frozen=True, slots=True)
class WorkspaceStatus:
    """Counts by role, the stages in order, samples by flag, and how many samples carry a decision.

    `busy` says which command is changing the workspace, and is empty where none is. While one is, everything but the
    decisions is as it was last published: nobody waits for the command, nor does it wait for who asks.
    """

    samples: dict[str, dict[str, int]]
    stages: tuple[StageStatus, ...]
    flags: dict[str, int]
    decisions: int
    busy: str = ""


def workspace_status(workspace: Workspace, config: Config) -> WorkspaceStatus:
    """Look at the catalogue, the journal and the files; changes nothing."""
    busy = _busy(workspace)
    if busy and is_published(workspace):
        with snapshot(workspace) as connection:
            samples, flags, states = _counted(connection)
        words = dict.fromkeys(states, "published")
    else:
        with catalog(workspace) as connection:
            samples, flags, states = _counted(connection)
        words = {
            stage.name: "up to date"
            if is_up_to_date(stage, states[stage.name], workspace, stage.fingerprint(workspace, config))
            else "out of date"
            for stage in STAGES
            if stage.name in states
        }
    with journal(workspace.journal) as connection_to_journal:
        decisions = len(latest_decisions(connection_to_journal))
    return WorkspaceStatus(samples, _stages(states, words), flags, decisions, busy)


def _busy(workspace: Workspace) -> str:
    try:
        refuse_if_busy(workspace)
    except WorkspaceBusyError as error:
        return error.message
    return ""


def _counted(connection: Connection) -> tuple[dict[str, dict[str, int]], dict[str, int], dict[str, StageState]]:
    return count_samples(connection), count_flags(connection), read_stages(connection)


def _stages(states: Mapping[str, StageState], words: Mapping[str, str]) -> tuple[StageStatus, ...]:
    finished = {name: f"{state.finished_at:%Y-%m-%d %H:%M:%S}" for name, state in states.items()}
    return tuple(
        StageStatus(stage.name, words.get(stage.name, "never run"), finished.get(stage.name, "")) for stage in STAGES
    )

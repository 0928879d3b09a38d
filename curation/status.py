"""The state of a workspace: what it holds, and which stages would run."""

from __future__ import annotations

from dataclasses import dataclass

from curation.config import Config
from curation.flow import STAGES, is_up_to_date
from curation.store.connection import catalog
from curation.store.decisions import latest_decisions
from curation.store.flags import count_flags
from curation.store.journal import journal
from curation.store.runs import read_stages
from curation.store.samples import count_samples
from curation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StageStatus:
    """`state` is `up to date`, `out of date` or `never run`; `finished_at` is UTC."""

    name: str
    state: str
    finished_at: str


@dataclass(frozen=True, slots=True)
class WorkspaceStatus:
    """Counts by role, the stages in order, samples by flag, and how many samples carry a decision."""

    samples: dict[str, dict[str, int]]
    stages: tuple[StageStatus, ...]
    flags: dict[str, int]
    decisions: int


def workspace_status(workspace: Workspace, config: Config) -> WorkspaceStatus:
    """Look at the catalogue, the journal and the files; changes nothing."""
    with catalog(workspace) as connection:
        samples, flags, states = count_samples(connection), count_flags(connection), read_stages(connection)
    with journal(workspace.journal) as connection_to_journal:
        decisions = len(latest_decisions(connection_to_journal))
    stages = []
    for stage in STAGES:
        state = states.get(stage.name)
        fresh = state is not None and is_up_to_date(stage, state, workspace, config)
        words = "never run" if state is None else "up to date" if fresh else "out of date"
        stages.append(StageStatus(stage.name, words, f"{state.finished_at:%Y-%m-%d %H:%M:%S}" if state else ""))
    return WorkspaceStatus(samples, tuple(stages), flags, decisions)

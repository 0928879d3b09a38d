"""A run is this readable list of stages; each runs when the fingerprint of its inputs has changed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from curation.config import Config
from curation.errors import StoreError
from curation.progress import Progress, silent
from curation.run_lock import run_lock
from curation.stages import embed, flag, noise, score, train_noise, train_similarity
from curation.stages.stage import Stage, Summary
from curation.store.connection import catalog
from curation.store.runs import StageState, finish_run, newest_run, put_stage, read_stages, start_run
from curation.store.snapshot import publish_new_results
from curation.workspace import Workspace

STAGES: tuple[Stage, ...] = (
    embed.STAGE,
    train_similarity.STAGE,
    score.STAGE,
    train_noise.STAGE,
    noise.STAGE,
    flag.STAGE,
)

RUN_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")  # what `new_run_id` gives
_STAMP = "%Y%m%dT%H%M%S"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What happened to one stage: its figures, and whether it ran or was up to date."""

    stage: str
    ran: bool
    summary: Summary


def run_stages(
    workspace: Workspace,
    config: Config,
    *,
    command: str,
    stages: tuple[Stage, ...] = STAGES,
    always: bool = False,
    progress: Progress = silent,
    told: Callable[[StageResult], None] | None = None,
    run_id: str | None = None,
) -> list[StageResult]:
    """Run `stages` in order, each only if out of date (or `always`); `told` hears of each as it ends.

    What they found is published once, at the end: readers never see the scores of one stage beside flags that another
    raised on older ones. Raises `WorkspaceBusyError` while another command changes the workspace.
    """
    with run_lock(workspace, command):
        run_id = new_run_id(workspace) if run_id is None else run_id
        with catalog(workspace) as connection:
            start_run(connection, run_id, command, config)
        results = []
        for stage in stages:
            result = _run_stage(stage, workspace, config, run_id, always, progress)
            if told is not None:
                told(result)
            results.append(result)
        with catalog(workspace) as connection:
            finish_run(connection, run_id)
        publish_new_results(workspace)
    return results


def new_run_id(workspace: Workspace) -> str:
    """When a run begins (UTC) and six hex digits.

    It sorts after all earlier ones of the workspace, also within the same second and where the clock has gone back:
    history, reports and retention go by that order.
    """
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    begins = max([now, *(before + timedelta(seconds=1) for before in _earlier_runs(workspace))])
    return f"{begins:{_STAMP}}-{secrets.token_hex(3)}"


def _earlier_runs(workspace: Workspace) -> Iterator[datetime]:
    """When runs began that left a folder, a night in the history or a row in the catalogue, as their ids have it."""
    named = [path.name for path in (*workspace.runs.glob("*"), *workspace.history.glob("*.json"))]
    if workspace.catalog.exists():
        try:
            with catalog(workspace) as connection:
                named += [run.run_id for run in (newest_run(connection) or ())[:1]]
        except StoreError:
            pass  # a damaged catalogue has no run to sort after; whoever needs it says what is wrong with it
    for name in named:
        if RUN_ID.fullmatch(name.removesuffix(".json")):
            with suppress(ValueError):  # the thirty-first of February: a folder of somebody else
                yield datetime.strptime(name.partition("-")[0], _STAMP)


def is_up_to_date(stage: Stage, state: StageState, workspace: Workspace, fingerprint: str) -> bool:
    """Whether a stage's last results are there and belong to the inputs of this fingerprint."""
    return state.fingerprint == fingerprint and stage.intact(workspace, state.summary)


def _run_stage(
    stage: Stage, workspace: Workspace, config: Config, run_id: str, always: bool, progress: Progress
) -> StageResult:
    with catalog(workspace) as connection:
        state = read_stages(connection).get(stage.name)
    fingerprint = stage.fingerprint(workspace, config)  # of the inputs as they are before the work
    if state is not None and not always and is_up_to_date(stage, state, workspace, fingerprint):
        return StageResult(stage.name, ran=False, summary=state.summary)
    summary = stage.run(workspace, config, progress)
    with catalog(workspace) as connection:
        put_stage(connection, stage.name, fingerprint, run_id, summary)
    return StageResult(stage.name, ran=True, summary=summary)

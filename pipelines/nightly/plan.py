"""What a night would do, and how much of it: asked of the workspace and the sources as they are, writing nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curation.config import Config
from curation.errors import SourceError, WorkspaceBusyError
from curation.flow import STAGES
from curation.nightly_config import NightlyConfig, NightlySource
from curation.run_lock import refuse_if_busy
from curation.stages.ingest import survey
from curation.status import workspace_status
from curation.values import Role
from curation.workspace import Workspace
from pipelines.nightly.retention import old_exports, old_runs
from pipelines.nightly.sources import place_of, vanished
from pipelines.nightly.space import space_of

# Stage -> the roles whose new images bring it work; of novel ones `train-noise` asks only their rough number.
_READS: dict[str, set[Role]] = {
    "embed": set(Role),
    "train-similarity": {Role.BASE},
    "score": {Role.BASE, Role.NOVEL},
    "train-noise": {Role.BASE},
    "noise": {Role.BASE, Role.NOVEL},
    "flag": set(Role),
}
_PERHAPS = {"train-noise": {Role.NOVEL}}


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What would be read of one source, and how many known images it has lost; `problem` is why it could not be had."""

    path: str
    role: str
    listed: int = 0
    read: int = 0
    gone: int = 0
    removed: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class NightPlan:
    """`busy` says who changes the workspace now, empty where nobody does.

    `stages`: name -> `up to date`, `out of date` (would run), `expected` (because of what is new) or `perhaps`.
    `exports_removed` are those that go when a new one is made. Sizes are bytes.
    """

    busy: str
    free_bytes: int
    needed_bytes: int
    sources: tuple[SourcePlan, ...]
    stages: dict[str, str]
    export: str
    train: bool
    runs_removed: int
    exports_removed: int

    @property
    def possible(self) -> bool:
        """Whether a night could begin now, and would meet every source."""
        return not self.busy and self.free_bytes >= self.needed_bytes and not any(item.problem for item in self.sources)


def plan_night(workspace: Workspace, config: Config) -> NightPlan:
    """Look at everything that a night would look at first."""
    settings = config.nightly
    space = space_of(workspace, config)
    sources = tuple(_source(workspace, source, settings) for source in settings.sources)
    return NightPlan(
        busy=_busy(workspace),
        free_bytes=space.free,
        needed_bytes=space.needed,
        sources=sources,
        stages=_stages(workspace, config, sources),
        export=_export(settings),
        train=bool(settings.train),
        runs_removed=len(old_runs(workspace, settings, newest="")),
        exports_removed=len(old_exports(workspace, settings, coming=1)) if settings.export_format else 0,
    )


def _source(workspace: Workspace, source: NightlySource, settings: NightlyConfig) -> SourcePlan:
    path = place_of(workspace, source)
    try:
        found = survey(workspace, path, source.role)
    except SourceError as error:
        return SourcePlan(str(path), source.role.value, problem=str(error))
    lost = found.gone_share > settings.most_gone
    return SourcePlan(
        path=found.source,
        role=found.role,
        listed=found.listed,
        read=found.read,
        gone=found.gone,
        removed=found.gone if settings.remove_gone and not lost else 0,
        problem=vanished(found.source, found.gone, found.gone_share, settings) if lost else "",
    )


def _stages(workspace: Workspace, config: Config, sources: Sequence[SourcePlan]) -> dict[str, str]:
    if not (workspace.catalog.exists() and workspace.journal.exists()):
        return {stage.name: "out of date" for stage in STAGES}
    changed = {Role(source.role) for source in sources if source.read or source.removed}
    known = {stage.name: stage.state for stage in workspace_status(workspace, config).stages}
    if known["train-similarity"] != "up to date":
        changed.add(Role.BASE)  # another network has what it would bring: other scores
    return _with_what_follows({name: _state(name, state, changed) for name, state in known.items()})


def _with_what_follows(states: dict[str, str]) -> dict[str, str]:
    """A stage that reads what another will have made anew runs too: new decisions alone change the flags."""
    for stage, reads in (("noise", ("score", "train-noise")), ("flag", ("noise",))):
        if states[stage] == "up to date" and any(states[one] in ("out of date", "expected") for one in reads):
            states = states | {stage: "expected"}
    return states


def _state(stage: str, known: str, changed: set[Role]) -> str:
    if known != "up to date":
        return "out of date"
    if changed & _READS[stage]:
        return "expected"
    return "perhaps" if changed & _PERHAPS.get(stage, set()) else known


def _busy(workspace: Workspace) -> str:
    try:
        refuse_if_busy(workspace)
    except WorkspaceBusyError as error:
        return error.message
    return ""


def _export(settings: NightlyConfig) -> str:
    if not settings.export_format:
        return "none (nightly.export_format is empty)"
    everything = " of everything" if settings.everything else ""
    parts = f" in parts ({settings.split})" if settings.split else ""
    promised = f" if noise<={settings.promise:g} can be promised" if settings.promise else ""
    return f"{settings.export_format}{everything}{parts}{promised}, unless the cleaned set stays as it is"

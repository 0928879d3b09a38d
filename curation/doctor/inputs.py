"""What several checks look at, read once and as it is: nothing is made, migrated or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from curation.config import Config
from curation.errors import CurationError, StoreError, WorkspaceBusyError, WorkspaceError
from curation.run_lock import refuse_if_busy
from curation.store.connection import catalog_as_it_is
from curation.store.runs import Run, StageState, newest_run, read_stages
from curation.store.samples import count_samples, ingested_sources
from curation.store.schema import schema_version
from curation.values import Role
from curation.workspace import Workspace

CATALOGUE_TIMEOUT_S = 10.0  # a stage's longest write takes a few seconds


@dataclass(frozen=True, slots=True)
class CatalogueFacts:
    """What the catalogue says: its schema, samples by role, sources, the stages, and the run that began last."""

    schema: int
    samples: Mapping[str, int]
    sources: tuple[tuple[str, Role, int], ...]
    stages: Mapping[str, StageState]
    run: Run | None
    run_finished: bool


@dataclass(frozen=True, slots=True)
class DoctorInputs:
    """A workspace, and what was read of it; where something could not be read, the error says why.

    `thorough`: checks may take minutes. `held`: a command is changing the workspace now.
    """

    workspace: Workspace
    thorough: bool
    held: bool
    now: datetime
    config_or_error: Config | CurationError
    catalogue_or_error: CatalogueFacts | CurationError | None

    @property
    def config(self) -> Config:
        """The configuration; raises the error where it is unusable."""
        if isinstance(self.config_or_error, CurationError):
            raise self.config_or_error
        return self.config_or_error

    @property
    def catalogue(self) -> CatalogueFacts | None:
        """The catalogue's facts, `None` before the first ingest; raises the error where it cannot be read."""
        if isinstance(self.catalogue_or_error, CurationError):
            raise self.catalogue_or_error
        return self.catalogue_or_error


def look_at(workspace: Workspace, *, thorough: bool) -> DoctorInputs:
    """Read what the checks share."""
    return DoctorInputs(
        workspace=workspace,
        thorough=thorough,
        held=_is_held(workspace),
        now=datetime.now(UTC),
        config_or_error=_config(workspace),
        catalogue_or_error=_catalogue(workspace),
    )


def _is_held(workspace: Workspace) -> bool:
    try:
        refuse_if_busy(workspace)
    except WorkspaceBusyError:
        return True
    except WorkspaceError:
        return False  # that it cannot be opened is for the check of the lock to say
    return False


def _config(workspace: Workspace) -> Config | CurationError:
    try:
        return workspace.config()
    except CurationError as error:
        return error
    except OSError as error:
        return WorkspaceError(
            f"{workspace.config_file} cannot be read: {error.strerror}.",
            hint="Restore it from a backup; `curate init` of a new folder writes one with the defaults.",
        )


def _catalogue(workspace: Workspace) -> CatalogueFacts | CurationError | None:
    if not workspace.catalog.exists():
        return None
    try:
        with catalog_as_it_is(workspace, timeout_s=CATALOGUE_TIMEOUT_S) as connection:
            if (schema := schema_version(connection)) == 0:
                return None
            newest = newest_run(connection)
            return CatalogueFacts(
                schema=schema,
                samples={role: counts["samples"] for role, counts in count_samples(connection).items()},
                sources=tuple(ingested_sources(connection)),
                stages=read_stages(connection),
                run=None if newest is None else newest[0],
                run_finished=newest is not None and newest[1],
            )
    except StoreError as error:
        return error

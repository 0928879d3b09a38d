"""`run lock`: whether a command is changing the workspace, and whether the last one let go."""

from __future__ import annotations

from datetime import datetime, timedelta

from curation.doctor.finding import Finding, ok, problem, warning
from curation.doctor.inputs import DoctorInputs
from curation.errors import WorkspaceBusyError, WorkspaceError
from curation.run_lock import LockHolder, last_holder, refuse_if_busy

_LONG = timedelta(days=1)  # a first run of a million images on a CPU takes about that


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding."""
    try:
        refuse_if_busy(inputs.workspace)
        dead = last_holder(inputs.workspace)
    except WorkspaceBusyError as error:
        return [_held(error, last_holder(inputs.workspace), inputs.now)]
    except WorkspaceError as error:
        return [problem(error.message, error.hint)]
    if dead is None:
        return [ok("no command is changing the workspace.")]

    def repair() -> str:
        return "cleared the name: the lock was free."  # whoever takes the lock does so, and repairs hold it

    return [
        warning(
            f"{dead}, begun {dead.started_at}, ended without letting go of the lock; it is free.",
            "Nothing is blocked. `curate run` goes on where it was.",
            repair,
        )
    ]


def _held(error: WorkspaceBusyError, holder: LockHolder | None, now: datetime) -> Finding:
    if holder is not None and now - datetime.fromisoformat(holder.started_at) > _LONG:
        return warning(error.message, f"See what process {holder.pid} on {holder.host} does; end it if it hangs.")
    return ok(error.message)

"""`leftovers`: no half-written file of a process that died, and nothing that was put aside as damaged."""

from __future__ import annotations

from pathlib import Path

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import DoctorInputs
from curation.leftovers import half_written, put_aside, remove_leftover


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding."""
    leftovers = sorted((*half_written(inputs.workspace, inputs.now), *put_aside(inputs.workspace)))
    if not leftovers or inputs.held:
        return [ok("nothing half-written lies about." if not leftovers else "a command is writing; look again later.")]

    def repair() -> str:
        for path in leftovers:
            remove_leftover(path, inputs.workspace)
        return f"removed {len(leftovers)} leftovers."

    size = sum(_size(path) for path in leftovers)
    return [
        warning(
            f"dead processes left {len(leftovers)} half-written or damaged files and folders ({size / 1e6:.1f} MB), "
            f"{leftovers[0]} for one.",
            "--fix removes them.",
            repair,
        )
    ]


def _size(path: Path) -> int:
    return sum(one.lstat().st_size for one in (path, *path.rglob("*")) if not one.is_dir())

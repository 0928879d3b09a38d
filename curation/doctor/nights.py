"""`history`: what every night left can be read."""

from __future__ import annotations

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import DoctorInputs
from curation.history.keeping import read_history


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding."""
    history = read_history(inputs.workspace)
    if history.damaged:
        return [
            warning(
                f"{len(history.damaged)} nights of the history cannot be read, {history.damaged[0]} for one.",
                "Put the file of the last backup in its place; without it the night is left out of plots and alarms.",
            )
        ]
    return [ok(f"{len(history.nights)} nights are in the history.")]

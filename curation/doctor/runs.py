"""`runs`: the last run came to its end."""

from __future__ import annotations

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import DoctorInputs


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding."""
    facts = inputs.catalogue
    if facts is None or facts.run is None:
        return [ok("nothing has run yet.")]
    run = facts.run
    told = f"`curate {run.command}` ({run.run_id}), begun {run.started_at:%Y-%m-%d %H:%M} UTC"
    if facts.run_finished:
        return [ok(f"{told}, came to its end.")]
    if inputs.held:
        return [ok(f"{told}, is running.")]
    return [
        warning(
            f"{told}, never came to its end.",
            f"`curate run {inputs.workspace.root}` goes on where it was, or says why.",
        )
    ]

"""`models`: what was learned is the file that its stage wrote."""

from __future__ import annotations

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import DoctorInputs
from curation.files import file_digest


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding for each model that is missing or another."""
    facts = inputs.catalogue
    models = {"train-similarity": inputs.workspace.network, "train-noise": inputs.workspace.noise_model}
    states = {} if facts is None else {name: facts.stages[name] for name in models if name in facts.stages}
    wrong = [
        models[name]
        for name, state in states.items()
        if "file" in state.summary and file_digest(models[name]) != state.summary["file"]
    ]
    if inputs.held or not wrong:
        return [ok(f"{len(states)} models are as they were learned.")]
    return [
        warning(
            f"{path} is {'not the file that was learned' if path.exists() else 'missing'}.",
            f"`curate run {inputs.workspace.root}` learns it again; a backup would save that.",
        )
        for path in wrong
    ]

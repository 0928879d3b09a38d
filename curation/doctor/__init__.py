"""`curate doctor`: what may be wrong with a workspace and its machine. One file a check, one readable registry.

A new check is one file with a function `DoctorInputs -> list[Finding]`, one line here, one test. Nothing is changed
without `fix`, and a check that fails hides none of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from curation.doctor import (
    catalogue,
    configuration,
    decisions,
    devices,
    disk,
    encoder_weights,
    faiss_build,
    journal,
    leases,
    leftovers,
    lock,
    models,
    nights,
    orphans,
    permissions,
    runs,
    shards,
    snapshots,
    sources,
    versions,
)
from curation.doctor.finding import Diagnosis, Finding, Level
from curation.doctor.inputs import DoctorInputs, look_at
from curation.errors import CurationError, WorkspaceError
from curation.run_lock import run_lock
from curation.workspace import Workspace, open_workspace

REGISTRY: Mapping[str, Callable[[DoctorInputs], list[Finding]]] = {
    "versions": versions.find,
    "devices": devices.find,
    "faiss": faiss_build.find,
    "configuration": configuration.find,
    "encoder": encoder_weights.find,
    "permissions": permissions.find,
    "disk": disk.find,
    "run lock": lock.find,
    "journal": journal.find,
    "decisions": decisions.find,
    "leases": leases.find,
    "catalogue": catalogue.find,
    "runs": runs.find,
    "snapshots": snapshots.find,
    "sources": sources.find,
    "models": models.find,
    "shards": shards.find,
    "orphans": orphans.find,
    "history": nights.find,
    "leftovers": leftovers.find,
}


def examine(
    workspace: Workspace,
    *,
    thorough: bool = False,
    fix: bool = False,
    checks: Mapping[str, Callable[[DoctorInputs], list[Finding]]] = REGISTRY,
) -> list[Diagnosis]:
    """All findings, in the order of the registry; with `fix`, what can safely be repaired is, and they say how."""
    inputs = look_at(workspace, thorough=thorough)
    found = [(name, finding) for name, find in checks.items() for finding in _ask(find, inputs)]
    diagnoses = [
        Diagnosis(name, finding.level, finding.sentence, finding.advice, finding.repair is not None)
        for name, finding in found
    ]
    return _repaired(workspace, [finding for _, finding in found], diagnoses) if fix else diagnoses


def open_damaged(root: Path) -> Workspace:
    """Like `open_workspace`, also where curate.toml is lost but other parts of a workspace are there."""
    workspace = Workspace(root.absolute())
    parts = (workspace.catalog, workspace.journal, workspace.snapshots, workspace.embeddings)
    return workspace if any(part.exists() for part in parts) else open_workspace(root)


def _ask(find: Callable[[DoctorInputs], list[Finding]], inputs: DoctorInputs) -> Sequence[Finding]:
    try:
        return find(inputs)
    except CurationError as error:
        return [Finding(Level.WARNING, f"not examined: {error.message}", error.hint)]
    except Exception as error:  # damage that the check was not prepared for; the other checks are to be heard too
        advice = "Look at what else is found; if nothing explains it, please report it."
        return [Finding(Level.PROBLEM, f"the check failed: {type(error).__name__}: {error}", advice)]


def _repaired(workspace: Workspace, findings: Sequence[Finding], diagnoses: list[Diagnosis]) -> list[Diagnosis]:
    """Repair while no other command changes the workspace; where one does, everything is left as it is."""
    if not any(finding.repair for finding in findings):
        return diagnoses
    try:
        with run_lock(workspace, "doctor --fix"):
            return list(_each_repaired(findings, diagnoses))
    except WorkspaceError as error:
        done = f"left as it is: {error.message}"
        return [replace(one, done=done) if one.can_be_fixed else one for one in diagnoses]


def _each_repaired(findings: Sequence[Finding], diagnoses: Sequence[Diagnosis]) -> Iterator[Diagnosis]:
    for finding, diagnosis in zip(findings, diagnoses, strict=True):
        if finding.repair is None:
            yield diagnosis
            continue
        try:
            yield replace(diagnosis, fixed=True, done=finding.repair())
        except (CurationError, OSError) as error:
            yield replace(diagnosis, done=f"could not be fixed: {error}")

"""`permissions`: this user may write where commands write."""

from __future__ import annotations

import os

from curation.doctor.finding import Finding, ok, problem, warning
from curation.doctor.inputs import DoctorInputs
from curation.workspace import make_folders


def find(inputs: DoctorInputs) -> list[Finding]:
    """Every place that cannot be written, and folders that are missing."""
    workspace = inputs.workspace
    folders = [workspace.embeddings, workspace.indexes, workspace.network.parent, workspace.snapshots]
    folders += [workspace.runs, workspace.exports]
    missing = [folder.name for folder in folders if not folder.is_dir()]
    places = (workspace.root, workspace.catalog, workspace.journal, *folders)
    locked = [str(path) for path in places if path.exists() and not os.access(path, os.W_OK)]
    findings = []
    if locked:
        findings.append(
            problem(
                f"{', '.join(locked)} cannot be written by this user (number {os.getuid()}).",
                "Give this user the right to write there, or mount the disk so; reading and backups go on working.",
            )
        )
    if missing:

        def repair() -> str:
            make_folders(workspace.root)
            return f"made {', '.join(missing)}."

        findings.append(warning(f"the folders {', '.join(missing)} are missing.", "--fix makes them.", repair))
    return findings or [ok("everything can be written.")]

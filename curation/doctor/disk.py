"""`disk`: there is room for what the next run writes."""

from __future__ import annotations

import shutil
from pathlib import Path

from curation.doctor.finding import Finding, ok, problem, warning
from curation.doctor.inputs import CatalogueFacts, DoctorInputs
from curation.workspace import Workspace

_EMBEDDING_BYTES = 2 * 1024 + 32  # of one image: 1,024 dimensions in float16, and its digest


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding: what is free, and what a run and a night ask for."""
    free = shutil.disk_usage(inputs.workspace.root).free
    needed = _needed(inputs.workspace, inputs.catalogue)
    reserve = int(inputs.config.nightly.least_free_gb * 1e9)
    told = f"{_gb(free)} free; the next run needs about {_gb(needed)}"
    if free < needed:
        return [problem(f"{told}.", "Free some space; `curate doctor --fix` removes what dead processes left.")]
    if free < needed + reserve:
        return [
            warning(
                f"{told}, and a night does not begin with less than {_gb(needed + reserve)}.",
                "Free some space, or lower nightly.least_free_gb.",
            )
        ]
    return [ok(f"{told}.")]


def _needed(workspace: Workspace, facts: CatalogueFacts | None) -> int:
    """The next snapshot, the embeddings that are missing, and the search indexes, which are written beside the old."""
    snapshot = workspace.catalog.stat().st_size if workspace.catalog.exists() else 0
    return snapshot + _missing_images(workspace, facts) * _EMBEDDING_BYTES + _size(workspace.indexes)


def _missing_images(workspace: Workspace, facts: CatalogueFacts | None) -> int:
    """Samples beyond the images that were embedded last; all where there are no embeddings."""
    if facts is None:
        return 0
    samples, embedded = sum(facts.samples.values()), 0
    if "embed" in facts.stages and any(workspace.embeddings.glob("*/*.safetensors")):
        embedded = int(facts.stages["embed"].summary.get("images", 0))
    return max(0, samples - embedded)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"

"""`sources`: what was ingested is where it was."""

from __future__ import annotations

from pathlib import Path

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import DoctorInputs


def find(inputs: DoctorInputs) -> list[Finding]:
    """Every source that is not there any more."""
    facts = inputs.catalogue
    if facts is None or not facts.sources:
        return [ok("nothing has been ingested yet.")]
    gone = [(path, role, number) for path, role, number in facts.sources if not Path(path).exists()]
    return [
        warning(
            f"the {role.value} source {path} is not there; {number:,} samples came from it and cannot be exported.",
            "Mount its disk, or ingest it again from where it is now: embeddings and decisions are kept.",
        )
        for path, role, number in gone
    ] or [ok(f"all {len(facts.sources)} sources are there.")]

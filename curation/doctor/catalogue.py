"""`catalogue`: catalog.duckdb can be read."""

from __future__ import annotations

from curation.doctor.finding import Finding, ok, problem, warning
from curation.doctor.inputs import DoctorInputs
from curation.errors import StoreBusyError, StoreError
from curation.store.schema import MIGRATIONS


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding."""
    path = inputs.workspace.catalog
    try:
        facts = inputs.catalogue
    except StoreBusyError as error:
        return [warning(error.message, error.hint)]
    except StoreError as error:
        return [problem(error.message, error.hint)]
    if facts is None:
        if any(inputs.workspace.snapshots.glob("[0-9]*.duckdb")):
            return [problem(f"{path} is missing.", "Ingest the sources again, then `curate run`: it can be rebuilt.")]
        return [ok("there is no catalogue before the first ingest.")]
    if facts.schema > len(MIGRATIONS):
        return [
            problem(
                f"{path} has schema {facts.schema}, this version knows {len(MIGRATIONS)}.",
                "Install the newer version of webnoise-curation that wrote it.",
            )
        ]
    counts = ", ".join(f"{number:,} {role}" for role, number in facts.samples.items()) or "no samples"
    later = "" if facts.schema == len(MIGRATIONS) else " The next command brings it to this version's schema."
    return [ok(f"{path} can be read: {counts}.{later}")]

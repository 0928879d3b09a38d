"""`journal`: decisions.sqlite, which cannot be rebuilt, is whole."""

from __future__ import annotations

from curation.doctor.finding import Finding, ok, problem
from curation.doctor.inputs import DoctorInputs
from curation.errors import StoreError
from curation.store.decisions import newest_record
from curation.store.journal import journal_as_it_is, journal_version
from curation.store.journal_check import journal_defects

_RESTORE = "Keep the damaged file, and put the one of the last backup in its place."


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding."""
    path = inputs.workspace.journal
    if not path.exists():
        if inputs.workspace.catalog.exists() or any(inputs.workspace.snapshots.glob("*.duckdb")):
            return [problem(f"{path} is missing: what people decided is gone.", "Restore it from the last backup.")]
        return [ok("there is no decisions.sqlite before the first ingest.")]
    try:
        with journal_as_it_is(path) as connection:
            if journal_version(connection) == 0:
                return [problem(f"{path} is empty.", _RESTORE)]
            defects = journal_defects(connection)
            number, written_at = newest_record(connection)
    except StoreError as error:
        return [problem(error.message, _RESTORE)]
    if defects:
        return [problem(f"{path} is damaged: {'; '.join(defects)}.", _RESTORE)]
    return [ok(f"{path} is whole; {number:,} records, the last one {written_at or 'never'}.")]

"""`leases`: no page of the review is held whose time ended long ago."""

from __future__ import annotations

from datetime import timedelta

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import DoctorInputs
from curation.store.journal import journal, journal_as_it_is
from curation.store.leases import leases_ended_before, remove_leases_ended_before

_LONG_AGO = timedelta(days=1)  # a browser may have slept over night and still send what it held


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding."""
    path, moment = inputs.workspace.journal, inputs.now - _LONG_AGO
    if not path.exists():
        return [ok("nobody has reviewed yet.")]
    with journal_as_it_is(path) as connection:
        ended = leases_ended_before(connection, moment)
    if not ended:
        return [ok("no lease ended long ago.")]

    def repair() -> str:
        with journal(path) as connection:
            return f"took {remove_leases_ended_before(connection, moment):,} ended leases off the list."

    return [
        warning(
            f"{ended:,} images are listed on pages whose time ended more than a day ago; others may get them.",
            "--fix takes them off the list.",
            repair,
        )
    ]

"""`decisions`: what people decided is in the noise probabilities."""

from __future__ import annotations

from datetime import UTC

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import DoctorInputs
from curation.stages.noise import fingerprint_from
from curation.store.decisions import latest_decisions, records_since
from curation.store.journal import journal_as_it_is


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding. What was decided and taken back since changes nothing, and is not counted."""
    facts = inputs.catalogue
    noise = None if facts is None else facts.stages.get("noise")
    if facts is None or noise is None or not inputs.workspace.journal.exists():
        return [ok("no noise has been estimated yet.")]
    with journal_as_it_is(inputs.workspace.journal) as connection:
        counting = latest_decisions(connection)
        newer = records_since(connection, noise.finished_at.replace(tzinfo=UTC))
    if newer and fingerprint_from(facts.stages, counting, inputs.config) != noise.fingerprint:
        return [
            warning(
                f"{newer:,} decisions came after the noise was last estimated ({noise.finished_at:%Y-%m-%d %H:%M} UTC);"
                " exports obey them, the other images have not learned from them.",
                f"`curate run {inputs.workspace.root}` applies them.",
            )
        ]
    return [ok(f"the {len(counting):,} decisions that count are applied.")]

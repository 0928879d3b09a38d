"""`snapshots`: what readers read is there, can be read, and is what the catalogue has."""

from __future__ import annotations

from curation.doctor.finding import Finding, ok, problem, warning
from curation.doctor.inputs import DoctorInputs
from curation.errors import CurationError, StoreError
from curation.store.runs import read_stages
from curation.store.samples import count_samples
from curation.store.snapshot import current_snapshot, is_published, is_whole, publish_snapshot, snapshot


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding; where the catalogue can be read, a missing or damaged snapshot is published anew."""
    workspace = inputs.workspace
    facts = None if isinstance(inputs.catalogue_or_error, CurationError) else inputs.catalogue_or_error
    repair = None if facts is None or not facts.samples else lambda: f"published {publish_snapshot(workspace).name}."
    advice = f"`curate run {workspace.root}` publishes one; so does --fix, where the catalogue can be read."
    if not is_published(workspace):
        if any(workspace.snapshots.glob("[0-9]*.duckdb")) or (facts is not None and facts.samples):
            return [problem("there is no snapshots/CURRENT: readers find nothing.", advice, repair)]
        return [ok("nothing has been published before the first ingest.")]
    path = current_snapshot(workspace)
    if not path.is_file():
        return [problem(f"snapshots/CURRENT names {path.name!r}, which is not there.", advice, repair)]
    try:
        with snapshot(workspace) as connection:
            stages, samples = read_stages(connection), count_samples(connection)
    except StoreError as error:
        return [problem(error.message, advice, repair)]
    if not inputs.held and not is_whole(workspace):
        return [problem(f"{path} is damaged: it does not have the bytes that were published.", advice, repair)]
    if facts is not None and not inputs.held and stages != facts.stages:
        return [warning(f"{path.name} is older than what the stages have found since.", advice, repair)]
    counts = ", ".join(f"{number['samples']:,} {role}" for role, number in samples.items())
    return [ok(f"{path.name} is published: {counts or 'no samples'}.")]

"""`curate audit`: draw a random sample of what an export would keep, and report what its review has found."""

from __future__ import annotations

from pathlib import Path

from curation.audit import AuditResult, audit_result, open_audit_samples, plan_audit
from curation.audit_plan import Audit
from curation.config import Config
from curation.current_set import current_set, read_facts
from curation.errors import AuditError
from curation.files import replace_bytes
from curation.review_list import blind_review_list
from curation.store.audits import append_audit, read_audits
from curation.store.decisions import latest_decisions
from curation.store.journal import journal
from curation.values import Decision
from curation.workspace import Workspace


def draw_audit(
    workspace: Workspace,
    config: Config,
    number: int,
    *,
    seed: int,
    promise: float | None = None,
    out: Path | None = None,
) -> Audit:
    """Draw `number` samples of what an export (under `promise`) would keep undecided, and write the plan down.

    With `out`, the samples are listed there, without what the noise model thinks of them. Raises `AuditError` when
    nothing can be drawn or `out` cannot be written; nothing is written down then.
    """
    found = current_set(read_facts(workspace), config, promise)
    plan = plan_audit(
        {sample.sample_id: sample.noise_probability for sample in found.undecided},
        number,
        seed=seed,
        content_hash=found.cleaned_set.content_hash,
        confirmed=found.confirmed,
        promise=promise,
    )
    if out is not None:
        by_id = {sample.sample_id: sample for sample in found.undecided}
        try:
            replace_bytes(out, blind_review_list(by_id[sample_id] for sample_id in plan.drawn))
        except OSError as error:
            raise AuditError(
                f"{out} cannot be written: {error.strerror}.", hint="Name a file in a folder you own."
            ) from error
    with journal(workspace.journal) as connection:
        return append_audit(connection, plan)


def report_audit(workspace: Workspace) -> tuple[Audit, AuditResult]:
    """The newest audit and what its decisions say so far; raises `AuditError` where none was drawn."""
    audit, decisions = _newest(workspace)
    return audit, audit_result(audit.plan, decisions)


def samples_to_audit(workspace: Workspace) -> list[str]:
    """Ids of the samples of the newest audit that wait for a decision: what a queue of reviewers lists."""
    audit, decisions = _newest(workspace)
    return open_audit_samples(audit.plan, decisions)


def _newest(workspace: Workspace) -> tuple[Audit, dict[str, Decision]]:
    with journal(workspace.journal) as connection:
        audits, decisions = read_audits(connection), latest_decisions(connection)
    if not audits:
        raise AuditError(
            "no audit has been drawn yet.", hint=f"`curate audit {workspace.root} --n 200` draws one of 200 images."
        )
    return audits[-1], decisions

"""`curate export`: the cleaned set as it stands now, written in a format that training pipelines read."""

from __future__ import annotations

from pathlib import Path

from curation import __version__
from curation.cleaned_set import build_cleaned_set
from curation.config import Config
from curation.errors import ExportError
from curation.export.writing import ExportReceipt, export_cleaned_set
from curation.progress import Progress, silent
from curation.sources.location import read_bytes
from curation.store.cleaned_sets import put_cleaned_set
from curation.store.connection import catalog
from curation.store.evidence import read_evidence
from curation.store.flags import count_flags, read_flags
from curation.store.journal import category_ids, journal, latest_decisions
from curation.store.runs import read_stages
from curation.store.samples import read_samples
from curation.values import CleanedSet, Role
from curation.workspace import Workspace


def cleaned_set_now(workspace: Workspace, config: Config, *, with_base: bool = False) -> CleanedSet:
    """The cleaned set of all novel samples (and the base ones, at weight 1) from the newest evidence and decisions."""
    with catalog(workspace) as connection:
        stages = read_stages(connection)
        if "flag" not in stages:
            raise ExportError(
                "nothing has been scored and flagged yet.", hint=f"`curate run {workspace.root}` does it."
            )
        samples = read_samples(connection, Role.NOVEL)
        if with_base:
            samples += read_samples(connection, Role.BASE)
        evidence, flags, flag_counts = read_evidence(connection), read_flags(connection), count_flags(connection)
    with journal(workspace.journal) as connection_to_journal:
        decisions, categories = latest_decisions(connection_to_journal), category_ids(connection_to_journal)
    return build_cleaned_set(
        samples,
        evidence=evidence,
        flags=flags,
        decisions=decisions,
        categories=categories,
        set_aside_flags=config.cleaned_set.set_aside,
        provenance={
            "tool": f"webnoise-curation {__version__}",
            "encoder": stages["embed"].summary["encoder"],
            "network": stages["train-similarity"].summary["network"],
            "flags": flag_counts,
            "decisions": len(decisions),
            "config": config.model_dump(mode="json"),
        },
    )


def export(
    workspace: Workspace,
    config: Config,
    *,
    export_format: str,
    out: Path,
    hard_links: bool = False,
    overwrite: bool = False,
    with_base: bool = False,
    progress: Progress = silent,
) -> ExportReceipt:
    """Write the cleaned set to `out` and record it in the catalogue."""
    receipt = export_cleaned_set(
        cleaned_set_now(workspace, config, with_base=with_base),
        out,
        export_format,
        read_bytes=read_bytes,
        hard_links=hard_links,
        overwrite=overwrite,
        progress=progress,
    )
    with catalog(workspace) as connection:
        put_cleaned_set(
            connection,
            receipt.content_hash,
            export_format,
            out.absolute(),
            kept=receipt.kept,
            set_aside=receipt.set_aside,
        )
    return receipt

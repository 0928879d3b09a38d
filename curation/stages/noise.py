"""`curate noise`: how likely each web category is wrong, and how noisy each category is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from curation import __version__
from curation.config import Config
from curation.embedding_shards import read_embeddings, shards_of
from curation.errors import NoiseModelError
from curation.progress import Progress
from curation.stages.stage import Stage, Summary, fingerprint_of
from curation.store.connection import catalog
from curation.store.decisions import latest_decisions
from curation.store.evidence import read_evidence_columns
from curation.store.journal import journal
from curation.store.noise import replace_noise
from curation.store.runs import StageState, embedding_encoder, read_stages
from curation.store.samples import readable_samples
from curation.values import Decision, Role
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.noise.estimation import NoiseReport


def run(workspace: Workspace, config: Config, progress: Progress) -> Summary:
    """Apply the noise model to the evidence and the decisions as they are now."""
    report = _report(workspace, progress) if config.noise.enabled else None
    with catalog(workspace) as connection:
        replace_noise(connection, report.estimates if report else [], report.categories if report else [])
    if report is None:
        return {"judged": 0}
    return {
        "judged": len(report.estimates),
        "noise rate": report.total.noise_rate,
        "noise rate, low": report.total.low,
        "noise rate, high": report.total.high,
        "calibration error": report.calibration_error,
        "transfer": {**asdict(report.transfer), "confidence": report.transfer.confidence},
        "trusted": report.transfer.trusted,
        "note": report.transfer.sentence,
        "decisions learned from": report.reviewed,
        "others changed sides": report.moved,
    }


def _report(workspace: Workspace, progress: Progress) -> NoiseReport | None:
    with catalog(workspace) as connection:
        encoder = embedding_encoder(connection, workspace.root)
        novel = readable_samples(connection, Role.NOVEL)
        evidence = read_evidence_columns(connection)
        learned = read_stages(connection).get("train-noise")
    if not novel:
        return None
    scored = {sample_id: row for row, sample_id in enumerate(evidence.sample_ids)}
    missing = sum(sample_id not in scored for sample_id, _, _ in novel)
    if missing:
        raise NoiseModelError(
            f"{missing:,} of {len(novel):,} novel samples have not been scored.",
            hint=f"`curate run {workspace.root}` scores them first.",
        )
    from curation.kept_nearest import KeptNearest
    from curation.nearest import find_anew
    from curation.noise.checkpoint import load_noise_model
    from curation.noise.estimation import estimate_noise

    sample_ids, categories, digests = (list(part) for part in zip(*novel, strict=True))
    model = load_noise_model(workspace.noise_model, encoder_identity=encoder)
    # The rows that are compared are whitened by the model: another one has other neighbours.
    kept = KeptNearest(workspace.indexes, f"{learned.summary['noise model']}, {__version__}") if learned else None
    find = find_anew if kept is None else kept.find
    progress("judging", 0, len(novel))
    report = estimate_noise(
        model,
        sample_ids,
        categories,
        read_embeddings(shards_of(workspace.embeddings, encoder), digests),
        evidence.of([scored[sample_id] for sample_id in sample_ids]),
        _decisions(workspace),
        find=find,
    )
    progress("judging", len(novel), len(novel))
    return report


def _decisions(workspace: Workspace) -> dict[str, Decision]:
    with journal(workspace.journal) as connection:
        return latest_decisions(connection)


def fingerprint(workspace: Workspace, config: Config) -> str:
    """Changes with the scores, the noise model and the decisions."""
    with catalog(workspace) as connection:
        stages = read_stages(connection)
    return fingerprint_from(stages, _decisions(workspace), config)


def fingerprint_from(stages: Mapping[str, StageState], decisions: Mapping[str, Decision], config: Config) -> str:
    """The fingerprint, from the states of the stages and the decisions that count."""
    scored, learned = stages.get("score"), stages.get("train-noise")
    return fingerprint_of(
        "noise",
        scored and scored.fingerprint,
        learned and learned.summary["noise model"],
        [(name, item.action, item.category) for name, item in sorted(decisions.items())],
        config.noise.enabled,
    )


def intact(workspace: Workspace, summary: Summary) -> bool:  # noqa: ARG001 - the signature is the stage's
    """Estimates lie in the catalogue, beside the record of their stage."""
    return True


STAGE = Stage("noise", fingerprint, run, intact)

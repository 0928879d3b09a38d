"""What the noise model says of the novel samples: an estimate for each, a noise rate for each category and for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.evidence_columns import EvidenceColumns
from curation.nearest import FindNearest, find_anew
from curation.noise.evidence_table import EvidenceTable, similarity_evidence
from curation.noise.explanation import ExplainedSample, explain, how_loud
from curation.noise.groups import grouped_evidence_table, similar_groups
from curation.noise.kinship import Transfer, random_nearness, task_geometry, transfer_of
from curation.noise.logistic import sigmoid
from curation.noise.model import Judgement, NoiseModel, judge
from curation.noise.probe import Codes
from curation.noise.recalibration import Reviewed, recalibrate, reviewed_samples
from curation.similarity.network import category_codes
from curation.values import CategoryNoise, Decision, FloatArray, NoiseEstimate

# More novel categories than this many times those of a made task are judged in groups of `_GROUP` times as many. On 88
# categories judged by a model of tasks of 2 (one of two draws each), groups of 3 / 6 / 12 / 44 times: AUROC 0.864 /
# 0.889 / 0.909 / 0.860, calibration error 0.04 / 0.11 / 0.20 / 0.45; but 64 by tasks of 6 lose 0.02 AUROC by grouping.
_MOST_TOGETHER = 12
_GROUP = 6
_Z = 1.645  # half the width of a 90 % interval, in standard deviations


@dataclass(frozen=True, slots=True)
class NoiseReport:
    """Estimates in the order of the samples, noise rates by category name, that of all, and how far to trust them.

    `calibration_error`: half the width of a 90 % interval for the mean noise probability. `reviewed` counts the
    decisions that were learned from, `moved` the other samples that they carried over a probability of 1/2.
    """

    estimates: list[NoiseEstimate]
    categories: list[CategoryNoise]
    total: CategoryNoise
    transfer: Transfer
    calibration_error: float
    reviewed: int
    moved: int


def estimate_noise(
    model: NoiseModel,
    sample_ids: Sequence[str],
    categories: Sequence[str],
    embeddings: FloatArray,
    evidence: EvidenceColumns,
    decisions: Mapping[str, Decision],
    *,
    find: FindNearest = find_anew,
) -> NoiseReport:
    """Judge N novel samples with unit-norm `embeddings` (N, D) and the similarity network's `evidence`, all in order.

    Decisions count in three ways: for the images they are about (in the noise rates), for look-alikes (the probe and
    the neighbours are told), and for all others (the log-odds are corrected). No decision enters the estimate of its
    own sample. `find` finds the neighbours that vote.
    """
    names, listed = category_codes(categories)
    codes = np.array(listed, dtype=np.int64)
    rows = model.view.rows(embeddings)
    groups = similar_groups(rows, codes, len(names), _largest_group(model, len(names)))
    similarity = [
        similarity_evidence(evidence.of(group.rows), [categories[row] for row in group.rows]) for group in groups
    ]
    nearest = [
        find(f"votes-{number}", [sample_ids[row] for row in group.rows], rows[group.rows], model.neighbours)
        for number, group in enumerate(groups)
    ]

    def table_of(possible: NDArray[np.bool_] | None) -> EvidenceTable:
        return grouped_evidence_table(
            groups,
            rows,
            codes,
            len(names),
            model.view.contrast,
            similarity,
            nearest,
            possible=possible,
        )

    before = table_of(None)
    transferred = model.wrong.log_odds(before.columns)
    reviewed = reviewed_samples(sample_ids, codes, names, decisions)
    table, log_odds = before, transferred
    if reviewed is not None:
        table = table_of(reviewed.possible)
        log_odds = recalibrate(model.wrong.log_odds(table.columns), codes, len(names), reviewed)
    judgement = judge(model, table, codes, log_odds)
    estimates = _estimates(sample_ids, names, codes, judgement, sigmoid(transferred), table, evidence.weight)
    geometry = task_geometry(rows, codes, len(names), model.view.contrast)
    transfer = transfer_of(geometry, model.geometry, random_nearness(model.view))
    doubt = doubt_of(transfer.confidence)
    spread, error = model.calibration.category_spread * doubt, model.calibration.rate_error * doubt
    chance, sure = _with_decisions(judgement.wrong, reviewed)
    return NoiseReport(
        estimates=estimates,
        categories=[
            noise_rate_of(name, chance[codes == code], sure[codes == code], spread) for code, name in enumerate(names)
        ],
        total=noise_rate_of("all", chance, sure, error),
        transfer=transfer,
        calibration_error=_Z * error,
        reviewed=0 if reviewed is None else len(reviewed.rows),
        moved=_moved(judgement.wrong, sigmoid(transferred), sure),
    )


def _largest_group(model: NoiseModel, categories: int) -> int:
    """How many of the novel `categories` are judged together: all, unless made tasks have far fewer."""
    made = model.geometry.categories
    return categories if categories <= _MOST_TOGETHER * made else round(_GROUP * made)


def _estimates(
    sample_ids: Sequence[str],
    names: Sequence[str],
    codes: Codes,
    judgement: Judgement,
    transferred: FloatArray,
    table: EvidenceTable,
    weights: FloatArray,
) -> list[NoiseEstimate]:
    explained = [
        ExplainedSample(*facts)
        for facts in zip(
            [names[code] for code in codes.tolist()],
            judgement.wrong.tolist(),
            [None if code < 0 else names[code] for code in judgement.suggested.tolist()],
            judgement.suggested_probability.tolist(),
            weights.tolist(),
            table.strangers.tolist(),
            [table.neighbours] * len(codes),
            how_loud(judgement.pieces).tolist(),
            strict=True,
        )
    ]
    return [
        NoiseEstimate(
            sample_id=sample_id,
            noise_probability=sample.noise_probability,
            transferred_probability=probability,
            suggested_category=sample.suggested_category,
            suggested_probability=sample.suggested_probability,
            explanation=explain(sample),
        )
        for sample_id, sample, probability in zip(sample_ids, explained, transferred.tolist(), strict=True)
    ]


def _with_decisions(wrong: FloatArray, reviewed: Reviewed | None) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Probabilities with 0 or 1 where a person has decided, and where that is: (N,) each."""
    chance, sure = wrong.copy(), np.zeros(len(wrong), dtype=bool)
    if reviewed is not None:
        chance[reviewed.rows] = reviewed.wrong
        sure[reviewed.rows] = True
    return chance, sure


def doubt_of(confidence: float) -> float:
    """By how much errors measured on made tasks are widened on novel images of this transfer confidence, [0, 1]."""
    return 1 / max(confidence, 0.1)


def noise_rate_of(name: str, chance: FloatArray, sure: NDArray[np.bool_], model_error: float) -> CategoryNoise:
    """Mean probability; the interval has what chance adds and what the model may be off on undecided samples."""
    rate = float(chance.mean(dtype=np.float64))
    drawn = float((chance * (1 - chance)).sum(dtype=np.float64)) / len(chance) ** 2
    width = _Z * float(np.sqrt(drawn + (model_error * (1 - sure.mean())) ** 2))
    return CategoryNoise(name, len(chance), rate, max(0.0, rate - width), min(1.0, rate + width))


def _moved(now: FloatArray, before: FloatArray, sure: NDArray[np.bool_]) -> int:
    return int((((now >= 0.5) != (before >= 0.5)) & ~sure).sum())

"""What the hybrid knows beside the web: the base samples of an export, and vectors of all its categories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from curation.encoders import Encoder
from curation.errors import TrainingError
from curation.export.reading import ExportedSet
from curation.values import FloatArray, Role
from pipelines.classification.category_vectors import FROM_TEXT, embed_category_names, read_category_vectors
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.hybrid import BaseKnowledge, no_knowledge
from pipelines.classification.methods import Columns, Mask


def check_hybrid(config: ClassificationConfig) -> None:
    """Raise `TrainingError` where options do not go with the hybrid, or it is not asked for and vectors are given."""
    if config.method != "hybrid":
        if config.category_vectors is not None:
            raise TrainingError(
                f"the method {config.method} uses no category vectors.",
                hint="Choose --method hybrid, or leave them out.",
            )
        return
    unfit = {
        "--finetune": config.finetune,
        "--generalized": config.generalized,
        "--head mlp": config.head == "mlp",
    }
    for option in (option for option, given in unfit.items() if given):
        raise TrainingError(
            f"the hybrid is linear on frozen embeddings and knows novel categories; {option} does not go with it.",
            hint=f"Leave {option} out, or choose another --method.",
        )
    if config.hybrid_parts != "h" and config.category_vectors is None:
        raise TrainingError(
            "the hybrid needs a vector of every category.",
            hint=f"--category-vectors FILE.csv, or {FROM_TEXT} with an open_clip encoder; --hybrid-parts h needs none.",
        )


def base_knowledge(
    exported: ExportedSet,
    novel: Sequence[str],
    columns: Columns,
    allowed: Mask,
    encoder: Encoder,
    config: ClassificationConfig,
) -> BaseKnowledge:
    """Base samples that may be trained on (`allowed`, (N,)), and the vectors of their categories and of `novel` ones.

    Where h alone is asked for, nothing. Raises `TrainingError` for an export without base samples of two categories
    and for vectors that do not fit, `EncoderError` for an encoder that embeds no text.
    """
    if config.hybrid_parts == "h" or config.category_vectors is None:
        return no_knowledge(len(novel))
    is_base = np.array([sample.role is Role.BASE for sample in exported.samples])
    rows = np.flatnonzero(is_base & allowed & columns.kept & ~columns.barred)
    base = sorted({exported.samples[row].category for row in rows})
    if len(base) < 2:
        raise TrainingError(
            f"V is learned from base samples, and the export {exported.folder} has {len(base)} base categories.",
            hint="Export with the base samples: `curate export WS --with-base ...`; or choose --hybrid-parts h.",
        )
    vectors = _vectors(config.category_vectors, [*base, *novel], encoder)
    code = {name: number for number, name in enumerate(base)}
    codes = np.array([code[exported.samples[row].category] for row in rows], dtype=np.int64)
    return BaseKnowledge(rows, codes, vectors[: len(base)], vectors[len(base) :])


def _vectors(source: str, categories: Sequence[str], encoder: Encoder) -> FloatArray:
    if source == FROM_TEXT:
        return embed_category_names(encoder, categories)
    return read_category_vectors(Path(source), categories)

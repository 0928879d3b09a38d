"""Samples as an annotator sees them, from a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from curation.config import ReviewConfig
from curation.review.presets import likely_categories, preset_verdict
from curation.review.values import Tile
from curation.store.connection import Connection
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.noise import read_noise_estimates
from curation.store.samples import samples_by_id
from curation.values import DecisionAction


def read_tiles(connection: Connection, sample_ids: Sequence[str], review: ReviewConfig) -> list[Tile]:
    """The tiles of these samples, in this order."""
    samples = samples_by_id(connection, sample_ids)
    estimates = read_noise_estimates(connection, sample_ids)
    evidence = read_evidence(connection, sample_ids)
    flags = read_flags(connection, sample_ids)
    tiles = []
    for sample_id in sample_ids:
        sample, estimate = samples[sample_id], estimates.get(sample_id)
        action, category = preset_verdict(estimate, sample.category, review)
        tiles.append(
            Tile(
                sample_id=sample_id,
                image_id=sample.image_id,
                web_category=sample.category,
                noise_probability=None if estimate is None else estimate.noise_probability,
                explanation="" if estimate is None else estimate.explanation,
                preset=action,
                preset_category=category,
                likely=likely_categories(estimate, evidence.get(sample_id), sample.category),
                flags=tuple(flag.name for flag in flags.get(sample_id, ())),
            )
        )
    return tiles


def blinded(tile: Tile) -> Tile:
    """The tile without anything that tells what the noise model thinks: for audits."""
    return replace(
        tile,
        noise_probability=None,
        explanation="",
        preset=DecisionAction.KEEP,
        preset_category=None,
        likely=tuple(sorted(tile.likely)),
        flags=(),
    )

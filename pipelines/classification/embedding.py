"""Embeddings of the images of an export by a frozen encoder: computed once, kept by encoder and content."""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np

from curation.config import ImagesConfig
from curation.decoding import DecodedBatch, ImageReference, decode_images
from curation.embedding_shards import Shards, read_embeddings, shards_of, stored_digests, write_shard
from curation.encoders import Encoder
from curation.errors import TrainingError
from curation.export.formats import find_format
from curation.export.reading import ExportedSet
from curation.progress import Progress
from curation.values import FloatArray

_SHARD_SIZE = 1024  # a killed run loses at most these


def embed_export(
    exported: ExportedSet, encoder: Encoder, folder: Path, images: ImagesConfig, progress: Progress
) -> FloatArray:
    """Embeddings, unit-norm float32 (N, D), of all samples of an export; those that are in `folder` are not made again.

    `folder` is laid out as the `embeddings/` of a workspace, so that one may be given. Raises `TrainingError` naming
    the first image that cannot be decoded, after all others have been embedded.
    """
    shards = shards_of(folder, encoder.identity)
    have = stored_digests(shards)
    missing = {
        sample.sha256: ImageReference(sample.sha256, image_uri(exported, index))
        for index, sample in enumerate(exported.samples)
        if sample.sha256 not in have
    }
    reasons = _embed(list(missing.values()), encoder, shards, images, progress)
    if reasons:
        digest, reason = next(iter(reasons.items()))
        raise TrainingError(
            f"{len(reasons)} images of the export {exported.folder} cannot be used, the first is "
            f"{missing[digest].uri}: {reason}.",
            hint="Make the export again with `curate export`: it holds only images that can be decoded.",
        )
    return read_embeddings(shards, [sample.sha256 for sample in exported.samples])


def image_uri(exported: ExportedSet, index: int) -> str:
    """Where the bytes of `samples[index]` are."""
    written_as = find_format(exported.manifest.format)
    return written_as.image_uri(exported.folder, exported.samples[index], exported.placements[index])


def _embed(
    references: list[ImageReference], encoder: Encoder, shards: Shards, images: ImagesConfig, progress: Progress
) -> dict[str, str]:
    """Embed images shard by shard; returns the reasons of those that cannot be decoded, by digest."""
    pending: list[DecodedBatch] = []
    vectors: list[FloatArray] = []
    reasons: dict[str, str] = {}
    done = held = 0
    decoding = decode_images(references, input_px=encoder.input_px, crop_share=encoder.crop_share, config=images)
    with closing(decoding) as batches:
        for batch in batches:
            reasons |= {facts.sha256: facts.reason for facts in batch.facts if facts.reason is not None}
            if len(batch.rows):
                pending.append(batch)
                vectors.append(encoder.embed(batch.pixels))
            done, held = done + len(batch.facts), held + len(batch.rows)
            progress("embedding", done, len(references))
            if held >= _SHARD_SIZE or (held and done == len(references)):
                digests = chain.from_iterable((one.facts[row].sha256 for row in one.rows) for one in pending)
                write_shard(shards, list(digests), np.concatenate(vectors))
                pending, vectors, held = [], [], 0
    return reasons

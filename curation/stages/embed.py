"""`curate embed`: every readable image of the workspace gets an embedding; only what is missing is computed."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from pathlib import Path

import numpy as np

from curation.config import Config
from curation.decoding import DECODERS_FAULT, KILLED, DecodedBatch, ImageReference, decode_images
from curation.embedding_shards import Shards, listed_digests, shards_of, stored_digests, write_shard
from curation.encoders import Encoder, load_encoder
from curation.errors import EmbeddingError
from curation.progress import Progress
from curation.sources.location import UnreadableImageError, read_bytes
from curation.stages.stage import Stage, Summary, fingerprint_of
from curation.store.connection import catalog
from curation.store.images import described_images, images_to_embed, put_image_facts, unread_images, unusable_images
from curation.store.samples import image_digests
from curation.values import FloatArray
from curation.workspace import Workspace


def run(workspace: Workspace, config: Config, progress: Progress) -> Summary:
    """Embed what has no embedding yet, shard by shard; a bad image becomes a row with its reason.

    What has an embedding and no facts, as in a catalogue that was lost and made again, is decoded for its facts.
    """
    encoder = load_encoder(config.embedding.encoder, config.embedding.device)
    shards = shards_of(workspace.embeddings, encoder.identity)
    with catalog(workspace) as connection:
        wanted, known = images_to_embed(connection), described_images(connection)
    if not wanted:
        raise EmbeddingError(
            "there are no images to embed.", hint=f"`curate ingest {workspace.root} SOURCE` adds some."
        )
    have = stored_digests(shards)
    missing = [ImageReference(digest, uri) for digest, uri in wanted if digest not in have or digest not in known]
    embedded = _embed(workspace, config, encoder, shards, missing, have, progress)
    described = sum(reference.sha256 in have for reference in missing)  # of a catalogue that was lost and made again
    return {
        "encoder": encoder.identity,
        "encoder name": config.embedding.encoder,
        "dimension": encoder.dimension,
        "images": len(wanted),
        "embedded": embedded,
        "cached": len(wanted) - len(missing),
        "unreadable": len(missing) - embedded - described,
    }


def _embed(
    workspace: Workspace,
    config: Config,
    encoder: Encoder,
    shards: Shards,
    missing: list[ImageReference],
    have: Collection[str],
    progress: Progress,
) -> int:
    embedded = done = 0
    pending: list[DecodedBatch] = []
    vectors: list[FloatArray] = []
    decoding = decode_images(missing, input_px=encoder.input_px, crop_share=encoder.crop_share, config=config.images)
    with closing(decoding) as batches:
        for batch in (_without(batch, have) for batch in batches):
            pending.append(batch)
            if len(batch.rows):
                vectors.append(encoder.embed(batch.pixels))
            done += len(batch.facts)
            progress("embedding", done, len(missing))
            if sum(len(held.facts) for held in pending) >= config.embedding.shard_size or done == len(missing):
                embedded += _finish_shard(workspace, shards, pending, vectors)
                pending, vectors = [], []
    return embedded


def _without(batch: DecodedBatch, have: Collection[str]) -> DecodedBatch:
    """The batch without the pixels of images that have an embedding already."""
    new = np.array([batch.facts[row].sha256 not in have for row in batch.rows], dtype=np.bool_)
    return batch if new.all() else replace(batch, pixels=batch.pixels[new], rows=batch.rows[new])


def _finish_shard(workspace: Workspace, shards: Shards, batches: list[DecodedBatch], vectors: list[FloatArray]) -> int:
    """Facts first, then the shard: a kill between them leaves images that are embedded again."""
    facts = list(chain.from_iterable(batch.facts for batch in batches))
    with catalog(workspace) as connection:
        put_image_facts(connection, facts)
    digests = [batch.facts[row].sha256 for batch in batches for row in batch.rows]
    if digests:
        write_shard(shards, digests, np.concatenate(vectors))
    return len(digests)


def fingerprint(workspace: Workspace, config: Config) -> str:
    """Changes with the images (bad ones too) and with the encoder's name or, for local weights, its file."""
    with catalog(workspace) as connection:
        return fingerprint_of("embed", encoder_key(config.embedding.encoder), image_digests(connection))


def encoder_key(name: str) -> list[str]:
    """What tells encoders apart without loading one: the name and, for local weights, a digest of the file."""
    file = Path(name.partition("@")[2])
    return [name, sha256(file.read_bytes()).hexdigest()] if file.is_file() else [name]


def intact(workspace: Workspace, summary: Summary) -> bool:
    """Whether every image has an embedding on disk that has no reason against it, or none that may have passed."""
    with catalog(workspace) as connection:
        wanted = dict(images_to_embed(connection))
        unusable, unread = unusable_images(connection), unread_images(connection)
    if not wanted.keys() - unusable <= listed_digests(shards_of(workspace.embeddings, summary["encoder"])):
        return False
    return not any(_may_have_passed(unread[digest], digest, wanted[digest]) for digest in unread.keys() & wanted.keys())


def _may_have_passed(reason: str, digest: str, uri: str) -> bool:
    """Whether the image may do now: its decoding process was killed, or its bytes could not be had and are back."""
    if reason.startswith(DECODERS_FAULT):
        return reason == KILLED
    try:
        return sha256(read_bytes(uri)).hexdigest() == digest
    except UnreadableImageError:
        return False


STAGE = Stage("embed", fingerprint, run, intact)

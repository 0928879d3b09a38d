"""Embeddings on disk: checked shards, found by image content and encoder identity.

A shard is a safetensors file with `sha256` (n, 32) uint8 and `embeddings` (n, D) float16, named after the SHA-256 of
its own bytes: a flipped bit no longer matches the name. float16 halves the disk and costs at most 5e-4 of a component
(unit-norm is restored when read). Shards are never changed: one that loses images is written anew before it goes, and
who reads meanwhile finds them there. A killed writer leaves a `.partial` file that nobody reads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from curation.errors import EmbeddingError
from curation.files import replace_bytes
from curation.values import FloatArray

_NAME_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Shards:
    """The embeddings that one encoder made of the images of one workspace."""

    folder: Path

    @property
    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))


def shards_of(embeddings_folder: Path, encoder_identity: str) -> Shards:
    """The shards of one encoder; the folder is made if need be."""
    folder = folder_of(embeddings_folder, encoder_identity)
    folder.mkdir(parents=True, exist_ok=True)
    return Shards(folder)


def folder_of(embeddings_folder: Path, encoder_identity: str) -> Path:
    """Where the shards of one encoder lie."""
    return embeddings_folder / re.sub(r"[^A-Za-z0-9._-]+", "-", encoder_identity)


def write_shard(shards: Shards, digests: Sequence[str], embeddings: FloatArray) -> Path:
    """Store unit-norm embeddings (n, D) of the images with these SHA-256 hex digests; returns the shard's path."""
    keys = np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(-1, 32)
    if len(keys) != len(embeddings) or not np.isfinite(embeddings).all():
        raise EmbeddingError(
            f"{len(digests)} images gave embeddings of shape {embeddings.shape} with "
            f"{int((~np.isfinite(embeddings)).sum())} values that are not finite.",
            hint="The encoder is at fault: try it with another device or another precision.",
        )
    data = save({"sha256": keys, "embeddings": embeddings.astype(np.float16)})
    path = shards.folder / f"{sha256(data).hexdigest()[:_NAME_DIGITS]}.safetensors"
    try:
        replace_bytes(path, data)
    except OSError as error:
        raise EmbeddingError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Free some space or check permissions, then run it again: finished shards are kept.",
        ) from error
    return path


def stored_digests(shards: Shards) -> set[str]:
    """SHA-256 hex digests of all images that have an embedding; a damaged shard is put aside and its images are not."""
    return {digest for path in shards.paths for digest in _hex_digests(_checked(path)["sha256"])}


def listed_digests(shards: Shards) -> set[str]:
    """What `stored_digests` says, without checking the shards' bytes: reads only the digests, so it is quick.

    A shard that is cut short holds nothing here: its images are embedded again, and that puts it aside.
    """
    while True:
        paths = shards.paths
        with suppress(FileNotFoundError):
            digests = _listed(paths)
            if shards.paths == paths:  # none came or went meanwhile
                return digests


def _listed(paths: Iterable[Path]) -> set[str]:
    digests: set[str] = set()
    for path in paths:
        with suppress(SafetensorError), safe_open(path, framework="np") as shard:
            digests.update(_hex_digests(shard.get_tensor("sha256")))
    return digests


def drop_images(shards: Shards, kept: Collection[str]) -> int:
    """Take the embeddings of all images but those with the digests `kept` out of the shards; returns how many went.

    Only shards that hold such an image are written anew, each before the old one goes, so a kill loses nothing.
    """
    dropped = 0
    for path in shards.paths:
        try:
            with safe_open(path, framework="np") as shard:
                digests = _hex_digests(shard.get_tensor("sha256"))
        except SafetensorError:
            _checked(path)  # puts it aside
            continue
        rows = [row for row, digest in enumerate(digests) if digest in kept]
        if len(rows) == len(digests):
            continue
        embeddings = np.asarray(_checked(path)["embeddings"], dtype=np.float32)  # float16 comes back as it was
        if len(embeddings) != len(digests):
            continue  # damaged, and put aside for that
        if rows:
            write_shard(shards, [digests[row] for row in rows], embeddings[rows])
        path.unlink()
        dropped += len(digests) - len(rows)
    return dropped


def read_embeddings(shards: Shards, digests: Sequence[str]) -> FloatArray:
    """Embeddings, unit-norm float32, shape (N, D), of these images in this order; an error if one is missing."""
    wanted = {digest: row for row, digest in enumerate(dict.fromkeys(digests))}
    paths = shards.paths
    rows, missing = _rows_of(paths, wanted)
    while missing and shards.paths != paths:  # a shard went as this looked, and what it held is in another
        paths = shards.paths
        rows, missing = _rows_of(paths, wanted)
    if rows is None or missing:
        damaged = sum(1 for _ in shards.folder.glob("*.damaged"))
        why = f"; {damaged} damaged shards were put aside" if damaged else ""
        raise EmbeddingError(
            f"{missing} of {len(wanted)} images have no embedding in {shards.folder}{why}.",
            hint="`curate embed` makes what is missing.",
        )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[[wanted[digest] for digest in digests]]


def _rows_of(paths: Iterable[Path], wanted: Mapping[str, int]) -> tuple[FloatArray | None, int]:
    """Embeddings as they are stored, float32, each in its row of `wanted`, and how many are missing."""
    found: NDArray[np.bool_] = np.zeros(len(wanted), dtype=np.bool_)
    rows: FloatArray | None = None
    for path in paths:
        try:
            shard = _checked(path)
        except FileNotFoundError:
            continue
        if rows is None and len(shard["embeddings"]):
            rows = np.empty((len(wanted), shard["embeddings"].shape[1]), dtype=np.float32)
        places = np.array([wanted.get(digest, -1) for digest in _hex_digests(shard["sha256"])], dtype=np.int64)
        here = np.flatnonzero(places >= 0)
        if rows is not None and len(here):
            rows[places[here]] = shard["embeddings"][here]
            found[places[here]] = True
    return rows, int((~found).sum())


def _hex_digests(keys: NDArray[np.generic]) -> list[str]:
    """The digests of uint8 `keys` (n, 32), all at once: one by one they cost more than reading the embeddings."""
    text = keys.tobytes().hex()
    return [text[start : start + 64] for start in range(0, len(text), 64)]


def read_embedding(shards: Shards, digest: str) -> FloatArray:
    """The embedding of one image, unit-norm float32, shape (1, D); reads no more of the shards than it must.

    Unlike `read_embeddings` it does not check the shards' bytes. Raises `EmbeddingError` where there is none.
    """
    key = np.frombuffer(bytes.fromhex(digest), dtype=np.uint8)
    paths: list[Path] | None = None
    while paths != shards.paths:  # again where a shard went as this looked, and what it held is in another
        paths = shards.paths
        for path in paths:
            with suppress(FileNotFoundError):
                row = _row_of(path, key)
                if row is not None:
                    return row
    raise EmbeddingError(
        f"the image {digest} has no embedding in {shards.folder}.", hint="`curate embed` makes what is missing."
    )


def _row_of(path: Path, key: NDArray[np.uint8]) -> FloatArray | None:
    try:
        with safe_open(path, framework="np") as shard:
            found = np.flatnonzero((shard.get_tensor("sha256") == key).all(axis=1))
            if not len(found):
                return None
            place = int(found[0])
            row: FloatArray = shard.get_slice("embeddings")[place : place + 1].astype(np.float32)
            return row / np.linalg.norm(row)
    except SafetensorError as error:
        raise EmbeddingError(f"{path} is damaged: {error}.", hint="`curate run` embeds its images again.") from error


def _checked(path: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of a shard whose bytes match its name; any other is renamed to `.damaged` and counts as empty."""
    data = path.read_bytes()
    if sha256(data).hexdigest()[:_NAME_DIGITS] == path.stem:
        try:
            arrays: dict[str, NDArray[np.generic]] = load(data)
        except SafetensorError as error:
            raise EmbeddingError(
                f"{path} is not a shard: {error}.", hint="Delete it; `curate embed` makes it anew."
            ) from error
        return arrays
    try:
        path.replace(path.with_suffix(".damaged"))
    except OSError as error:
        raise EmbeddingError(
            f"{path} is damaged and cannot be put aside: {error.strerror}.",
            hint="`curate run` embeds its images again.",
        ) from error
    return {"sha256": np.empty((0, 32), np.uint8), "embeddings": np.empty((0, 0), np.float16)}

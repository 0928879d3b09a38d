"""The saved index of a workspace's embeddings: built once, then kept in step with what is new and what is gone.

It lies in `indexes/<encoder>/` and holds one vector an image content, whatever number of samples share it. Its ids are
the first 63 bits of the images' SHA-256, so they ascend as the digests do and need no table of their own; two of a
million images share them by chance once in twenty million workspaces.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from curation.config import Device
from curation.embedding_shards import Shards, listed_digests, read_embeddings
from curation.errors import EmbeddingError
from curation.progress import Progress, silent
from curation.values import FloatArray
from indexes.build import NeighborIndex, build_index, load_index
from indexes.neighbors import IdArray, NeighborIndexError, rows_of

_log = logging.getLogger(__name__)

_LISTS_KNOW = 100  # neighbours: the lists that a search looks through hold some 1,000 images, so far ones are missed


@dataclass(frozen=True, slots=True)
class NearImage:
    """An image content, by its SHA-256, and its cosine, [-1, 1], to what was asked for."""

    sha256: str
    cosine: float


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the index is and what it took to have it: images of it that are new, images that went, seconds.

    `kind` is how neighbours are looked for (`indexes.neighbors.IndexKind`); `recall` is the share of the true ten
    nearest that it found at its last build, asked for a sample of its own images, `None` where search is exact.
    """

    kind: str
    device: str
    images: int
    built: bool
    added: int
    removed: int
    seconds: float
    recall: float | None


class EmbeddingIndex:
    """The search among the embeddings of `digests`, the sorted SHA-256 of the images that `index` holds."""

    def __init__(self, index: NeighborIndex, digests: Sequence[str], state: IndexState) -> None:
        self._index = index
        self._digests = digests
        self._numbers = image_numbers(digests)
        self.state = state

    def nearest(self, queries: FloatArray, k: int, among: Sequence[str] | None = None) -> list[list[NearImage]]:
        """For each of `queries` (Q, D), unit-norm float32, the k nearest images, nearest first, equal ones by digest.

        `among` names those that may be answers. A search among them, or for more than a hundred, is exact. All k are
        found where there are as many.
        """
        k = min(k, len(self._digests))
        if among is not None or k > _LISTS_KNOW:
            found = self._index.search_among(queries, k, self._numbers if among is None else image_numbers(among))
        else:
            found = self._index.search(queries, k)
            if (found.ids < 0).any():  # the lists that were searched hold fewer than k
                found = self._index.search_among(queries, k, self._numbers)
        rows = rows_of(found.ids, self._numbers)
        return [
            [
                NearImage(self._digests[row], cosine)
                for row, cosine in zip(rows_of_query, cosines, strict=True)
                if row >= 0
            ]
            for rows_of_query, cosines in zip(rows.tolist(), found.cosine.tolist(), strict=True)
        ]


def current_index(
    folder: Path,
    shards: Shards,
    encoder_identity: str,
    digests: Collection[str],
    *,
    device: Device = "auto",
    progress: Progress = silent,
) -> EmbeddingIndex:
    """The index in `folder`, holding exactly those images of `digests` that have an embedding in `shards`.

    What is saved is loaded, what is new is added and what is gone removed, and the change is saved; only where nothing
    usable is saved the index is built. Processes that ask at once wait for the one that works. Raises `EmbeddingError`.
    """
    wanted = _embedded(shards, digests, encoder_identity)
    while True:
        try:
            return _index_of(folder, shards, encoder_identity, wanted, device, progress)
        except EmbeddingError:
            before, wanted = wanted, _embedded(shards, digests, encoder_identity)
            if wanted == before:
                raise  # else images were removed from the workspace as this looked: without them


def _embedded(shards: Shards, digests: Collection[str], encoder_identity: str) -> list[str]:
    wanted = sorted(listed_digests(shards).intersection(digests))
    if not wanted:
        raise EmbeddingError(
            f"none of the {len(digests):,} images has an embedding by {encoder_identity}.",
            hint="`curate embed` makes what is missing.",
        )
    return wanted


def _index_of(
    folder: Path,
    shards: Shards,
    encoder_identity: str,
    wanted: Sequence[str],
    device: Device,
    progress: Progress,
) -> EmbeddingIndex:
    """The index of exactly these images."""
    numbers = image_numbers(wanted)
    _refuse_equal(numbers, wanted)
    progress("neighbour index", 0, len(wanted))
    started = perf_counter()
    try:
        with _lock(folder, fcntl.LOCK_SH):
            index = _load(folder, encoder_identity, device)
        if index is not None and np.array_equal(index.ids, numbers):
            state = _state(index, started, built=False)
        else:
            with _lock(folder, fcntl.LOCK_EX):
                index, state = _bring_up_to_date(folder, shards, encoder_identity, wanted, numbers, device, started)
    except NeighborIndexError as error:
        raise EmbeddingError(error.message, hint=error.hint) from error
    except OSError as error:
        raise EmbeddingError(
            f"the index in {folder} cannot be used: {error.strerror or error}.", hint="Check space and permissions."
        ) from error
    progress("neighbour index", len(wanted), len(wanted))
    return EmbeddingIndex(index, wanted, state)


def image_numbers(digests: Sequence[str]) -> IdArray:
    """The first 63 bits of every SHA-256 hex digest: int64 >= 0, shape (N,)."""
    first = np.frombuffer(bytes.fromhex("".join(digest[:16] for digest in digests)), dtype=">u8")
    return (first >> np.uint64(1)).astype(np.int64)


def _bring_up_to_date(
    folder: Path,
    shards: Shards,
    encoder_identity: str,
    wanted: Sequence[str],
    numbers: IdArray,
    device: Device,
    started: float,
) -> tuple[NeighborIndex, IndexState]:
    """The index of exactly these images, saved; another process may have done it while this one waited."""
    index = _load(folder, encoder_identity, device)
    if index is None:
        vectors = read_embeddings(shards, wanted)
        index = build_index(vectors, numbers, version=encoder_identity, device=device)
        index.save(folder)
        return index, _state(index, started, built=True, added=len(numbers))
    gone = np.setdiff1d(index.ids, numbers, assume_unique=True)
    new = np.flatnonzero(~np.isin(numbers, index.ids, assume_unique=True))
    if len(gone):
        index.remove(gone)
    if len(new):
        index.add(read_embeddings(shards, [wanted[place] for place in new.tolist()]), numbers[new])
    if len(gone) or len(new):
        index.save(folder)
    return index, _state(index, started, built=False, added=len(new), removed=len(gone))


def _load(folder: Path, encoder_identity: str, device: Device) -> NeighborIndex | None:
    """What is saved; `None` where nothing is, or nothing that can be used, which the log tells."""
    if not folder.is_dir():
        return None
    try:
        return load_index(folder, version=encoder_identity, device=device)
    except NeighborIndexError as error:
        _log.warning("%s It is built anew.", error.message)
        return None


def _state(index: NeighborIndex, started: float, *, built: bool, added: int = 0, removed: int = 0) -> IndexState:
    facts = index.facts
    recall = None if facts.recall is None else facts.recall.recall
    seconds = perf_counter() - started
    return IndexState(facts.kind.value, index.device, len(index), built, added, removed, seconds, recall)


@contextmanager
def _lock(folder: Path, mode: int) -> Iterator[None]:
    """Hold the lock of the index in `folder`: readers together, a writer alone. It ends with its process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f"{folder.name}.lock")  # beside it: what is unknown in it is swept out
    read_only = lock.exists() and not os.access(lock, os.W_OK)  # the disk: an index that is up to date does
    with lock.open("r" if read_only else "a") as file:
        fcntl.flock(file, mode)
        yield


def _refuse_equal(numbers: IdArray, digests: Sequence[str]) -> None:
    equal = np.flatnonzero(np.diff(numbers) == 0)
    if len(equal):
        first = int(equal[0])
        one, other = digests[first], digests[first + 1]
        raise EmbeddingError(
            f"two images have digests that begin alike, {one} and {other}, and one index cannot hold both.",
            hint="This does not happen by chance: take one of them out of its source and ingest that again.",
        )

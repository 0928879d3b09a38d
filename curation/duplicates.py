"""Near copies among many images: pairs worth comparing, compared by their fingerprints.

Being a near copy is not transitive (frames of a film lead from one scene to another), so no chain of pairs is ever
taken for a pair: whatever this module links, it has compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from curation.alignment import likeness
from curation.config import DuplicatesConfig
from curation.copy_groups import smallest_connected
from curation.fingerprint import outlines, thumbnails
from curation.nearest import FindNearest, find_anew, find_nearest
from curation.progress import Progress, silent
from curation.values import FloatArray, ImageFacts

PairArray = NDArray[np.int64]  # (P, 2), each row ascending

# SHA-256 of an image -> those of its near copies, each with the likeness of the two.
NearCopies = Mapping[str, Mapping[str, float]]

_PAIRS_AT_ONCE = 1024  # laid over each other: 60 MiB
_COMPARED_IN_GROUP = 32  # members of a group that all others are compared with: keeps the cost linear in its size
_OUTLINES_ALIKE = 0.9  # cosine: all edits but crops reach 0.97; embeddings know crops, but not thumbnails and frames
_LAYOUT_PX = 4  # grid of the first, cheap comparison
_LAYOUT_ALIKE = 0.6  # crops of 10 % reach 0.65 and more, nine of ten other pairs of birds stay below


def preference(facts: ImageFacts | None) -> tuple[int, float]:
    """Sorts copies of one picture best first: most pixels, then sharpest; unknown images last."""
    if facts is None:
        return (0, 0.0)
    return (-facts.width_px * facts.height_px, -(facts.sharpness or 0.0))


def nearest_pairs(vectors: FloatArray, neighbours: int, min_cosine: float) -> PairArray:
    """Pairs (i, j), i < j, of which one is among the nearest `neighbours` of the other.

    `vectors`: unit-norm float32, shape (N, D); rows of zeros have no neighbours. Pairs below `min_cosine` are left out.
    """
    return _distinct(find_nearest([""] * len(vectors), vectors, neighbours).pairs(min_cosine))


def near_copies(
    digests: Sequence[str],
    fingerprints: Sequence[bytes],
    candidates: PairArray,
    config: DuplicatesConfig,
    progress: Progress = silent,
    *,
    find: FindNearest = find_anew,
) -> NearCopies:
    """The near copies among images, given best first; images without one are left out.

    `candidates` are pairs of positions to compare, such as neighbours in embedding space; those with alike outlines, as
    `find` finds them, are added. Within a group that pairs hold together, all are then compared with its best 32, so
    that a picture and the copy of it that stays are always compared themselves.
    """
    copies, owners = thumbnails(fingerprints)
    which = np.arange(len(owners)) - np.searchsorted(owners, owners)  # 0 the whole picture, 1 without its frame
    names = [f"{digests[owner]}.{number}" for owner, number in zip(owners.tolist(), which.tolist(), strict=True)]
    near = find("outlines", names, outlines(copies), config.neighbours)
    alike = owners[near.pairs(_OUTLINES_ALIKE)]
    pairs = _distinct(np.concatenate([candidates, alike.reshape(-1, 2)]))
    scores = _likenesses(copies, owners, pairs, progress)
    more = _without(_pairs_in_groups(pairs[scores >= config.min_likeness]), pairs)
    pairs, scores = np.concatenate([pairs, more]), np.concatenate([scores, _likenesses(copies, owners, more, progress)])
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for (first, second), score in zip(pairs.tolist(), scores.tolist(), strict=True):
        if score >= config.min_likeness:
            found[digests[first]][digests[second]] = score
            found[digests[second]][digests[first]] = score
    return dict(found)


def _likenesses(
    copies: NDArray[np.uint8], owners: NDArray[np.intp], pairs: PairArray, progress: Progress
) -> FloatArray:
    """The likeness of the images of every pair, shape (P,): the best of their grey copies, mirrored and not."""
    best: FloatArray = np.full(len(pairs), -1.0, dtype=np.float32)
    pair_of, first, second, mirrored = _comparisons(copies, owners, pairs)
    for start in range(0, len(pair_of), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        left = torch.from_numpy(copies[first[some]]).float()
        left = torch.where(torch.from_numpy(mirrored[some])[:, None, None], left.flip(2), left)
        scores = likeness(left, torch.from_numpy(copies[second[some]]).float()).numpy()
        np.maximum.at(best, pair_of[some], scores)
        progress("comparing pictures", min(start + _PAIRS_AT_ONCE, len(pair_of)), len(pair_of))
    return best


def _comparisons(
    copies: NDArray[np.uint8], owners: NDArray[np.intp], pairs: PairArray
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """(pair, first copy, second copy, first one mirrored) of all comparisons of copies whose layout is alike."""
    compared = np.flatnonzero(np.isin(owners, pairs))
    layouts = np.zeros((len(copies), _LAYOUT_PX, _LAYOUT_PX), dtype=np.float32)
    layouts[compared] = _layouts(copies[compared])
    images = np.arange(owners[-1] + 1 if len(owners) else 0)
    starts, ends = np.searchsorted(owners, images), np.searchsorted(owners, images, side="right")
    found = []
    known = (pairs < len(images)).all(axis=1)
    for offsets in product((0, 1), repeat=2):  # an image has at most two copies
        chosen = np.flatnonzero(known)
        rows = starts[pairs[chosen]] + offsets
        there = (rows < ends[pairs[chosen]]).all(axis=1)
        chosen, rows = chosen[there], rows[there]
        for mirrored in (False, True):
            seen = layouts[rows[:, 0]]
            seen = seen[:, :, ::-1] if mirrored else seen
            alike = np.einsum("pij,pij->p", seen, layouts[rows[:, 1]]) >= _LAYOUT_ALIKE
            found.append((chosen[alike], rows[alike, 0], rows[alike, 1], np.full(int(alike.sum()), mirrored)))
    pair_of, first, second, mirrors = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return pair_of, first, second, mirrors


def _layouts(copies: NDArray[np.uint8]) -> FloatArray:
    """Standardised means of a 4 x 4 grid: float32, shape (T, 4, 4), norm 1."""
    side = copies.shape[-1] // _LAYOUT_PX
    grids = copies.reshape(-1, _LAYOUT_PX, side, _LAYOUT_PX, side).mean(axis=(2, 4), dtype=np.float32)
    grids -= grids.mean(axis=(1, 2), keepdims=True)
    unit: FloatArray = grids / np.maximum(np.linalg.norm(grids, axis=(1, 2), keepdims=True), 1e-6)
    return unit


def _pairs_in_groups(pairs: PairArray) -> PairArray:
    """All pairs of the first members of every group that `pairs` hold together with each of its members."""
    found = [
        (first, second)
        for members in connected_groups(pairs)
        for place, first in enumerate(members[:_COMPARED_IN_GROUP])
        for second in members[place + 1 :]
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def connected_groups(pairs: PairArray) -> Iterator[list[int]]:
    """The groups that pairs hold together, members ascending."""
    groups: dict[int, list[int]] = defaultdict(list)
    for member, smallest in sorted(smallest_connected(pairs.tolist()).items()):
        groups[smallest].append(member)
    yield from groups.values()


def _distinct(pairs: PairArray) -> PairArray:
    """Each pair once, ascending, without pairs of an image with itself."""
    ordered = np.sort(pairs, axis=1)
    distinct: PairArray = np.unique(ordered[ordered[:, 0] != ordered[:, 1]], axis=0)
    return distinct


def _without(pairs: PairArray, known: PairArray) -> PairArray:
    """The rows of `pairs` that are not rows of `known`."""
    size = int(max(pairs.max(initial=0), known.max(initial=0))) + 1
    return pairs[~np.isin(pairs @ [size, 1], known @ [size, 1])]

"""Sums of similarities of samples to categories, kept from one run to the next: what came is added, nothing else.

The sums are exact (`MetricView.sums`), so a sum that was added to is the sum of all, bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.kept_arrays import keep, read_kept

Indices = NDArray[np.int64]
Sums = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Compared:
    """N samples were compared with K categories each: `near` (N, K), ascending positions in `names`, which are sorted.

    `sums` (N, K) are their similarities to the `partners` of these categories, rows of each category, themselves left
    out.
    """

    sample_ids: Sequence[str]
    names: Sequence[str]
    partners: Sequence[Indices]
    near: Indices
    sums: Sums


@dataclass(frozen=True, slots=True)
class Known:
    """Of the sums to be found, (N, K), what is known, NaN elsewhere, and what is missing in it: rows of samples that
    `came` as partners (A,) of categories `came_to` (A,), ascending.
    """

    sums: Sums
    came: Indices
    came_to: Indices


def nothing_known(near: Indices) -> Known:
    nothing = np.zeros(0, dtype=np.int64)
    return Known(np.full(near.shape, np.nan), nothing, nothing)


def known_of(
    before: Compared, sample_ids: Sequence[str], names: Sequence[str], partners: Sequence[Indices], near: Indices
) -> Known:
    """What `before` tells of samples to be compared with categories `near` (N, K); the same id means the same sample.

    A category that has lost a partner is not known.
    """
    now = _places(before.sample_ids, sample_ids)
    code_now = _places(before.names, names)
    is_whole = np.zeros(len(names), dtype=np.bool_)
    came, came_to = [], []
    for code_before, code in enumerate(code_now.tolist()):
        there = now[before.partners[code_before]]
        if code >= 0 and np.isin(there, partners[code]).all():
            is_whole[code] = True
            came.append(np.setdiff1d(partners[code], there))
            came_to.append(np.full(len(came[-1]), code))
    old = np.flatnonzero(now >= 0)
    old = old[np.argsort(now[old])]
    keys_before = (now[old][:, None] * len(names) + code_now[before.near[old]])[code_now[before.near[old]] >= 0]
    sums_before = before.sums[old][code_now[before.near[old]] >= 0]
    keys = np.arange(len(near))[:, None] * len(names) + near
    place = np.minimum(np.searchsorted(keys_before, keys), max(len(keys_before) - 1, 0))
    sums = np.full(near.shape, np.nan)
    if len(keys_before):
        found = (keys_before[place] == keys) & is_whole[near]
        sums[found] = sums_before[place[found]]
    nothing = np.zeros(0, dtype=np.int64)
    return Known(sums, np.concatenate([nothing, *came]), np.concatenate([nothing, *came_to]))


def _places(before: Sequence[str], now: Sequence[str]) -> Indices:
    """Where each of the names `before` is among those of `now`, -1 where it is gone."""
    place = {name: number for number, name in enumerate(now)}
    return np.array([place.get(name, -1) for name in before], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class KeptCompared:
    """What was compared last time, in a file of `folder`; what another `version` left is not used.

    A version names everything that the similarity of two images depends on but these images.
    """

    folder: Path
    version: str

    def read(self) -> Compared | None:
        """`None` where nothing can be used."""
        kept = read_kept(self._path, self.version)
        if kept is None:
            return None
        return Compared(
            kept["sample_ids"].astype(np.str_).tolist(),
            [str(name) for name in kept["names"].tolist()],
            np.split(kept["partners"].astype(np.int64), kept["ends"][:-1]),
            kept["near"].astype(np.int64),
            kept["sums"],
        )

    def write(self, compared: Compared) -> None:
        """Keep it for the next run."""
        keep(
            self._path,
            self.version,
            sample_ids=np.array(compared.sample_ids, dtype=np.bytes_),
            names=np.array(compared.names, dtype=np.str_),
            partners=np.concatenate(compared.partners).astype(np.int32),
            ends=np.cumsum([len(members) for members in compared.partners]),
            near=compared.near.astype(np.int32),
            sums=compared.sums,
        )

    @property
    def _path(self) -> Path:
        return self.folder / "compared.npz"

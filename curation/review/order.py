"""The order of review that a snapshot gives, read once: which samples there are, and how suspicious each is."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.store.connection import ReadersConnection
from curation.store.review_order import read_order
from curation.store.runs import read_stages
from curation.store.schema import refuse_other_schema
from curation.values import FlagName

BoolArray = NDArray[np.bool_]

# The question "does this show the category?" does not settle these: a copy that is kept, or an image that is in the
# test set, would come back into exports. They are asked about where the configuration does not set them aside anyway.
NOT_SETTLED_HERE = (FlagName.NEAR_DUPLICATE, FlagName.LEAK)


@dataclass(frozen=True, slots=True)
class ReviewOrder:
    """The N novel samples of a snapshot that can be reviewed, by category, most suspicious first within one.

    `codes` (N,) int32 index `categories`. `suspicion` (N,) float32, [0, 1], is the noise probability, or where there is
    none (`estimated` is False) how far the weight is below 1. `chance` (N,), [0, 1), is a fair draw from the id alone:
    where it is below the configured share, two annotators see the sample. `carries` are flags, (N,) each.
    """

    path: Path
    run_id: str
    sample_ids: list[str]
    categories: list[str]
    codes: NDArray[np.int32]
    suspicion: NDArray[np.float32]
    estimated: BoolArray
    weight: NDArray[np.float32]
    chance: NDArray[np.float32]
    carries: dict[FlagName, BoolArray]
    place: dict[str, int]

    def of_category(self, code: int) -> slice:
        """Where the samples of a category lie."""
        first, end = np.searchsorted(self.codes, [code, code + 1])
        return slice(int(first), int(end))


def load_order(path: Path, snapshot: ReadersConnection) -> ReviewOrder:
    """Read the order from the snapshot at `path`."""
    with snapshot.reading() as connection:
        refuse_other_schema(connection, path)
        newest = max(
            read_stages(connection).values(), key=lambda state: (state.run_id, state.finished_at), default=None
        )
        columns = read_order(connection, NOT_SETTLED_HERE)
    estimated = ~np.isnan(columns.noise_probability)
    shortfall = np.clip(1 - columns.weight, 0, 1)
    return ReviewOrder(
        path=path,
        run_id="" if newest is None else newest.run_id,
        sample_ids=columns.sample_ids,
        categories=columns.categories,
        codes=columns.codes,
        suspicion=np.where(estimated, columns.noise_probability, shortfall).astype(np.float32),
        estimated=estimated,
        weight=columns.weight,
        chance=np.array([fair_draw("overlap", name) for name in columns.sample_ids], dtype=np.float32),
        carries=columns.carries,
        place={name: row for row, name in enumerate(columns.sample_ids)},
    )


def fair_draw(purpose: str, name: str) -> float:
    """A number in [0, 1) that every process computes alike, and that has nothing to do with any other purpose."""
    digest = blake2b(f"{purpose}\0{name}".encode(), digest_size=3).digest()
    return int.from_bytes(digest, "big") / 2**24  # 24 bits: exact in float32

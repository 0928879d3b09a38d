"""Many novel categories are judged in groups of look-alikes, no larger than what the noise model has learned from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.category_sums import unit_category_means
from curation.nearest import Nearest
from curation.noise.evidence_table import EvidenceTable, SimilarityEvidence, evidence_table
from curation.noise.probe import Codes
from curation.values import FloatArray


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the categories (`members`, ascending codes) and the `rows` of their images."""

    members: Codes
    rows: NDArray[np.int64]


def similar_groups(embeddings: FloatArray, codes: Codes, categories: int, largest: int) -> list[Group]:
    """The C = `categories` categories in groups of about equal size, at most `largest` (>= 1), look-alikes together.

    `embeddings` (N, D): unit-norm; a category is represented by its mean. One group where there are few enough.
    """
    count = math.ceil(categories / max(1, largest))
    if count == 1:
        return [Group(np.arange(categories), np.arange(len(codes)))]
    means = unit_category_means(embeddings, codes, categories)
    return [Group(members, np.flatnonzero(np.isin(codes, members))) for members in _gathered(means @ means.T, count)]


def _gathered(likeness: FloatArray, count: int) -> Iterator[Codes]:
    """Take the first category that is left, and those most like it, until all are in one of `count` groups."""
    left = np.arange(len(likeness))
    for groups_left in range(count, 0, -1):
        size = math.ceil(len(left) / groups_left)
        nearest = left[np.argsort(-likeness[left[0], left], kind="stable")]
        members = np.sort(np.append(left[0], nearest[nearest != left[0]])[:size])
        yield members
        left = np.setdiff1d(left, members)


def grouped_evidence_table(
    groups: list[Group],
    rows: FloatArray,
    codes: Codes,
    categories: int,
    contrast: FloatArray,
    similarity: list[SimilarityEvidence],
    nearest: list[Nearest],
    *,
    possible: NDArray[np.bool_] | None = None,
) -> EvidenceTable:
    """The evidence table of all N images, each found among its group; `similarity` and `nearest` are of each group's.

    A category outside the group has probability 0; an image that shows one looks like none of them. Arguments as in
    `evidence_table`.
    """
    tables = []
    for group, evidence, near in zip(groups, similarity, nearest, strict=True):
        left = None if possible is None else _possible_in(group, possible)
        of_group = np.searchsorted(group.members, codes[group.rows])
        tables.append(
            evidence_table(
                rows[group.rows],
                of_group,
                len(group.members),
                contrast,
                evidence,
                near,
                possible=left,
            )
        )
    return tables[0] if len(groups) == 1 else _together(groups, tables, len(codes), categories)


def _possible_in(group: Group, possible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What decisions leave of the group's categories; everything else is none of them."""
    some = possible[group.rows]
    outside = np.ones(possible.shape[1], dtype=bool)
    outside[group.members] = False
    return np.column_stack([some[:, group.members], some[:, outside].any(axis=1)])


def _together(groups: list[Group], tables: list[EvidenceTable], images: int, categories: int) -> EvidenceTable:
    columns = np.zeros((images, tables[0].columns.shape[1]), dtype=np.float32)
    posterior, beliefs = (np.zeros((images, categories + 1), dtype=np.float32) for _ in range(2))
    strangers = np.zeros(images, dtype=np.int64)
    for group, table in zip(groups, tables, strict=True):
        places = np.ix_(group.rows, np.append(group.members, categories))
        columns[group.rows] = table.columns
        posterior[places], beliefs[places] = table.posterior, table.beliefs
        strangers[group.rows] = table.strangers
    return EvidenceTable(columns, posterior, beliefs, strangers, max(table.neighbours for table in tables))

"""Samples that show the same picture, as groups: what must not be torn apart when a set is split.

Being a near copy is not transitive, and flags and reviews never take a chain of pairs for a pair. A split does: a
picture on one side and its near copy on the other would be a leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from curation.values import Flag, Sample

Member = TypeVar("Member", int, str)

_ID_DIGITS = 12  # of SHA-256: two of a million groups share an id once in 600 catalogues


def copy_groups(
    samples: Iterable[Sample], flags: Mapping[str, Sequence[Flag]], near_copies: Iterable[tuple[str, str]]
) -> dict[str, str]:
    """Sample id -> id of its group, of those that have one: the same bytes, near copies, and chains of both.

    `near_copies` are pairs of SHA-256 digests; what flags say of copies counts too, for catalogues in which no pairs
    were kept yet. The id is the beginning of the smallest digest in the group: it depends on nothing but the pictures.
    """
    digests = {sample.sample_id: sample.sha256 for sample in samples if sample.sha256 is not None}
    said = (
        (digests[sample_id], digests[copy])
        for sample_id, raised in flags.items()
        for flag in raised
        for copy in flag.copies
        if sample_id in digests and copy in digests
    )
    smallest = smallest_connected([*near_copies, *said])
    samples_of = Counter(digests.values())
    return {
        sample_id: smallest.get(digest, digest)[:_ID_DIGITS]
        for sample_id, digest in digests.items()
        if digest in smallest or samples_of[digest] > 1
    }


def smallest_connected(pairs: Iterable[tuple[Member, Member]]) -> dict[Member, Member]:
    """Member -> the smallest member of all that pairs connect it with (union-find with halved paths)."""
    parent: dict[Member, Member] = {}

    def root(member: Member) -> Member:
        parent.setdefault(member, member)
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    for first, second in pairs:
        smaller, larger = sorted((root(first), root(second)))
        parent[larger] = smaller
    return {member: root(member) for member in parent}

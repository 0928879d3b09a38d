"""Pictures that are there more than once, side by side with their copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curation.report.inputs import ReportInputs
from curation.report.pictures import Picture, picture_of
from curation.values import Flag, FlagName, Sample

KINDS = (FlagName.LEAK, FlagName.LABEL_CONFLICT, FlagName.NEAR_DUPLICATE)  # the gravest first
_MOST_GROUPS = 12  # of one kind
_MOST_MEMBERS = 6  # of one group


@dataclass(frozen=True, slots=True)
class CopyGroup:
    """One picture and its copies, each with a note; `members` counts all of them, the pictures may be fewer."""

    pictures: tuple[Picture, ...]
    members: int


@dataclass(frozen=True, slots=True)
class CopyFacts:
    """All groups of one kind: how many samples carry the flag, how many groups they form, and the first of these."""

    flag: str
    samples: int
    groups: int
    shown: tuple[CopyGroup, ...]


def copy_facts(inputs: ReportInputs) -> tuple[CopyFacts, ...]:
    """The three flags that are raised of copies; those that no sample carries have no groups."""
    by_id = {sample.sample_id: sample for sample in inputs.samples}
    return tuple(_of_kind(kind, inputs, by_id) for kind in KINDS)


def _of_kind(kind: FlagName, inputs: ReportInputs, by_id: Mapping[str, Sample]) -> CopyFacts:
    flags = [flag for found in inputs.flags.values() for flag in found if flag.name == kind and flag.sample_id in by_id]
    flags.sort(key=lambda flag: (by_id[flag.sample_id].category, by_id[flag.sample_id].image_id, flag.sample_id))
    groups = _around_one(flags) if kind is not FlagName.LABEL_CONFLICT else _distinct(flags)
    reasons = {flag.sample_id: flag.reason for flag in flags}
    shown = [_group(ids, reasons, kind, inputs, by_id) for ids in groups[:_MOST_GROUPS]]
    return CopyFacts(kind.value, len(flags), len(groups), tuple(shown))


def _around_one(flags: Sequence[Flag]) -> list[list[str]]:
    """Flags that name the same copy belong together, the copy first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for flag in flags:
        first = flag.copies[0] if flag.copies else flag.sample_id
        groups[first].append(flag.sample_id)
    return [list(dict.fromkeys([first, *members])) for first, members in groups.items()]


def _distinct(flags: Sequence[Flag]) -> list[list[str]]:
    """Conflicts name each other: a group that lies within one shown before adds nothing. No chain joins groups."""
    groups: list[list[str]] = []
    seen: dict[str, list[frozenset[str]]] = defaultdict(list)
    for flag in flags:
        members = frozenset((flag.sample_id, *flag.copies))
        if not any(members <= other for other in seen[flag.sample_id]):
            groups.append([flag.sample_id, *flag.copies])
            for member in members:
                seen[member].append(members)
    return groups


def _group(
    ids: Sequence[str],
    reasons: Mapping[str, str],
    kind: FlagName,
    inputs: ReportInputs,
    by_id: Mapping[str, Sample],
) -> CopyGroup:
    there = [by_id[sample_id] for sample_id in ids if sample_id in by_id]
    other = {FlagName.LEAK: "in the test set", FlagName.NEAR_DUPLICATE: "stays"}.get(kind, "")
    pictures = [picture_of(inputs, sample, reasons.get(sample.sample_id, other)) for sample in there[:_MOST_MEMBERS]]
    return CopyGroup(tuple(pictures), len(there))

"""`near_duplicate`: the same picture is there already under the same category."""

from __future__ import annotations

from collections import defaultdict

from curation.duplicates import preference
from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName, ImageFacts, Role, Sample


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag all but the best copy of a picture in one category; the reason names the one that stays.

    From the best copy on, each that is not flagged yet stays and has its own copies flagged. So every flagged sample
    was itself compared with the one that stays, and a chain of near copies does not drag along what its ends do not
    share.
    """
    return [flag for members in _members_by_category(inputs).values() for flag in _flags_within(members, inputs)]


def _members_by_category(inputs: FlagInputs) -> dict[str, dict[str, list[Sample]]]:
    """Category -> SHA-256 -> its novel samples with these bytes, by image id."""
    members: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for digest, samples in inputs.same_file(Role.NOVEL).items():
        for sample in samples:
            members[sample.category][digest].append(sample)
    return members


def _flags_within(members: dict[str, list[Sample]], inputs: FlagInputs) -> list[Flag]:
    best_first = sorted(
        (digest for digest in members if len(members[digest]) > 1 or digest in inputs.near_copies),
        key=lambda digest: (*preference(inputs.facts.get(digest)), members[digest][0].image_id, digest),
    )
    flags = []
    settled: set[str] = set()
    for digest in best_first:
        if digest in settled:
            continue
        settled.add(digest)
        stays, *copies = members[digest]
        flags += [_flag(copy, f"It is the same file as {stays.image_id}, which stays.", stays) for copy in copies]
        for other, likeness in inputs.alike(digest):
            if other in members and other not in settled:
                settled.add(other)
                sizes = _sizes(inputs.facts.get(other), inputs.facts.get(digest))
                reason = (
                    f"It is nearly the same picture as {stays.image_id} ({likeness:.1%} alike), which stays{sizes}."
                )
                flags += [_flag(copy, reason, stays) for copy in members[other]]
    return flags


def _flag(sample: Sample, reason: str, stays: Sample) -> Flag:
    return Flag(sample.sample_id, FlagName.NEAR_DUPLICATE, reason, (stays.sample_id,))


def _sizes(copy: ImageFacts | None, stays: ImageFacts | None) -> str:
    if copy is None or stays is None or (copy.width_px, copy.height_px) == (stays.width_px, stays.height_px):
        return ""
    return f": {stays.width_px} x {stays.height_px} pixels against {copy.width_px} x {copy.height_px}"

"""`label_conflict`: the same picture was gathered under different categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName, Role, Sample

_Files = Mapping[str, Sequence[Sample]]


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag every novel sample whose picture is listed under another category too, base ones included."""
    novel, base = inputs.same_file(Role.NOVEL), inputs.same_file(Role.BASE)
    flags = []
    for digest, samples in novel.items():
        same = [*samples, *base.get(digest, ())]
        if len(same) == 1 and digest not in inputs.near_copies:
            continue
        near = [(other, likeness) for other, likeness in inputs.alike(digest) if other in novel or other in base]
        for sample in samples:
            reason, copies = _same_file(sample, same)
            if not copies:
                reason, copies = _near_copy(sample, near, novel, base)
            if copies:
                flags.append(Flag(sample.sample_id, FlagName.LABEL_CONFLICT, reason, copies))
    return flags


def _same_file(sample: Sample, same: Sequence[Sample]) -> tuple[str, tuple[str, ...]]:
    """The reason and the ids of the samples it speaks of, one of every other category, by category; none: no flag."""
    found: dict[str, str] = {}
    for other in same:
        if other.category != sample.category:
            found.setdefault(other.category, other.sample_id)
    others = sorted(found)
    return f"The same file is also listed under {', '.join(others)}.", tuple(found[name] for name in others)


def _near_copy(
    sample: Sample, near: Sequence[tuple[str, float]], novel: _Files, base: _Files
) -> tuple[str, tuple[str, ...]]:
    """The same for near copies: names the most alike one of every other category."""
    found: dict[str, tuple[str, str]] = {}
    for digest, likeness in near:
        for other in (*novel.get(digest, ()), *base.get(digest, ())):
            if other.category != sample.category:
                place = f"{other.category} as {other.image_id} ({likeness:.1%} alike)"
                found.setdefault(other.category, (place, other.sample_id))
    others = [found[name] for name in sorted(found)]
    places = ", ".join(place for place, _ in others)
    return f"Nearly the same picture is also listed under {places}.", tuple(copy for _, copy in others)

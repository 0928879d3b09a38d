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
        same = _categories(digest, novel, base)
        near = [(other, likeness) for other, likeness in inputs.alike(digest) if other in novel or other in base]
        for sample in samples:
            sentences = _same_file(sample, same) or _near_copy(sample, near, novel, base)
            if sentences:
                flags.append(Flag(sample.sample_id, FlagName.LABEL_CONFLICT, sentences))
    return flags


def _categories(digest: str, novel: _Files, base: _Files) -> set[str]:
    return {sample.category for files in (novel, base) for sample in files.get(digest, ())}


def _same_file(sample: Sample, categories: set[str]) -> str:
    others = sorted(categories - {sample.category})
    return f"The same file is also listed under {', '.join(others)}." if others else ""


def _near_copy(sample: Sample, near: Sequence[tuple[str, float]], novel: _Files, base: _Files) -> str:
    """Names the most alike copy of every other category."""
    found: dict[str, str] = {}
    for digest, likeness in near:
        for other in (*novel.get(digest, ()), *base.get(digest, ())):
            if other.category != sample.category:
                found.setdefault(other.category, f"{other.category} as {other.image_id} ({likeness:.1%} alike)")
    places = ", ".join(found[category] for category in sorted(found))
    return f"Nearly the same picture is also listed under {places}." if places else ""

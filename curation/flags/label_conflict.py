"""`label_conflict`: the same picture was gathered under different categories."""

from __future__ import annotations

from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName, Role


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag every novel sample whose bytes are listed under another category too, base ones included."""
    base = inputs.same_file(Role.BASE)
    flags = []
    for digest, samples in inputs.same_file(Role.NOVEL).items():
        categories = {sample.category for sample in (*samples, *base.get(digest, ()))}
        for sample in samples:
            others = sorted(categories - {sample.category})
            if others:
                reason = f"The same file is also listed under {', '.join(others)}."
                flags.append(Flag(sample.sample_id, FlagName.LABEL_CONFLICT, reason))
    return flags

"""`near_duplicate`: the same picture is there already under the same category."""

from __future__ import annotations

from itertools import groupby

from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName, Role


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag all but the first sample with the same bytes in one category."""
    flags = []
    for samples in inputs.same_file(Role.NOVEL).values():
        for _, same in groupby(sorted(samples, key=lambda sample: sample.category), key=lambda sample: sample.category):
            first, *copies = same
            reason = f"It is the same file as {first.image_id}, which stays."
            flags += [Flag(copy.sample_id, FlagName.NEAR_DUPLICATE, reason) for copy in copies]
    return flags

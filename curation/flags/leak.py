"""`leak`: a picture to learn from is also one to measure with."""

from __future__ import annotations

from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName, Role


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag base and novel samples whose bytes are in the test set too."""
    tests = inputs.same_file(Role.TEST)
    flags = []
    for sample in inputs.samples:
        if sample.role is not Role.TEST and sample.sha256 in tests:
            reason = f"The same file is in the test set as {tests[sample.sha256][0].image_id}."
            flags.append(Flag(sample.sample_id, FlagName.LEAK, reason))
    return flags

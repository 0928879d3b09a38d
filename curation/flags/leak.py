"""`leak`: a picture to learn from is also one to measure with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName, Role, Sample


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag base and novel samples whose picture is in the test set too."""
    tests = inputs.same_file(Role.TEST)
    flags = []
    for sample in inputs.samples:
        if sample.role is not Role.TEST and sample.sha256 is not None:
            reason = _reason(sample.sha256, tests, inputs)
            if reason is not None:
                flags.append(Flag(sample.sample_id, FlagName.LEAK, reason))
    return flags


def _reason(digest: str, tests: Mapping[str, Sequence[Sample]], inputs: FlagInputs) -> str | None:
    if digest in tests:
        return f"The same file is in the test set as {tests[digest][0].image_id}."
    for other, likeness in inputs.alike(digest):
        if other in tests:
            return f"Nearly the same picture is in the test set as {tests[other][0].image_id} ({likeness:.1%} alike)."
    return None

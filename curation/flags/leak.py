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
            found = _found(sample.sha256, tests, inputs)
            if found is not None:
                reason, test = found
                flags.append(Flag(sample.sample_id, FlagName.LEAK, reason, (test.sample_id,)))
    return flags


def _found(digest: str, tests: Mapping[str, Sequence[Sample]], inputs: FlagInputs) -> tuple[str, Sample] | None:
    """The reason and the test sample that it speaks of, the most alike one."""
    if digest in tests:
        test = tests[digest][0]
        return f"The same file is in the test set as {test.image_id}.", test
    for other, likeness in inputs.alike(digest):
        if other in tests:
            test = tests[other][0]
            return f"Nearly the same picture is in the test set as {test.image_id} ({likeness:.1%} alike).", test
    return None

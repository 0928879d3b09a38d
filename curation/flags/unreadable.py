"""`unreadable`: there are no usable pixels."""

from __future__ import annotations

from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag every sample, of any role, whose image could not be read or decoded."""
    return [
        Flag(sample_id, FlagName.UNREADABLE, f"The image cannot be used: {reason.rstrip('.')}.")
        for sample_id, reason in inputs.unreadable.items()
    ]

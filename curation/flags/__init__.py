"""Flags: one file a suspicion, one readable registry.

A new flag is one file with a pure function `FlagInputs -> list[Flag]`, one name in `curation.values.FlagName`, one line
here, one test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from curation.flags import label_conflict, label_flip, leak, low_quality, near_duplicate, outlier, unreadable
from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName

REGISTRY: Mapping[FlagName, Callable[[FlagInputs], list[Flag]]] = {
    FlagName.UNREADABLE: unreadable.find,
    FlagName.LEAK: leak.find,
    FlagName.LABEL_CONFLICT: label_conflict.find,
    FlagName.NEAR_DUPLICATE: near_duplicate.find,
    FlagName.LABEL_FLIP: label_flip.find,
    FlagName.OUTLIER: outlier.find,
    FlagName.LOW_QUALITY: low_quality.find,
}


def raise_flags(inputs: FlagInputs) -> list[Flag]:
    """Every suspicion about every sample, in the order of the registry."""
    return [flag for find in REGISTRY.values() for flag in find(inputs)]

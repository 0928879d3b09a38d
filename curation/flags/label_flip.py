"""`label_flip`: unlike its own category, like another one."""

from __future__ import annotations

from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag samples that do not fit their web category and do fit another."""
    flags = []
    for sample_id, membership in inputs.memberships.items():
        other = membership.other
        if other is not None and not membership.fits_own and membership.fits_other:
            reason = (
                f"It looks like {other.category} ({other.similarity:.0%} of the similarity usual there), not like "
                f"{membership.web_category} ({membership.own:.0%}; clean images reach {membership.threshold:.0%})."
            )
            flags.append(Flag(sample_id, FlagName.LABEL_FLIP, reason))
    return flags

"""`outlier`: unlike its own category and unlike every other."""

from __future__ import annotations

from curation.flags.inputs import FlagInputs
from curation.membership import Membership
from curation.values import Flag, FlagName


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag samples that fit neither their web category nor another."""
    return [
        Flag(sample_id, FlagName.OUTLIER, _reason(membership))
        for sample_id, membership in inputs.memberships.items()
        if not membership.fits_own and not membership.fits_other
    ]


def _reason(membership: Membership) -> str:
    nearest = ""
    if membership.other is not None:
        nearest = f", and it is no closer to another category ({membership.other.category} comes next)"
    return (
        f"Its similarity to the other {membership.web_category} images is {membership.own:.0%} of what is usual there, "
        f"below the {membership.threshold:.0%} that clean images reach{nearest}."
    )

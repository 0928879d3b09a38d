"""What the flags look at, gathered once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from curation.membership import Membership
from curation.values import Role, Sample


@dataclass(frozen=True, slots=True)
class FlagInputs:
    """All samples of the workspace, why some have no pixels, and how the scored novel ones fit their categories."""

    samples: tuple[Sample, ...]
    unreadable: Mapping[str, str]
    memberships: Mapping[str, Membership]

    def same_file(self, role: Role) -> dict[str, list[Sample]]:
        """SHA-256 -> the samples of one role with exactly these bytes, by image id."""
        groups: dict[str, list[Sample]] = defaultdict(list)
        for sample in sorted(self.samples, key=lambda sample: (sample.image_id, sample.sample_id)):
            if sample.role is role and sample.sha256 is not None:
                groups[sample.sha256].append(sample)
        return dict(groups)

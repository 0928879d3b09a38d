"""What the flags look at, gathered once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from curation.config import QualityConfig
from curation.duplicates import NearCopies
from curation.values import ImageFacts, NoiseEstimate, Role, Sample


@dataclass(frozen=True, slots=True)
class FlagInputs:
    """All samples of the workspace and what is known of them.

    `unreadable` says why some have no pixels, `estimates` how likely the web category of a novel one is wrong:
    suspected from `suspected_at` on. `facts` and `near_copies` are those of image contents, by SHA-256.
    """

    samples: tuple[Sample, ...]
    unreadable: Mapping[str, str]
    estimates: Mapping[str, NoiseEstimate]
    facts: Mapping[str, ImageFacts] = field(default_factory=dict)
    near_copies: NearCopies = field(default_factory=dict)
    quality: QualityConfig = field(default_factory=QualityConfig)
    suspected_at: float = 0.5
    _files: Mapping[Role, dict[str, list[Sample]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        groups: dict[Role, dict[str, list[Sample]]] = {role: defaultdict(list) for role in Role}
        for sample in sorted(self.samples, key=lambda sample: (sample.image_id, sample.sample_id)):
            if sample.sha256 is not None:
                groups[sample.role][sample.sha256].append(sample)
        object.__setattr__(self, "_files", {role: dict(files) for role, files in groups.items()})

    def suspected(self) -> list[NoiseEstimate]:
        """The estimates of the samples whose web category is suspected to be wrong."""
        return [item for item in self.estimates.values() if item.noise_probability >= self.suspected_at]

    def same_file(self, role: Role) -> Mapping[str, Sequence[Sample]]:
        """SHA-256 -> the samples of one role with exactly these bytes, by image id."""
        return self._files[role]

    def alike(self, digest: str) -> list[tuple[str, float]]:
        """The near copies of an image content and their likeness, most alike first; itself is none of them."""
        return sorted(self.near_copies.get(digest, {}).items(), key=lambda copy: (-copy[1], copy[0]))

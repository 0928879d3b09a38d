"""Samples that are near a query: nearest images become ranked samples, each with what is known of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curation.neighbour_index import NearImage
from curation.values import Flag, Sample


@dataclass(frozen=True, slots=True)
class NearSample:
    """One answer to a search: its place from 1, the cosine of its embedding to the query's, and the sample."""

    rank: int
    cosine: float
    role: str
    category: str
    image_id: str
    uri: str
    flags: tuple[str, ...]
    sample_id: str
    sha256: str


def rank_samples(
    images: Sequence[NearImage], samples: Sequence[Sample], flags: Mapping[str, Sequence[Flag]], count: int
) -> list[NearSample]:
    """The first `count` of the samples of `images`, which are nearest first; samples of one image by sample id."""
    of_image: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.sample_id):
        of_image[sample.sha256 or ""].append(sample)
    ranked = [(image, sample) for image in images for sample in of_image[image.sha256]]
    return [
        NearSample(
            rank,
            image.cosine,
            sample.role.value,
            sample.category,
            sample.image_id,
            sample.uri,
            tuple(flag.name.value for flag in flags.get(sample.sample_id, ())),
            sample.sample_id,
            image.sha256,
        )
        for rank, (image, sample) in enumerate(ranked[:count], start=1)
    ]

"""Drawn samples with given embeddings: categories are directions, a third of the novel samples show another one."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from curation.embedding_shards import shards_of, write_shard
from curation.fingerprint import FINGERPRINT_PX
from curation.store.category_ids import number_categories
from curation.store.connection import catalog
from curation.store.images import put_image_facts
from curation.store.journal import journal
from curation.store.runs import put_stage
from curation.store.samples import put_samples
from curation.values import CrawlFacts, FloatArray, ImageFacts, Role, Sample, sample_id_of
from curation.workspace import Workspace

_ENCODER = "given"
_DIMENSION = 512
_BASE_SHARE = 0.3
_BASE_CATEGORIES = 60
_A_CATEGORY = 400  # samples, of all of them: novel ones have about 280
_WRONG = 0.3
_SPREAD = 1.6  # around the direction of a category, in its components: neighbours are mixed, but not hopelessly
_SHARD = 10_000

Codes = NDArray[np.int64]


@dataclass
class DrawnSet:
    """`size` samples, base ones first; the novel ones follow in turn, so that any stretch has all categories."""

    size: int
    embeddings: FloatArray = field(init=False)
    listed: Codes = field(init=False)
    base: int = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        self.base = round(self.size * _BASE_SHARE)
        novel_categories = max(10, self.size // _A_CATEGORY)
        novel = self.size - self.base
        base_codes = np.arange(self.base) % _BASE_CATEGORIES
        novel_codes = _BASE_CATEGORIES + np.arange(novel) % novel_categories
        true = novel_codes.copy()
        wrong = random.random(novel) < _WRONG
        true[wrong] = _BASE_CATEGORIES + random.integers(0, novel_categories, int(wrong.sum()))
        directions = random.normal(size=(_BASE_CATEGORIES + novel_categories, _DIMENSION)).astype(np.float32)
        rows = random.normal(scale=_SPREAD, size=(self.size, _DIMENSION)).astype(np.float32)
        rows += directions[np.concatenate([base_codes, true])]
        self.embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.listed = np.concatenate([base_codes, novel_codes])

    def sample(self, number: int) -> Sample:
        role = Role.BASE if number < self.base else Role.NOVEL
        category, name = f"{role.value}{self.listed[number]:04}", f"{number}.jpg"
        digest = sha256(str(number).encode()).hexdigest()
        return Sample(
            sample_id=sample_id_of(role, category, name, digest),
            image_id=name,
            role=role,
            category=category,
            uri=f"file:///nowhere/{name}",
            version="1",
            sha256=digest,
            reason=None,
            source="/nowhere",
            crawl=CrawlFacts(source_url=f"https://site{number % 50}.org/{number}", query=category, rank=number),
        )


def add_images(workspace: Workspace, drawn: DrawnSet, start: int, stop: int) -> None:
    """What `ingest` and `embed` would have left of the samples from `start` to `stop`."""
    samples = [drawn.sample(number) for number in range(start, stop)]
    with journal(workspace.journal) as connection_to_journal:
        number_categories(connection_to_journal, {sample.category for sample in samples})
    for first in range(0, len(samples), _SHARD):
        part = samples[first : first + _SHARD]
        rows = drawn.embeddings[start + first : start + first + len(part)]
        write_shard(shards_of(workspace.embeddings, _ENCODER), [str(sample.sha256) for sample in part], rows)
    with catalog(workspace) as connection:
        put_samples(connection, samples)
        put_image_facts(connection, [_facts(number, sample) for number, sample in enumerate(samples, start)])
        put_stage(connection, "embed", str(stop), "benchmark", {"encoder": _ENCODER})


def _facts(number: int, sample: Sample) -> ImageFacts:
    """Of a sharp picture of its own, of usual size."""
    picture = np.random.default_rng(number).bytes(FINGERPRINT_PX**2)
    return ImageFacts(
        str(sample.sha256), "JPEG", "RGB", 500, 400, 1, 50_000, sharpness=0.5, contrast=50.0, fingerprint=picture
    )

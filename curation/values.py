"""The values that travel between the rooms: small, frozen, checked once when they are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256 as _sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Role(StrEnum):
    """What a category is to the task: clean and labelled, gathered from the web, or held out to measure."""

    BASE = "base"
    NOVEL = "novel"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class CrawlFacts:
    """What the crawler noted of an image; each `None` where the source does not say.

    `license` is the source's own words: a short name, an address, a sentence.
    """

    source_url: str | None = None
    query: str | None = None
    rank: int | None = None
    title: str | None = None
    split: str | None = None
    license: str | None = None


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One image as a source lists it, before its bytes are read.

    `image_id` is the user's name of the image, unique within its source and category: the path relative to the
    folder, the manifest's `image_id` column, the key of a tar member. `uri` says where the bytes are
    (`curation.sources.location`). `version` changes when the bytes may have changed (size and modification time of
    the file), so that an unchanged file is not read again.
    """

    image_id: str
    category: str
    uri: str
    version: str
    crawl: CrawlFacts = field(default_factory=CrawlFacts)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image under one category.

    `category` is the clean category of a base or test sample and the web category of a novel one. `sha256` is the
    hex digest of the image's bytes, `None` exactly when they could not be read; then `reason` says why.
    """

    sample_id: str
    image_id: str
    role: Role
    category: str
    uri: str
    version: str
    sha256: str | None
    reason: str | None
    source: str
    crawl: CrawlFacts = field(default_factory=CrawlFacts)

    def __post_init__(self) -> None:
        if (self.sha256 is None) == (self.reason is None):
            raise ValueError(f"sample {self.image_id!r}: exactly one of sha256 and reason must be given")


def sample_id_of(role: Role, category: str, image_id: str, sha256: str | None) -> str:
    """A name for a sample that does not depend on where its source lies: 16 hex digits."""
    parts = (role.value, category, image_id, sha256 or "")
    return _sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What decoding told of one image; `reason` is set exactly when there are no usable pixels.

    `width_px` and `height_px` are those of the upright image (EXIF orientation applied); 0 where unknown.
    `format` and `mode` are Pillow's names ("JPEG", "RGB"). `frames` counts the frames of an animation (1 otherwise).
    `sharpness` and `contrast` are those of `curation.image_quality`, `fingerprint` that of `curation.fingerprint`; each
    `None` where there are no pixels, and for images that were decoded before these were measured.
    """

    sha256: str
    format: str = ""
    mode: str = ""
    width_px: int = 0
    height_px: int = 0
    frames: int = 0
    size_bytes: int = 0
    reason: str | None = None
    sharpness: float | None = None
    contrast: float | None = None
    fingerprint: bytes | None = None


class FlagName(StrEnum):
    """The suspicions that may be raised of a sample."""

    OUTLIER = "outlier"
    LABEL_FLIP = "label_flip"
    NEAR_DUPLICATE = "near_duplicate"
    LABEL_CONFLICT = "label_conflict"
    LEAK = "leak"
    LOW_QUALITY = "low_quality"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Flag:
    """A suspicion of one sample, with its reason as one sentence.

    `copies` are the ids of the samples that show the same picture, where the flag is raised because of them, the one
    named first in the reason first.
    """

    sample_id: str
    name: FlagName
    reason: str
    copies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CategorySimilarity:
    """Mean similarity, [0, 1], of a sample to the images of one category, itself left out."""

    category: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """The numbers known of a novel sample before anyone has looked at it.

    `weight`: own-category mean similarity over its mean in the category, so mean 1; high = trust. `weight_error` is its
    standard error where partners were sampled, `None` where all were compared. `own_similarity`, [0, 1], and
    `own_cosine`, [-1, 1], are means over the other images of the web category, `None` where there is no other.
    `nearest` holds the most similar categories, most similar first (its own among them).
    """

    sample_id: str
    weight: float
    weight_error: float | None
    own_similarity: float | None
    own_cosine: float | None
    nearest: tuple[CategorySimilarity, ...]


@dataclass(frozen=True, slots=True)
class NoiseEstimate:
    """What the noise model says of one novel sample.

    `noise_probability`, [0, 1], is the calibrated probability that the web category is wrong, decisions on other
    samples included; `transferred_probability` is the same before any decision was looked at. `suggested_category` is
    what the sample most probably shows: its web category, another novel one, or `None` for none of them (an outlier);
    `suggested_probability`, [0, 1], is that of the suggestion. `explanation` is one sentence.
    """

    sample_id: str
    noise_probability: float
    transferred_probability: float
    suggested_category: str | None
    suggested_probability: float
    explanation: str


@dataclass(frozen=True, slots=True)
class CategoryNoise:
    """Predicted share of wrong images, [0, 1], in one novel category, with a 90 % interval [`low`, `high`]."""

    category: str
    samples: int
    noise_rate: float
    low: float
    high: float


class DecisionAction(StrEnum):
    """What a person can decide of a sample; `undo` takes the decision before it back."""

    KEEP = "keep"
    DROP = "drop"
    RELABEL = "relabel"
    UNSURE = "unsure"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's word on one sample. `category` is the reviewed category, given exactly when relabelling.

    `context` records what the person saw (run, page, key pressed). A `second_look` settles what others left unsettled
    (`curation.standing`).
    """

    sample_id: str
    action: DecisionAction
    annotator: str
    category: str | None = None
    context: dict[str, Any] = field(default_factory=dict)
    second_look: bool = False

    def __post_init__(self) -> None:
        if (self.action is DecisionAction.RELABEL) != (self.category is not None):
            raise ValueError(f"decision on {self.sample_id}: a category goes with relabel and with nothing else")
        if not self.annotator.strip():
            raise ValueError(f"decision on {self.sample_id}: an annotator's name is required")


@dataclass(frozen=True, slots=True)
class CleanedSample:
    """One sample of a cleaned set: what a training pipeline gets.

    `category_id` is stable over all exports of a workspace. `weight` is that of the scores: it averages 1 over all
    images of the web category, those set aside included; high = trust. `noise_probability` is that of `category` being
    wrong: 0 where a person has kept or relabelled it, `None` where no noise model has spoken. `suggested_category` and
    `suggested_probability`, [0, 1], are those of the noise model; `None` for base samples and where a person has
    confirmed the category.

    `set_aside` is the one reason why the cleaned set leaves the sample out, where an export of everything has it
    nevertheless; `None` for what is in the cleaned set. `flags` are names of `FlagName`. Samples that show the same
    picture (near copies, same bytes, chains of both) have the same `copies_group`, a digest that does not change with
    what is exported; `None` where there is no other. `split` is the part of a split export, such as "train" (what the
    crawl called its split is in `crawl`).
    """

    sample_id: str
    image_id: str
    role: Role
    category: str
    category_id: int
    web_category: str
    weight: float
    noise_probability: float | None
    uri: str
    sha256: str
    crawl: CrawlFacts = field(default_factory=CrawlFacts)
    set_aside: str | None = None
    suggested_category: str | None = None
    suggested_probability: float | None = None
    flags: tuple[str, ...] = ()
    copies_group: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """One sample that is not in a cleaned set, with the one reason why."""

    sample_id: str
    image_id: str
    web_category: str
    uri: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class CleanedSet:
    """An immutable choice of samples. `content_hash` identifies it: same samples, categories and weights, same hash.

    `categories` maps every category name of the workspace to its id, used here or not.
    `provenance` holds what made it: encoder and network identity, configuration, tool version, flag counts.
    """

    content_hash: str
    kept: tuple[CleanedSample, ...]
    set_aside: tuple[SetAside, ...]
    categories: dict[str, int]
    provenance: dict[str, Any]

    @property
    def total(self) -> int:
        """Samples that were considered; kept and set aside always add up to it."""
        return len(self.kept) + len(self.set_aside)

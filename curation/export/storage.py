"""What the export formats share: the image they are handed, and the place they answer with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from curation.values import CleanedSample

MIB = 2**20


class CheckedImage(NamedTuple):
    """A kept sample and its bytes, whose SHA-256 was found to be the sample's."""

    sample: CleanedSample
    data: bytes


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the bytes of one sample lie in an export.

    `file` is relative to the folder of the export, with forward slashes; empty where the format only holds the `uri`.
    `position` is what the format needs to find the image within the file: the byte offset in a tar, the row number in
    a Parquet file, 0 otherwise. `linked` tells a hard link to the original from a copy.
    """

    file: str
    position: int
    size_bytes: int
    linked: bool = False


class PlacedSample(NamedTuple):
    """A kept sample and where its bytes went."""

    sample: CleanedSample
    placement: Placement


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """How the images are laid out; each format reads what concerns it.

    `folders` gives the folder name of every category (`curation.export.names`), `labels` the names of the categories
    that are in the set, by id, `samples` how many samples each part of a split has at most (part `None`: no split).
    Shards of 256 MiB are what the webdataset project recommends as a size that streams well; row groups of 100 rows are
    what Hugging Face uses for images, so that one random row costs the decoding of few others.
    """

    folders: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    samples: Mapping[str | None, int] = field(default_factory=dict)
    hard_links: bool = False
    shard_bytes: int = 256 * MIB
    shard_samples: int = 10_000
    row_group_bytes: int = 32 * MIB
    row_group_rows: int = 100

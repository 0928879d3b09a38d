"""Format `webdataset`: tar shards of `<sample id>.<suffix>`, `.json` (all facts) and `.cls` (category id).

The parts of a split have shards of their own: `train-000000.tar`.

Samples come category by category, which would make shards of one category each, poison for training. So they are dealt
in turn to as many open shards as the set needs: every shard holds every category. Within a shard they keep their
order; training shuffles there as usual.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Generator, Iterable
from pathlib import Path

from curation.export.names import image_suffix
from curation.export.storage import CheckedImage, PlacedSample, Placement, StorageOptions
from curation.export.tables import facts_of
from curation.sources.location import member_uri
from curation.values import CleanedSample

_MOST_OPEN = 256  # processes may have 1,024 open files by default


def write_images(folder: Path, images: Iterable[CheckedImage], options: StorageOptions) -> Generator[PlacedSample]:
    """Write `shard-000000.tar`, `shard-000001.tar`, ...; a new one begins where the next image would exceed a bound.

    An image larger than the bound gets a shard of its own. The same samples give the same bytes: no time or user is
    written.
    """
    dealers: dict[str | None, _Dealer] = {}
    try:
        for sample, data in images:
            dealer = dealers.setdefault(sample.split, _Dealer(folder, sample.split, options))
            yield PlacedSample(sample, dealer.deal(sample, data))
    finally:
        for dealer in dealers.values():
            dealer.close()


def image_uri(folder: Path, sample: CleanedSample, placement: Placement) -> str:
    """Where the bytes of one member are, by offset: nothing need be searched or kept open."""
    return member_uri(folder / placement.file, sample.sample_id, placement.position, placement.size_bytes)


class _Dealer:
    """Deals the samples of one part to its open shards in turn."""

    def __init__(self, folder: Path, part: str | None, options: StorageOptions) -> None:
        self._folder, self._prefix, self._options = folder, part or "shard", options
        most_open = max(1, _MOST_OPEN // max(1, len(options.samples)))
        self._hands = min(most_open, max(1, math.ceil(options.samples.get(part, 0) / options.shard_samples)))
        self._dealt = self._opened = 0
        self._shards: dict[int, _Shard] = {}

    def deal(self, sample: CleanedSample, data: bytes) -> Placement:
        hand = self._dealt % self._hands
        self._dealt += 1
        if hand in self._shards and not self._shards[hand].has_room(len(data), self._options):
            self._shards.pop(hand).close()
        if hand not in self._shards:
            self._shards[hand] = _Shard(self._folder / f"{self._prefix}-{self._opened:06d}.tar")
            self._opened += 1
        return self._shards[hand].add(sample, data)

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()


class _Shard:
    """A tar that is being written."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._samples = 0
        self._tar = tarfile.open(path, "x", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - lives until close()

    def has_room(self, size_bytes: int, options: StorageOptions) -> bool:
        return self._samples < options.shard_samples and self._tar.offset + size_bytes <= options.shard_bytes

    def add(self, sample: CleanedSample, data: bytes) -> Placement:
        position = self._add_member(f"{sample.sample_id}.{image_suffix(data)}", data)
        self._add_member(f"{sample.sample_id}.json", json.dumps(facts_of(sample), ensure_ascii=False).encode())
        self._add_member(f"{sample.sample_id}.cls", str(sample.category_id).encode())
        self._samples += 1
        return Placement(self._name, position, len(data))

    def close(self) -> None:
        self._tar.close()

    def _add_member(self, name: str, data: bytes) -> int:
        """Append one member; the offset of its first byte."""
        member = tarfile.TarInfo(name)
        member.size = len(data)
        position = self._tar.offset + tarfile.BLOCKSIZE  # a USTAR header of a short name is one block
        self._tar.addfile(member, io.BytesIO(data))
        return position

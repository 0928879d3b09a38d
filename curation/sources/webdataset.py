"""WebDataset tar shards as a source: members that share a key make one sample."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from curation.errors import SourceError
from curation.sources.crawl_facts import crawl_facts, optional_text
from curation.sources.location import file_version, member_uri, readable_text
from curation.values import SourceEntry

EXPECTS = "a .tar file, or a folder of them, with an image and its category (.cls, .txt or .json) under one key"

_IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
_FACT_SUFFIXES = ("cls", "txt", "json")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_MAX_FACT_BYTES = 2**20  # a category or a page's facts; more is no fact and would fill the memory
_GZIP_MAGIC = b"\x1f\x8b"


def accepts(path: Path) -> bool:
    """Whether `path` is a tar shard or a folder that holds some."""
    return bool(_shards(path))


def list_entries(path: Path, ignored: Counter[str]) -> Iterator[SourceEntry]:
    """Every sample with an image and a category, in the order of the shards; the rest is counted in `ignored`.

    A key that names another image of the same category in an earlier shard gets its shard's name in front.
    """
    seen: set[tuple[str, str]] = set()
    for shard in _shards(path):
        for entry in _entries_of(shard.absolute(), ignored):
            if (entry.category, entry.image_id) in seen:
                entry = _with_shard_name(entry, shard)
            seen.add((entry.category, entry.image_id))
            yield entry


def _shards(path: Path) -> list[Path]:
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in candidates if file.name.lower().endswith((".tar", *_COMPRESSED)) and file.is_file()]


def _with_shard_name(entry: SourceEntry, shard: Path) -> SourceEntry:
    name = f"{readable_text(shard.stem)}/{entry.image_id}"
    return SourceEntry(name, entry.category, entry.uri, entry.version, entry.crawl)


@dataclass(slots=True)
class _Group:
    """The members of one key: where the image lies, and the texts beside it by suffix."""

    image: tarfile.TarInfo | None = None
    facts: dict[str, bytes] = field(default_factory=dict)


def _entries_of(shard: Path, ignored: Counter[str]) -> Iterator[SourceEntry]:
    version = file_version(shard)
    for key, group in _groups(shard, ignored).items():
        where = f"{readable_text(str(shard))}, sample {readable_text(key)}"
        facts = _json_facts(group)
        category = None if facts is None else _category(key, group, facts)
        if group.image is None:
            ignored["sample without an image"] += 1
        elif facts is None:
            ignored["sample whose .json is not a JSON object"] += 1
        elif category is None:
            ignored["sample without a category"] += 1
        else:
            yield SourceEntry(
                image_id=optional_text(facts.get("image_id")) or readable_text(key),
                category=category,
                uri=member_uri(shard, group.image.name, group.image.offset_data, group.image.size),
                version=version,
                crawl=crawl_facts(facts, where),
            )


def _groups(shard: Path, ignored: Counter[str]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    with _open_shard(shard) as file:
        for member in _members(shard, file):
            key, suffix = _key_and_suffix(member.name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                ignored["member that is not a regular file"] += 1
            elif not key or not suffix:
                ignored["member without key or suffix"] += 1
            else:
                _add(groups.setdefault(key, _Group()), member, suffix, file, ignored)
    return groups


def _add(group: _Group, member: tarfile.TarInfo, suffix: str, file: BinaryIO, ignored: Counter[str]) -> None:
    last = suffix.rpartition(".")[2]
    if last in _IMAGE_SUFFIXES and group.image is None:
        group.image = member
    elif last in _IMAGE_SUFFIXES:
        ignored["further image of a sample"] += 1
    elif suffix not in _FACT_SUFFIXES:
        ignored[f"member of no use (.{readable_text(suffix)})"] += 1
    elif member.size > _MAX_FACT_BYTES:
        ignored[f"member too large for a fact (.{suffix})"] += 1
    else:
        file.seek(member.offset_data)
        group.facts[suffix] = file.read(member.size)


def _key_and_suffix(name: str) -> tuple[str, str]:
    """The WebDataset convention: the key ends at the first dot of the base name; the suffix is in lower case."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    stem, _, suffix = base.partition(".")
    return (f"{folder}{slash}{stem}" if stem else ""), suffix.lower()


def _json_facts(group: _Group) -> dict[str, Any] | None:
    """The sample's JSON object, empty where it has none; None for text that is not a JSON object."""
    try:
        facts = json.loads(group.facts.get("json", b"{}"))
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None


def _category(key: str, group: _Group, facts: dict[str, Any]) -> str | None:
    """From .cls, else `category` in .json, else .txt (a caption in some sets), else the member's first folder."""
    written = (group.facts.get("cls"), facts.get("category"), group.facts.get("txt"))
    texts = [optional_text(value) for value in written]
    found = next((text.strip() for text in texts if text is not None), None)
    folder = readable_text(key.partition("/")[0]) if "/" in key else None
    return found or folder or None


def _open_shard(shard: Path) -> BinaryIO:
    name = readable_text(str(shard))
    try:
        file = shard.open("rb")
    except OSError as error:
        raise SourceError(
            f"the shard {name} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    compressed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC or name.lower().endswith(_COMPRESSED)
    if compressed:
        file.close()
        raise SourceError(
            f"the shard {name} is compressed, so its members cannot be read one by one.",
            hint="Unpack it to .tar first (`gunzip` keeps the name without .gz).",
        )
    file.seek(0)
    return file


def _members(shard: Path, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """The members in their order; `SourceError` with the offset where the archive ends too early or is damaged."""
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep them all, and there may be millions
                end = archive.offset
                yield member
            end = archive.offset
        complete = _is_end_marker(file, end)
    except tarfile.TarError:
        complete = False
    if not complete:
        raise SourceError(
            f"the shard {readable_text(str(shard))} is truncated or damaged at byte {end}.",
            hint="Fetch or write it again.",
        )


def _is_end_marker(file: BinaryIO, offset: int) -> bool:
    """Whether the block of zeros that ends every whole archive (POSIX ustar) is at `offset`.

    tarfile stops silently at a damaged header as well as at the end.
    """
    file.seek(offset)
    return file.read(tarfile.BLOCKSIZE) == b"\0" * tarfile.BLOCKSIZE

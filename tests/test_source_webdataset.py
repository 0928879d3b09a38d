"""Tar shards in WebDataset form."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from pathlib import Path

import pytest

from curation.errors import SourceError
from curation.sources import list_source
from curation.sources.location import (
    file_version,
    read_bytes,
)
from curation.values import CrawlFacts
from tests.source_factory import PNG, ids, shard


def test_webdataset__categories_and_facts(tmp_path: Path) -> None:
    facts = {"category": "wren", "rank": 4, "title": "t", "image_id": "two", "license": "CC0", "unknown": [1]}
    file = shard(
        tmp_path / "0.tar",
        {
            "1.jpg": b"one", "1.cls": b"robin\n",
            "2.png": b"two", "2.json": json.dumps(facts).encode(), "2.txt": b"a caption",
            "./owl/3.x.JPEG": b"three",
            "4.txt": b"crow", "4.webp": b"four",
        },
    )  # fmt: skip
    listing = list_source(file)
    assert listing.kind == "webdataset"
    assert ids(file) == [("robin", "1"), ("wren", "two"), ("owl", "owl/3"), ("crow", "4")]
    assert [read_bytes(entry.uri) for entry in listing.entries] == [b"one", b"two", b"three", b"four"]
    assert listing.entries[1].crawl == CrawlFacts(rank=4, title="t", license="CC0")
    assert listing.entries[0].version == file_version(file)
    assert listing.ignored == {}


def test_webdataset__everything_else_is_counted(tmp_path: Path) -> None:
    file = shard(
        tmp_path / "0.tar",
        {
            "1.jpg": b"one", "1.cls": b"robin", "1.right.png": b"further", "1.npy": b"array",
            "2.jpg": b"no category", "3.cls": b"no image", "4.jpg": b"x", "4.json": b"[]", "5.jpg": b"x",
            "5.json": b"{",
            "._6.jpg": b"hidden", "README": b"no suffix",
        },
    )  # fmt: skip
    with tarfile.open(file, "a") as archive:
        link = tarfile.TarInfo("7.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "1.jpg"
        archive.addfile(link)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    listing = list_source(file)
    assert ids(file) == [("robin", "1")]
    assert listing.ignored == {
        "further image of a sample": 1,
        "member of no use (.npy)": 1,
        "member that is not a regular file": 1,
        "member without key or suffix": 2,
        "sample whose .json is not a JSON object": 2,
        "sample without a category": 1,
        "sample without an image": 1,
    }


def test_webdataset__shards_that_use_the_same_keys(tmp_path: Path) -> None:
    for name in ("b", "a"):
        shard(tmp_path / f"{name}.tar", {"robin/1.jpg": name.encode()})
    listing = list_source(tmp_path)
    assert ids(tmp_path) == [("robin", "robin/1"), ("robin", "b/robin/1")]
    assert [read_bytes(entry.uri) for entry in listing.entries] == [b"a", b"b"]


def test_webdataset__member_names_of_any_length_and_bytes(tmp_path: Path) -> None:
    long = "robin/" + "x" * 150
    undecodable = os.fsdecode(b"robin/caf\xe9")
    file = shard(tmp_path / "0.tar", {f"{long}.jpg": b"long", f"{undecodable}.jpg": b"latin"})
    assert ids(file) == [("robin", long), ("robin", "robin/caf%E9")]
    assert [read_bytes(entry.uri) for entry in list_source(file).entries] == [b"long", b"latin"]


@pytest.mark.parametrize("kept", [100, 512, 700, 512 + 1024, 512 + 1024 + 300, 2 * (512 + 1024)])
def test_webdataset__truncated_shard_stops(tmp_path: Path, kept: int) -> None:
    file = shard(tmp_path / "0.tar", {"robin/1.jpg": bytes(1000), "robin/2.jpg": bytes(1024)})
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"0\.tar is truncated or damaged at byte \d+"):
        list_source(file)


def test_webdataset__damaged_header_in_the_middle_stops(tmp_path: Path) -> None:
    file = shard(tmp_path / "0.tar", {"robin/1.jpg": bytes(1024), "robin/2.jpg": bytes(1024)})
    data = bytearray(file.read_bytes())
    data[1536:1540] = b"\xff\xff\xff\xff"
    file.write_bytes(bytes(data))
    with pytest.raises(SourceError, match="damaged at byte 1536"):
        list_source(file)


@pytest.mark.parametrize("name", ["0.tar.gz", "0.tgz", "0.tar"])
def test_webdataset__compressed_shard_stops_with_a_hint(tmp_path: Path, name: str) -> None:
    data = shard(tmp_path / "plain", {"robin/1.jpg": b"one"}).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(data))
    with pytest.raises(SourceError, match="is compressed") as caught:
        list_source(tmp_path / name)
    assert "Unpack it to .tar" in caught.value.hint


def test_webdataset__reads_what_the_library_writes(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "0.tar")) as writer:
        writer.write({"__key__": "000/1", "png": PNG, "json": {"category": "robin"}})
        writer.write({"__key__": "000/2", "png": PNG, "cls": 7})
    listing = list_source(tmp_path)
    assert ids(tmp_path) == [("robin", "000/1"), ("7", "000/2")]
    assert read_bytes(listing.entries[0].uri) == PNG

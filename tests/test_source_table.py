"""Tables of images, as CSV and as Parquet, that hold paths or the bytes themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import SourceError
from curation.sources import list_source
from curation.sources.location import (
    file_version,
    read_bytes,
)
from curation.values import CrawlFacts
from tests.source_factory import PNG, csv, ids, parquet, tree


def test_table__csv_with_crawl_facts(tmp_path: Path) -> None:
    tree(tmp_path, "images/1.jpg")
    manifest = csv(
        tmp_path / "set.csv",
        "category,image,rank,title,query,source_url,split,image_id,license,extra\n"
        '007,images/1.jpg,3,"a, b\nc",q,http://x/1,train,one,CC BY 2.0,?\n'
        "007,/abs/2.jpg,,,,,,,,\n",
    )
    listing = list_source(manifest)
    one, two = listing.entries
    assert listing.kind == "table"
    assert (one.category, one.image_id) == ("007", "one")
    assert one.crawl == CrawlFacts("http://x/1", query="q", rank=3, title="a, b\nc", split="train", license="CC BY 2.0")
    assert read_bytes(one.uri) == PNG
    assert (two.image_id, two.uri, two.version, two.crawl) == (
        "/abs/2.jpg",
        "file:///abs/2.jpg",
        "missing",
        CrawlFacts(),
    )


def test_table__rows_that_are_passed_over(tmp_path: Path) -> None:
    manifest = csv(
        tmp_path / "set.csv",
        "image,category,image_id\na.jpg,robin,1\na.jpg,robin,2\na.jpg,wren,1\n"
        ",robin,3\nb.jpg,,4\n  ,robin,5\nc.jpg,robin,1\n",
    )
    listing = list_source(manifest)
    assert ids(manifest) == [("robin", "1"), ("wren", "1")]
    assert listing.ignored == {
        "image_id used for another image of the same category": 1,
        "row without a category": 1,
        "row without an image": 2,
        "the same image under the same category again": 1,
    }


def test_table__csv_path_that_is_not_utf_8(tmp_path: Path) -> None:
    name = b"caf\xe9.png"
    tree(tmp_path, os.fsdecode(name))
    (tmp_path / "set.csv").write_bytes(b"image,category\n" + name + b",robin\n")
    (entry,) = list_source(tmp_path / "set.csv").entries
    assert entry.image_id == "caf%E9.png"
    assert read_bytes(entry.uri) == PNG


@pytest.mark.parametrize(
    ("content", "told", "hint"),
    [
        (b"img,label\n1,2\n", "no column 'image'; it has: img, label", "Rename 'img' to 'image'"),
        (b"image,class\n1,2\n", "no column 'category'", "'category'"),
        (b"image,category,rank\na,b,1\na,c,many\n", "row 2: rank must be an integer, got 'many'", "Correct"),
        (b"image,category,rank\na,b,1.5\n", "row 1: rank must be an integer", "Correct"),
        (b"image,category,rank\na,b,inf\n", "row 1: rank must be an integer", "Correct"),
        (b"image,category\nhttps://x/a.jpg,b\n", "row 1: image must be the path of a file", "source_url"),
        (b"image,category\na.jpg,caf\xe9\n", "row 1: the category is not UTF-8", "UTF-8"),
        (b"image,category\na.jpg,b,c\n", "cannot be read", "header"),
        (b"", "cannot be read", "header"),
        (b"image,category\n", "holds no image", "meant"),
    ],
)
def test_table__csv_that_stops(tmp_path: Path, content: bytes, told: str, hint: str) -> None:
    (tmp_path / "set.csv").write_bytes(content)
    with pytest.raises(SourceError, match=told) as caught:
        list_source(tmp_path / "set.csv")
    assert hint in caught.value.hint
    assert "set.csv" in caught.value.message


@pytest.mark.parametrize("as_struct", [False, True])
def test_table__parquet_with_bytes_is_listed_without_reading_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_struct: bool
) -> None:
    images = [{"bytes": PNG, "path": "x"}] * 3 if as_struct else [PNG] * 3
    file = parquet(tmp_path / "s.parquet", image=images, category=["robin", "wren", None], rank=[1.0, None, 2.0])
    asked = []
    whole = pq.ParquetFile.iter_batches

    def watched(self: pq.ParquetFile, **options: object) -> object:
        asked.append(options["columns"])
        return whole(self, **options)

    with monkeypatch.context() as patched:
        patched.setattr(pq.ParquetFile, "iter_batches", watched)
        listing = list_source(file)
    assert asked == [["category", "rank"]]
    assert ids(file) == [("robin", "row-0"), ("wren", "row-1")]
    assert listing.ignored == {"row without a category": 1}
    assert [entry.crawl.rank for entry in listing.entries] == [1, None]
    assert listing.entries[1].version == file_version(file)
    assert read_bytes(listing.entries[1].uri) == PNG


def test_table__parquet_with_paths_and_numbers_of_class(tmp_path: Path) -> None:
    tree(tmp_path, "a.png")
    images = pa.array(["a.png", None]).dictionary_encode()
    file = parquet(tmp_path / "set.parquet", image=images, category=[3, 4])
    listing = list_source(file)
    assert [(entry.category, entry.image_id) for entry in listing.entries] == [("3", "a.png")]
    assert listing.ignored == {"row without an image": 1}
    assert read_bytes(listing.entries[0].uri) == PNG


def test_table__parquet_that_stops(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="column image must hold paths or bytes, got int64"):
        list_source(parquet(tmp_path / "a.parquet", image=[1], category=["a"]))
    (tmp_path / "b.parquet").write_bytes(b"no Parquet")
    with pytest.raises(SourceError, match=r"b\.parquet cannot be read"):
        list_source(tmp_path / "b.parquet")


def test_table__folder_of_shards(tmp_path: Path) -> None:
    for shard in ("b", "a"):
        parquet(tmp_path / f"{shard}.parquet", image=[PNG], category=["robin"])
    assert ids(tmp_path) == [("robin", "a/row-0"), ("robin", "b/row-0")]


@pytest.mark.parametrize(
    ("columns", "values", "expected"),
    [
        ("licence", "CC BY 4.0", "CC BY 4.0"),
        ("license,licence", "CC0,other", "CC0"),
        ("license,licence", ",other", "other"),
        ("license", " ", None),
    ],
)
def test_table__the_licence_in_either_spelling(columns: str, values: str, expected: str | None, tmp_path: Path) -> None:
    manifest = csv(tmp_path / "set.csv", f"image,category,{columns}\n1.jpg,wren,{values}\n")
    assert list_source(manifest).entries[0].crawl.license == expected

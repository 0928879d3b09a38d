"""Sources list images without reading them, account for everything they pass over, and say what they expected."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import SourceError
from curation.sources import list_source
from curation.sources import location as location_module
from curation.sources.location import (
    UnreadableImageError,
    file_uri,
    file_version,
    member_uri,
    path_of,
    read_bytes,
    readable_text,
    row_uri,
)
from curation.values import CrawlFacts
from tests.hostile import encoded, make_hostile_files, picture

PNG = encoded(picture(0), "PNG")


def why_unreadable(uri: str) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        read_bytes(uri)
    return caught.value.reason


def tree(root: Path, *files: str, data: bytes = PNG) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def ids(path: Path) -> list[tuple[str, str]]:
    return [(entry.category, entry.image_id) for entry in list_source(path).entries]


# ---------------------------------------------------------------- where bytes lie


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
def test_file_uri__every_name_comes_back(name: bytes) -> None:
    path = Path("/data") / os.fsdecode(name.replace(b"/", b"."))
    uri = file_uri(path)
    assert uri.isascii()
    assert path_of(uri) == path
    assert path_of(member_uri(path, os.fsdecode(name), 512, 9)) == path


@given(st.binary(max_size=20))
def test_readable_text__is_valid_and_keeps_what_is_readable(name: bytes) -> None:
    text = readable_text(os.fsdecode(name))
    text.encode("utf-8")
    try:
        assert text == name.decode("utf-8")
    except UnicodeDecodeError:
        assert "%" in text


def test_readable_text__latin_1() -> None:
    assert readable_text(os.fsdecode(b"caf\xe9 \xc3\xa9.jpg")) == "caf%E9 é.jpg"


def test_read_bytes__file_with_an_awkward_name(tmp_path: Path) -> None:
    for name in (b"a b#c?d%41&e=.png", b"\xff\xfe.png", "é.png".encode()):
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(name)
        assert read_bytes(file_uri(path)) == name


def test_read_bytes__what_can_be_wrong_with_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hostile_files(tmp_path)
    monkeypatch.setattr(location_module, "MAX_BYTES", 1000)
    (tmp_path / "large.jpg").write_bytes(bytes(1001))
    told = {
        "zero_bytes.jpg": "the file is empty",
        "vanished.jpg": "the file has vanished",
        "loop.jpg": "symbolic link loop",
        "pipe.jpg": "not a regular file",
        "large.jpg": "larger than 1000 bytes",
        "plain.jpg/inside.jpg": "the file has vanished",
        "": "not a regular file",
        "x" * 300: "the file cannot be read: File name too long",
    }
    assert {name: why_unreadable(file_uri(tmp_path / name)) for name in told} == told
    assert why_unreadable("file:///dev/zero") == "not a regular file"


def test_read_bytes__no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # permission bits do not bind root, who may be running this
    assert why_unreadable(file_uri(tmp_path)) == "permission denied"


@pytest.mark.parametrize("uri", ["", "http://a/b.jpg", "/plain/path", "file:///a%00b", "file:///etc/hostname#row=x"])
def test_read_bytes__no_location(uri: str) -> None:
    assert why_unreadable(uri).startswith("not a location of an image")


def test_file_version__changes_with_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"1")
    before = file_version(file)
    assert before == f"1-{file.stat().st_mtime_ns}"
    os.utime(file, ns=(1, 1))
    assert file_version(file) == "1-1" != before
    assert file_version(tmp_path / "b") == "missing"


def parquet(path: Path, row_group_size: int = 4, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


@pytest.mark.parametrize("whole_group_bytes", [0, 2**26])
@pytest.mark.parametrize("as_struct", [False, True])
def test_read_bytes__parquet_rows_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_group_bytes: int, as_struct: bool
) -> None:
    monkeypatch.setattr("curation.sources.parquet_rows._WHOLE_GROUP_BYTES", whole_group_bytes)
    monkeypatch.setattr("curation.sources.parquet_rows._ROWS_HELD", 3)
    images = [f"image {row}".encode() for row in range(20)]
    column = [{"bytes": image, "path": None} for image in images] if as_struct else images
    file = parquet(tmp_path / "set.parquet", 7, image=column, category=["a"] * 20)
    for row in [*range(20), 19, 0, 13, 12, 7, 6, 6, 18]:
        assert read_bytes(row_uri(file, row)) == images[row]


def test_read_bytes__parquet_row_that_is_not_there(tmp_path: Path) -> None:
    file = parquet(tmp_path / "set.parquet", image=[b"a", None, b""], category=["a"] * 3)
    assert why_unreadable(row_uri(file, 1)) == "the row holds no image bytes"
    assert why_unreadable(row_uri(file, 2)) == "the file is empty"
    assert why_unreadable(row_uri(file, 3)) == "the Parquet file has 3 rows, but row 3 was asked for"
    assert why_unreadable(row_uri(tmp_path / "gone.parquet", 0)) == "the file has vanished"
    assert read_bytes(row_uri(file, 0)) == b"a"


def test_read_bytes__parquet_file_that_was_replaced_or_damaged(tmp_path: Path) -> None:
    file = parquet(tmp_path / "set.parquet", image=[b"old"], category=["a"])
    assert read_bytes(row_uri(file, 0)) == b"old"
    parquet(file, image=[b"new one"], category=["a"])
    assert read_bytes(row_uri(file, 0)) == b"new one"
    file.write_bytes(b"PAR1 no more")
    assert why_unreadable(row_uri(file, 0)).startswith("the Parquet file cannot be read")


def test_read_bytes__tar_member_cut_off(tmp_path: Path) -> None:
    file = tree(tmp_path, "a.tar", data=b"0123456789") / "a.tar"
    assert read_bytes(member_uri(file, "m", 2, 3)) == b"234"
    assert why_unreadable(member_uri(file, "m", 8, 5)) == "the archive ends inside the image: 2 of 5 bytes are there"
    assert why_unreadable(member_uri(file, "m", 2, 0)) == "the file is empty"
    assert why_unreadable(member_uri(file, "m", 2, 2**40)).startswith("larger than")


# ---------------------------------------------------------------- any source


def test_list_source__says_what_was_expected(tmp_path: Path) -> None:
    tree(tmp_path, "notes.txt", "empty/.keep", "flat/1.jpg")
    for path, told in {
        tmp_path / "nowhere": "does not exist",
        tmp_path / "notes.txt": "is no source of images",
        tmp_path / "flat": "is no source of images",
        tmp_path / "empty": "is no source of images",
    }.items():
        with pytest.raises(SourceError, match=told) as caught:
            list_source(path)
        assert str(path) in caught.value.message
        assert caught.value.hint


def test_list_source__without_any_image(tmp_path: Path) -> None:
    tree(tmp_path, "robin/notes.txt", "robin/list.txt", data=b"text")
    with pytest.raises(SourceError, match=r"holds no image.*2 x not an image by name or content \(\.txt\)"):
        list_source(tmp_path)


# ---------------------------------------------------------------- folder


def test_folder__category_is_the_first_level(tmp_path: Path) -> None:
    tree(tmp_path, "wren/b.PNG", "wren/a.jpg", "robin/2019/may/1.webp", "robin/no_suffix", "robin/2.dat")
    listing = list_source(tmp_path)
    assert (listing.kind, listing.name, listing.ignored) == ("folder", str(tmp_path), {})
    assert ids(tmp_path) == [
        ("robin", "robin/2.dat"),
        ("robin", "robin/2019/may/1.webp"),
        ("robin", "robin/no_suffix"),
        ("wren", "wren/a.jpg"),
        ("wren", "wren/b.PNG"),
    ]
    first = listing.entries[0]
    assert read_bytes(first.uri) == PNG
    assert first.version == file_version(tmp_path / "robin/2.dat")


def test_folder__everything_else_is_counted(tmp_path: Path) -> None:
    tree(tmp_path, "robin/1.jpg")
    tree(
        tmp_path,
        "robin/1.json",
        "robin/README",
        "top.jpg",
        "robin/.DS_Store",
        ".git/1.jpg",
        "robin/.t/1.jpg",
        data=b"{}",
    )
    os.mkfifo(tmp_path / "robin/pipe.dat")
    listing = list_source(tmp_path)
    assert ids(tmp_path) == [("robin", "robin/1.jpg")]
    assert listing.ignored == {
        "hidden": 3,
        "not an image by name or content (.dat)": 1,
        "not an image by name or content (.json)": 1,
        "not an image by name or content (no suffix)": 1,
        "outside any category folder": 1,
    }


def test_folder__every_hostile_file_is_an_entry(tmp_path: Path) -> None:
    expected = make_hostile_files(tmp_path / "cat")
    listing = list_source(tmp_path)
    assert listing.ignored == {}
    assert [entry.image_id for entry in listing.entries] == [f"cat/{readable_text(name)}" for name in sorted(expected)]
    assert len({entry.uri for entry in listing.entries}) == len(expected)
    for entry in listing.entries:
        entry.image_id.encode("utf-8")


def test_folder__loops_of_links_end(tmp_path: Path) -> None:
    tree(tmp_path, "robin/1.jpg", "robin/deep/2.jpg", "wren/3.jpg")
    (tmp_path / "robin/deep/up").symlink_to(tmp_path / "robin")
    (tmp_path / "robin/a_link").symlink_to(tmp_path / "robin/deep")
    (tmp_path / "robin/root").symlink_to(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    listing = list_source(tmp_path)
    assert [entry.image_id for entry in listing.entries] == ["robin/1.jpg", "robin/deep/2.jpg", "wren/3.jpg"]
    assert listing.ignored == {"link to a folder that is listed already": 3, "outside any category folder": 1}


def test_folder__linked_files_and_folders_are_followed(tmp_path: Path) -> None:
    tree(tmp_path, "elsewhere/1.jpg", "elsewhere/more/2.jpg", "set/robin/3.jpg")
    (tmp_path / "set/robin/1.jpg").symlink_to(tmp_path / "elsewhere/1.jpg")
    (tmp_path / "set/robin/more").symlink_to(tmp_path / "elsewhere/more")
    (tmp_path / "set/wren").symlink_to(tmp_path / "elsewhere")
    assert [image_id for _, image_id in ids(tmp_path / "set")] == [
        "robin/1.jpg",
        "robin/3.jpg",
        "robin/more/2.jpg",
        "wren/1.jpg",
        "wren/more/2.jpg",
    ]


# ---------------------------------------------------------------- table


def csv(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


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


# ---------------------------------------------------------------- webdataset


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


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

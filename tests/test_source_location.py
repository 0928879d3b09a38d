"""Where the bytes of an image lie: files, rows of Parquet files, members of tar files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from tests.hostile import make_hostile_files
from tests.source_factory import parquet, tree


def why_unreadable(uri: str) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        read_bytes(uri)
    return caught.value.reason


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

"""Sources list images without reading them, account for everything they pass over, and say what they expected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curation.errors import SourceError
from curation.sources import list_source
from curation.sources.location import (
    file_version,
    read_bytes,
    readable_text,
)
from tests.hostile import make_hostile_files
from tests.source_factory import PNG, ids, tree


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

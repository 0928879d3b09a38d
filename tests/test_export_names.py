"""Folders and files of an export have names that are readable, safe, and never the same twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.export.names import category_folders, file_name, image_suffix
from curation.values import CleanedSample, CrawlFacts, Role
from tests.cleaned_set_factory import picture


def test_category_folders__unsafe_and_colliding_names() -> None:
    categories = {"a/b": 1, "A_B": 2, "..": 3, "samples.csv": 4, "": 5, "Épinoche à 3": 6, ".hidden": 7, "a_b": 8}
    assert category_folders(categories) == {
        "a/b": "a_b",
        "A_B": "A_B.2",
        "..": "3",
        "samples.csv": "samples.csv.4",
        "": "5",
        "Épinoche à 3": "Épinoche à 3",
        ".hidden": "hidden",
        "a_b": "a_b.8",
    }


@given(st.lists(st.text(max_size=150), unique=True, max_size=12))
def test_category_folders__are_safe_unique_and_stable(names: list[str]) -> None:
    categories = {name: number for number, name in enumerate(names)}
    folders = category_folders(categories)
    assert len({folder.casefold() for folder in folders.values()}) == len(names)
    for folder in folders.values():
        assert folder
        assert not set("/\\\0\n:*?") & set(folder)
        assert not folder.startswith(".")
        assert len(folder.encode()) <= 255
    fewer = dict(list(categories.items())[:-1])
    assert category_folders(fewer).items() <= folders.items()


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_file_name__is_safe_and_holds_the_sample_id(image_id: str) -> None:
    sample = CleanedSample(
        "0123456789abcdef", image_id, Role.NOVEL, "c", 0, "c", 1.0, None, "file:///x", "0" * 64, CrawlFacts()
    )
    name = file_name(sample, "png")
    assert name.endswith("0123456789abcdef.png")
    assert not set("/\\\0\n:*?") & set(name)
    assert not name.startswith((".", "-"))
    assert len(name.encode()) <= 255


@pytest.mark.parametrize(
    ("image_format", "suffix"),
    [
        ("JPEG", "jpg"),
        ("PNG", "png"),
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("BMP", "bmp"),
        ("TIFF", "tif"),
        ("JPEG2000", "jp2"),
        ("AVIF", "avif"),
        ("PPM", "ppm"),
    ],
)
def test_image_suffix__by_content(image_format: str, suffix: str) -> None:
    assert image_suffix(picture(1, image_format)) == suffix


def test_image_suffix__unknown_content() -> None:
    assert image_suffix(b"hello") == "bin"

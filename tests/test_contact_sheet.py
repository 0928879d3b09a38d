"""Contact sheets show every tile, its caption, and why a picture is missing."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFont

from curation.contact_sheet import Tile, contact_sheet, shorten
from curation.errors import ExportError

RED, BLUE, PAPER = (255, 0, 0), (0, 0, 255), (251, 250, 248)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64), image_format: str = "PNG") -> bytes:
    data = BytesIO()
    Image.new("RGB", size, colour).save(data, image_format)
    return data.getvalue()


def drawn(path: Path, tiles: list[Tile], *, title: str = "Title", columns: int = 10) -> NDArray[np.uint8]:
    contact_sheet(tiles, path, title=title, columns=columns, tile_px=64)
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
        return np.asarray(sheet.convert("RGB"))


def box_of(sheet: NDArray[np.uint8], colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the pixels of exactly this colour."""
    rows, columns = np.nonzero((sheet == np.array(colour, dtype=np.uint8)).all(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_contact_sheet__tiles_stand_side_by_side_and_wrap(tmp_path: Path) -> None:
    colours = [(200, 10 * n, 10) for n in range(5)]
    sheet = drawn(tmp_path / "s.png", [Tile(plain(colour), ("caption",)) for colour in colours], columns=2)
    boxes = [box_of(sheet, colour) for colour in colours]
    assert all((right - left, bottom - top) == (64, 64) for left, top, right, bottom in boxes)
    lefts, tops = [box[0] for box in boxes], [box[1] for box in boxes]
    assert lefts[0] == lefts[2] == lefts[4] < lefts[1] == lefts[3]
    assert tops[0] == tops[1] < tops[2] == tops[3] < tops[4]
    assert sheet.shape[0] > boxes[4][3]


def test_contact_sheet__one_column_shows_everything(tmp_path: Path) -> None:
    colours = [(200, 10 * n, 10) for n in range(4)]
    sheet = drawn(tmp_path / "s.png", [Tile(plain(colour)) for colour in colours], columns=1)
    assert [box_of(sheet, colour)[3] - box_of(sheet, colour)[1] for colour in colours] == [64] * 4


def test_contact_sheet__groups_begin_a_new_row_under_a_heading(tmp_path: Path) -> None:
    one, two = Tile(plain(RED), group="lowest"), Tile(plain(BLUE), group="highest")
    together = drawn(tmp_path / "a.png", [Tile(plain(RED)), Tile(plain(BLUE))])
    apart = drawn(tmp_path / "b.png", [one, two])
    assert box_of(together, RED)[1] == box_of(together, BLUE)[1]
    between = apart[box_of(apart, RED)[3] : box_of(apart, BLUE)[1]]
    assert len(between) > 20
    assert (between != np.array(PAPER)).any()  # the heading


def test_contact_sheet__keeps_proportions(tmp_path: Path) -> None:
    sheet = drawn(tmp_path / "s.png", [Tile(plain(RED, (200, 100))), Tile(plain(BLUE, (10, 20)))])
    left, top, right, bottom = box_of(sheet, RED)
    assert (right - left, bottom - top) == (64, 32)
    left, top, right, bottom = box_of(sheet, BLUE)
    assert (right - left, bottom - top) == (32, 64)


def test_contact_sheet__captions_are_drawn(tmp_path: Path) -> None:
    without = drawn(tmp_path / "a.png", [Tile(plain(RED), ("", ""))])
    with_caption = drawn(tmp_path / "b.png", [Tile(plain(RED), ("weight 0.12", "Barn Swallow"))])
    below = box_of(without, RED)[3]
    assert (without[below:] == np.array(PAPER)).all()
    assert (with_caption[below:] != np.array(PAPER)).any()


def test_contact_sheet__long_captions_stay_below_their_tile(tmp_path: Path) -> None:
    sheet = drawn(tmp_path / "s.png", [Tile(plain(RED), ("a very long caption " * 9,)), Tile(plain(BLUE), ("",))])
    left, _, right, bottom = box_of(sheet, BLUE)
    assert (sheet[bottom:, left:right] == np.array(PAPER)).all()


def test_contact_sheet__frame_surrounds_the_picture(tmp_path: Path) -> None:
    sheet = drawn(tmp_path / "s.png", [Tile(plain(RED), frame="#0000ff")])
    left, top, right, bottom = box_of(sheet, BLUE)
    assert (right - left, bottom - top) == (64, 64)
    assert box_of(sheet, RED) == (left + 3, top + 3, right - 3, bottom - 3)


@pytest.mark.parametrize("data", [b"", b"<html>", plain(RED, image_format="JPEG")[:200]])
def test_contact_sheet__unreadable_picture_shows_its_reason(data: bytes, tmp_path: Path) -> None:
    sheet = drawn(tmp_path / "s.png", [Tile(data), Tile(plain(BLUE))])
    left, top, _, bottom = box_of(sheet, BLUE)
    blank = sheet[top:bottom, left - 74 : left - 10]
    assert len(np.unique(blank.reshape(-1, 3), axis=0)) > 3  # outline, ground and smoothed letters


def test_contact_sheet__no_tiles_is_a_sheet_with_a_title(tmp_path: Path) -> None:
    sheet = drawn(tmp_path / "s.png", [])
    assert (sheet != np.array(PAPER)).any()


def test_contact_sheet__any_text_can_be_drawn(tmp_path: Path) -> None:
    texts = ("Épinoche – 中文", "\ud83d", "a\nb\0c", "🐦")
    drawn(tmp_path / "s.png", [Tile(plain(RED), texts, group="中文")], title="×")
    accents = drawn(tmp_path / "a.png", [], title="Épinoche × 中")
    plain_text = drawn(tmp_path / "b.png", [], title="Epinoche x ?")
    np.testing.assert_array_equal(accents, plain_text)


@given(st.text(max_size=60), st.integers(0, 300))
def test_shorten__fits_and_is_as_long_as_possible(text: str, width_px: int) -> None:
    font = ImageFont.load_default(12)
    assert isinstance(font, ImageFont.FreeTypeFont)
    short = shorten(text, font, width_px)
    if font.getlength(text) <= width_px:
        assert short == text
        return
    assert short.endswith("…")
    kept = short.removesuffix("…")
    assert text.startswith(kept)
    assert font.getlength(short) <= width_px or not kept


def test_contact_sheet__too_large_to_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Show fewer or smaller tiles"):
        contact_sheet([Tile(b"")] * 100_000, tmp_path / "s.png", title="All", columns=10)
    assert not (tmp_path / "s.png").exists()


def test_contact_sheet__folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot be written"):
        contact_sheet([Tile(plain(RED))], tmp_path / "file" / "s.png", title="T")


@pytest.mark.parametrize(("columns", "tile_px"), [(0, 64), (3, 8)])
def test_contact_sheet__impossible_sizes(columns: int, tile_px: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least"):
        contact_sheet([], tmp_path / "s.png", title="T", columns=columns, tile_px=tile_px)

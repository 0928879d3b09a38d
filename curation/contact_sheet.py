"""Contact sheets: many small pictures with captions on one PNG, grouped in rows under headings."""

from __future__ import annotations

import io
import math
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from curation.errors import ExportError
from curation.files import replace_bytes
from curation.images import decode

_MAX_PIXELS = 80_000_000  # as `images.max_pixels`: what cannot be curated need not be shown
_MOST_SHEET_PIXELS = 200_000_000  # 600 MB while it is drawn; viewers refuse larger ones

_PAPER, _INK, _FAINT, _RULE, _VOID = "#fbfaf8", "#22211f", "#6f6b64", "#cfcac1", "#ebe7e0"
_REPLACED = str.maketrans({"×": "x", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "\n": " ", "\t": " "})
_FRAME_PX = 3
_GAP_PX = 10
_MARGIN_PX = 24
_INSET_PX = 6
_GROUP_GAP_PX = 14
_NARROWEST_PX = 480  # a title needs room, even over one tile


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture: its encoded bytes, lines of caption below it, the group it belongs to.

    `frame` is a colour (a name or "#rrggbb") that draws attention to it. Neighbouring tiles of one `group` share rows
    and a heading.
    """

    image: bytes
    caption: tuple[str, ...] = ()
    group: str = ""
    frame: str | None = None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes in pixels of everything on the sheet, and its fonts."""

    columns: int
    tile_px: int
    caption_lines: int
    title_font: ImageFont.FreeTypeFont
    heading_font: ImageFont.FreeTypeFont
    caption_font: ImageFont.FreeTypeFont

    @property
    def cell_px(self) -> int:
        return self.tile_px + _GAP_PX

    @property
    def line_px(self) -> int:
        return _line_height(self.caption_font)

    @property
    def row_px(self) -> int:
        return self.tile_px + 4 + self.caption_lines * self.line_px + _GAP_PX

    @property
    def heading_px(self) -> int:
        return _GROUP_GAP_PX + _line_height(self.heading_font) + 12

    @property
    def title_px(self) -> int:
        return _line_height(self.title_font) + 8

    @property
    def width_px(self) -> int:
        return 2 * _MARGIN_PX + max(_NARROWEST_PX, self.columns * self.cell_px - _GAP_PX)


def contact_sheet(tiles: Sequence[Tile], path: Path, *, title: str, columns: int = 10, tile_px: int = 128) -> None:
    """Write the tiles in their order as a PNG of at most `columns` pictures a row, each within `tile_px` x `tile_px`.

    A picture that cannot be decoded is shown as a blank with the reason. Text that is too long ends in an ellipsis.
    Raises `ExportError` when the file cannot be written or the sheet would be too large to be looked at.
    """
    if columns < 1 or tile_px < 16:
        raise ValueError(f"columns must be at least 1 and tile_px at least 16, got {columns} and {tile_px}")
    groups = [(name, list(members)) for name, members in groupby(tiles, key=lambda tile: tile.group)]
    layout = _layout(tiles, max((len(members) for _, members in groups), default=1), columns, tile_px)
    sheet = Image.new("RGB", (layout.width_px, _height_px(groups, layout, path)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    y = _MARGIN_PX
    _write(draw, (_MARGIN_PX, y), title, layout.title_font, _INK, layout.width_px - 2 * _MARGIN_PX)
    y += layout.title_px
    for name, members in groups:
        if name:
            _draw_heading(draw, name, y, layout)
            y += layout.heading_px
        for number, tile in enumerate(members):
            row, column = divmod(number, layout.columns)
            corner = (_MARGIN_PX + column * layout.cell_px, y + row * layout.row_px)
            _draw_tile(sheet, draw, tile, corner, layout)
        y += _rows(members, layout.columns) * layout.row_px
    _save(sheet, path)


def _layout(tiles: Sequence[Tile], longest_group: int, columns: int, tile_px: int) -> _Layout:
    """Text grows with the tiles, within what can be read; a sheet of few tiles is no wider than they need."""
    caption_px = min(18, max(9, round(tile_px / 10)))
    return _Layout(
        columns=min(columns, longest_group),
        tile_px=tile_px,
        caption_lines=max((len(tile.caption) for tile in tiles), default=0),
        title_font=_font(round(caption_px * 1.7)),
        heading_font=_font(round(caption_px * 1.25)),
        caption_font=_font(caption_px),
    )


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ExportError(
            "this Pillow was built without FreeType, which draws the captions of contact sheets.",
            hint="Install Pillow with FreeType support; its released wheels have it.",
        )
    return font


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return sum(font.getmetrics()) + 2


def _rows(members: Sequence[Tile], columns: int) -> int:
    return math.ceil(len(members) / columns)


def _height_px(groups: Sequence[tuple[str, Sequence[Tile]]], layout: _Layout, path: Path) -> int:
    rows = sum(_rows(members, layout.columns) for _, members in groups)
    headings = sum(bool(name) for name, _ in groups)
    height_px = 2 * _MARGIN_PX + layout.title_px + headings * layout.heading_px + rows * layout.row_px
    if height_px * layout.width_px > _MOST_SHEET_PIXELS:
        raise ExportError(
            f"the contact sheet {path} would have {layout.width_px} x {height_px} pixels.",
            hint="Show fewer or smaller tiles.",
        )
    return height_px


def _draw_heading(draw: ImageDraw.ImageDraw, name: str, y: int, layout: _Layout) -> None:
    """The name of a group above a fine rule."""
    right = layout.width_px - _MARGIN_PX
    _write(draw, (_MARGIN_PX, y + _GROUP_GAP_PX), name, layout.heading_font, _INK, right - _MARGIN_PX)
    rule = y + layout.heading_px - 8
    draw.line((_MARGIN_PX, rule, right, rule), fill=_RULE)


def _draw_tile(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int], layout: _Layout
) -> None:
    """One picture in its square, framed where asked, and its caption."""
    x, y = corner
    side = layout.tile_px
    decoded = decode(tile.image, _MAX_PIXELS, target_px=side)
    draw.rectangle((x, y, x + side - 1, y + side - 1), fill=_VOID)
    if decoded.image is None:
        _draw_reason(draw, decoded.facts.reason or "unreadable", corner, layout)
    else:
        picture = ImageOps.contain(decoded.image, (side, side), Image.Resampling.BICUBIC)
        sheet.paste(picture, (x + (side - picture.width) // 2, y + (side - picture.height) // 2))
    if tile.frame:
        draw.rectangle((x, y, x + side - 1, y + side - 1), outline=tile.frame, width=_FRAME_PX)
    for number, line in enumerate(tile.caption):
        position = (x, y + side + 4 + number * layout.line_px)
        _write(draw, position, line, layout.caption_font, _FAINT if number else _INK, side)


def _draw_reason(draw: ImageDraw.ImageDraw, reason: str, corner: tuple[int, int], layout: _Layout) -> None:
    """An outlined blank with the reason why there is no picture."""
    x, y = corner
    draw.rectangle((x, y, x + layout.tile_px - 1, y + layout.tile_px - 1), outline=_RULE)
    room = layout.tile_px - 2 * _INSET_PX
    fitting = max(1, room // layout.line_px)
    for number, line in enumerate(_wrap(_drawable(reason), layout.caption_font, room)[:fitting]):
        _write(draw, (x + _INSET_PX, y + _INSET_PX + number * layout.line_px), line, layout.caption_font, _INK, room)


def _write(
    draw: ImageDraw.ImageDraw,
    position: tuple[int, int],
    text: str,
    font: ImageFont.FreeTypeFont,
    colour: str,
    width_px: int,
) -> None:
    draw.text(position, shorten(_drawable(text), font, width_px), fill=colour, font=font)


def shorten(text: str, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    """`text`, or as much of its beginning as fits into `width_px` with an ellipsis."""
    if font.getlength(text) <= width_px:
        return text
    kept = bisect_left(range(len(text)), True, key=lambda length: font.getlength(text[:length] + "…") > width_px)
    return text[: max(0, kept - 1)].rstrip() + "…"


def _wrap(text: str, font: ImageFont.FreeTypeFont, width_px: int) -> list[str]:
    """`text` as lines of whole words within `width_px`; a word that is wider has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width_px:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _drawable(text: str) -> str:
    """`text` in the characters that Pillow's built-in font has: accents are dropped, what is left over becomes "?"."""
    plain = unicodedata.normalize("NFKD", text.translate(_REPLACED))
    return "".join(
        character if character.isascii() and character.isprintable() else "?"
        for character in plain
        if not unicodedata.combining(character)
    )


def _save(sheet: Image.Image, path: Path) -> None:
    data = io.BytesIO()
    sheet.save(data, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, data.getvalue())
    except OSError as error:
        raise ExportError(
            f"the contact sheet {path} cannot be written: {error.strerror or error}.",
            hint="Check the folder and the space on its disk.",
        ) from error

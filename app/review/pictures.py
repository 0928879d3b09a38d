"""Pictures and pages as the browser gets them: data addresses of JPEGs, plain text, nothing that is a path."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from curation.config import Config
from curation.review.pictures import thumbnail, thumbnails
from curation.review.values import ReviewMode, ReviewPage, Tile
from curation.workspace import Workspace

TILE_PX = 256  # sharp at the largest tile size of the slider
ZOOM_PX = 1280

_QUESTIONS = {
    ReviewMode.CATEGORY: ("Which of these are NOT ", "?"),
    ReviewMode.SECOND_LOOK: ("Second look: which of these are NOT ", "?"),
    ReviewMode.AUDIT: ("Audit: which of these are NOT ", "?"),
}


def address_of(workspace: Workspace, config: Config, sample_id: str, longest_px: int) -> str | None:
    """The picture of a known sample as a data address; `None` where it has no pixels or there is no such sample."""
    return _address(thumbnail(workspace, config, sample_id, longest_px))


def addresses_of(
    workspace: Workspace, config: Config, sample_ids: Sequence[str], longest_px: int
) -> dict[str, str | None]:
    """The same of many at once."""
    pictures = thumbnails(workspace, config, sample_ids, longest_px)
    return {sample_id: _address(pictures.get(sample_id)) for sample_id in sample_ids}


def page_data(workspace: Workspace, config: Config, page: ReviewPage) -> dict[str, Any]:
    """A page with its pictures, as JSON takes it."""
    before, after = _QUESTIONS[page.mode]
    shown = [*page.references, *(tile.sample_id for tile in page.tiles)]
    pictures = addresses_of(workspace, config, shown, TILE_PX)
    return {
        "page_id": page.page_id,
        "mode": page.mode.value,
        "run_id": page.run_id,
        "question": {"before": before, "name": page.category, "after": after},
        "references": [address for name in page.references if (address := pictures[name]) is not None],
        "tiles": [_tile_data(tile, pictures[tile.sample_id]) for tile in page.tiles],
    }


def _address(jpeg: bytes | None) -> str | None:
    return None if jpeg is None else f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def _tile_data(tile: Tile, picture: str | None) -> dict[str, Any]:
    return {
        "sample_id": tile.sample_id,
        "name": tile.image_id,
        "web_category": tile.web_category,
        "noise_probability": tile.noise_probability,
        "explanation": tile.explanation,
        "preset": tile.preset.value,
        "preset_category": tile.preset_category,
        "likely": list(tile.likely),
        "flags": [flag.value for flag in tile.flags],
        "picture": picture,
    }

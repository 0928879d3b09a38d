"""Small pictures for a page, as data addresses: the page holds them itself."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curation.decoding import ImageReference
from curation.progress import Progress, silent
from curation.thumbnails import SmallPicture, draw_pictures

if TYPE_CHECKING:
    from curation.config import ImagesConfig

THUMBNAIL_PX = 152
_QUALITY = 66  # about 4 kB a photograph; below 60 blocks begin to show


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG within `THUMBNAIL_PX` as a data address, and the size to show it at, which fills that square in one
    direction; or the reason why there is none, and no size."""

    address: str
    width_px: int
    height_px: int
    reason: str = ""


def draw_thumbnails(
    references: Iterable[ImageReference], config: ImagesConfig, progress: Progress = silent
) -> dict[str, Thumbnail]:
    """SHA-256 -> thumbnail of every image, each decoded once; never raises for a bad one."""
    drawn = draw_pictures(references, THUMBNAIL_PX, _QUALITY, config, progress)
    return {digest: _thumbnail(picture) for digest, picture in drawn.items()}


def _thumbnail(picture: SmallPicture) -> Thumbnail:
    if not picture.data:
        return Thumbnail("", 0, 0, picture.reason)
    encoded = base64.b64encode(picture.data).decode("ascii")
    enlarged = THUMBNAIL_PX / max(picture.width_px, picture.height_px)  # of 1 but for images that are smaller than that
    return Thumbnail(
        f"data:image/jpeg;base64,{encoded}",
        max(1, round(picture.width_px * enlarged)),
        max(1, round(picture.height_px * enlarged)),
    )

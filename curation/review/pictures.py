"""Pictures of samples for the screens: by sample id alone, from a cache or decoded in guarded processes."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from curation.config import Config, ImagesConfig
from curation.decoding import DecodingPool, ImageReference
from curation.errors import ReviewError
from curation.files import replace_bytes
from curation.review.queue import loaded_queue
from curation.store.gold_checks import pictures_of_checks
from curation.store.journal import journal
from curation.store.samples import samples_by_id
from curation.thumbnails import draw_pictures, picture_pool
from curation.values import Sample
from curation.workspace import Workspace

_log = logging.getLogger(__name__)

LARGEST_PX = 2048  # a screen; what may be asked for without end would fill the disk
_END_OF_JPEG = b"\xff\xd9"
_QUALITY = 80  # people look at these for hours; 12 kB at 256 px


def thumbnail(workspace: Workspace, config: Config, sample_id: str, longest_px: int) -> bytes | None:
    """The picture of one sample, or gold check, as `thumbnails` gives it."""
    return thumbnails(workspace, config, [sample_id], longest_px)[sample_id]


def thumbnails(
    workspace: Workspace, config: Config, sample_ids: Sequence[str], longest_px: int
) -> dict[str, bytes | None]:
    """JPEGs that fit into a square of `longest_px`; `None` for what has no pixels, and what the snapshot does not know.

    They stay in `thumbnails/`, which may be deleted at any time. Raises `ReviewError` for an impossible size.
    """
    if not 1 <= longest_px <= LARGEST_PX:
        raise ReviewError(f"a picture has 1 to {LARGEST_PX} pixels, not {longest_px}.", hint="Ask for a smaller one.")
    samples = _samples(workspace, sample_ids)
    paths = {
        sample.sha256: workspace.thumbnails / f"{sample.sha256}-{longest_px}.jpg"
        for sample in samples.values()
        if sample.sha256 is not None
    }
    drawn: dict[str | None, bytes | None] = {digest: _cached(path) for digest, path in paths.items()}
    missing = {
        sample.sha256: ImageReference(sample.sha256, sample.uri)
        for sample in samples.values()
        if sample.sha256 is not None and drawn[sample.sha256] is None
    }
    if missing:
        pool = _decoders(config.images)
        for digest, picture in draw_pictures(missing.values(), longest_px, _QUALITY, config.images, pool=pool).items():
            if picture.data:
                _keep(paths[digest], picture.data)
            drawn[digest] = picture.data or None
    return {name: drawn.get(samples[name].sha256) if name in samples else None for name in sample_ids}


def _keep(path: Path, data: bytes) -> None:
    """For the next who asks. Where it cannot be kept (a full or read-only disk) it is drawn again instead."""
    try:
        path.parent.mkdir(exist_ok=True)
        replace_bytes(path, data, durable=False)
    except OSError as error:
        _log.warning("%s cannot be kept: %s. It is drawn again each time.", path, error.strerror)


def _samples(workspace: Workspace, sample_ids: Sequence[str]) -> Mapping[str, Sample]:
    """What was asked for -> the sample whose picture that is."""
    with journal(workspace.journal) as to_journal:
        shown = pictures_of_checks(to_journal, sample_ids)
    with loaded_queue(workspace).snapshot.reading() as connection:
        samples = samples_by_id(connection, [shown.get(name, name) for name in sample_ids])
    return {name: samples[shown.get(name, name)] for name in sample_ids if shown.get(name, name) in samples}


@cache
def _decoders(images: ImagesConfig) -> DecodingPool:
    """Decoding processes that stay, for everybody: starting them takes longer than drawing a page."""
    pool = picture_pool(images)
    atexit.register(pool.close)
    return pool


def _cached(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:  # not there, or not to be read: drawn again
        return None
    return data if data.endswith(_END_OF_JPEG) else None  # cut short by a power failure

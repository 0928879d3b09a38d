"""Image facts in the catalogue, one row an image content."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from curation.store.connection import Connection
from curation.store.rows import fetch_rows, insert_rows
from curation.values import ImageFacts

_COLUMNS = {
    "sha256": pa.string(),
    "format": pa.string(),
    "mode": pa.string(),
    "width_px": pa.int32(),
    "height_px": pa.int32(),
    "frames": pa.int32(),
    "size_bytes": pa.int64(),
    "reason": pa.string(),
    "sharpness": pa.float64(),
    "contrast": pa.float64(),
    "fingerprint": pa.binary(),
}


def put_image_facts(connection: Connection, facts: Sequence[ImageFacts]) -> None:
    """Record what decoding told; newer facts replace older ones."""
    rows = [tuple(getattr(fact, name) for name in _COLUMNS) for fact in facts]
    insert_rows(connection, "images", _COLUMNS, rows, known="REPLACE")


def images_to_embed(connection: Connection) -> list[tuple[str, str]]:
    """(sha256, uri) of every image content that is not known to be bad, one place each, in the order of the places.

    An image that could not be *read* (no bytes came: `size_bytes` is 0) is listed again: its file may be back.
    """
    query = """
        SELECT s.sha256, min(s.uri) AS place FROM samples s LEFT JOIN images i USING (sha256)
        WHERE s.sha256 IS NOT NULL AND (i.reason IS NULL OR i.size_bytes = 0) GROUP BY s.sha256 ORDER BY place, s.sha256
    """
    return [(row[0], row[1]) for row in fetch_rows(connection, query)]


def read_image_facts(connection: Connection) -> dict[str, ImageFacts]:
    """SHA-256 -> facts of every decoded image."""
    query = f"SELECT {', '.join(_COLUMNS)} FROM images ORDER BY sha256"  # noqa: S608 - constants
    return {row[0]: ImageFacts(*row) for row in fetch_rows(connection, query)}


def facts_of_image(connection: Connection, sha256: str) -> ImageFacts | None:
    """The facts of one image; `None` where it has not been decoded."""
    query = f"SELECT {', '.join(_COLUMNS)} FROM images WHERE sha256 = ?"  # noqa: S608 - constants
    rows = fetch_rows(connection, query, (sha256,))
    return ImageFacts(*rows[0]) if rows else None


def described_images(connection: Connection) -> set[str]:
    """SHA-256 of the images that have been decoded to pixels."""
    return {row[0] for row in fetch_rows(connection, "SELECT sha256 FROM images WHERE reason IS NULL")}


def unusable_images(connection: Connection) -> set[str]:
    """SHA-256 of the images that have a reason against them."""
    return {row[0] for row in fetch_rows(connection, "SELECT sha256 FROM images WHERE reason IS NOT NULL")}


def unread_images(connection: Connection) -> dict[str, str]:
    """SHA-256 -> reason of the images whose bytes never came, or whose decoding ended without an answer."""
    return dict(fetch_rows(connection, "SELECT sha256, reason FROM images WHERE reason IS NOT NULL AND size_bytes = 0"))


def image_facts_digest(connection: Connection) -> str:
    """Changes with any fact of any image; does not depend on the order in which they came."""
    query = f"SELECT count(*), coalesce(bit_xor(hash({', '.join(_COLUMNS)})), 0) FROM images"  # noqa: S608 - constants
    return "-".join(str(value) for value in fetch_rows(connection, query)[0])

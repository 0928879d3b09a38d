"""Pages that are being looked at, in the journal, so that a closed browser or a killed server gets the same one again.

Like leases they are no record of what was done, and go when the page is given back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from curation.store.journal import JournalConnection
from curation.store.leases import end_leases


def put_open_page(
    connection: JournalConnection, page_id: str, annotator: str, mode: str, category: str, text: str
) -> None:
    """Keep a page; one that is kept already stays as it is. Pages whose samples nobody holds any more go."""
    connection.execute("DELETE FROM open_pages WHERE page_id NOT IN (SELECT page_id FROM leases)")
    connection.execute(
        "INSERT OR IGNORE INTO open_pages (page_id, annotator, mode, category, page) VALUES (?, ?, ?, ?, ?)",
        (page_id, annotator, mode, category, text),
    )


def read_open_page(connection: JournalConnection, page_id: str, annotator: str) -> str | None:
    """The page of this id, where it is kept and this annotator's."""
    query = "SELECT page FROM open_pages WHERE page_id = ? AND annotator = ?"
    row = connection.execute(query, (page_id, annotator)).fetchone()
    return None if row is None else str(row[0])


def find_open_page(
    connection: JournalConnection,
    annotator: str,
    mode: str,
    category: str | None,
    *,
    held: Iterable[str],
    now: datetime,
) -> str | None:
    """The oldest page of this annotator and mode (and category) that is on lease and not among `held`."""
    query = """
        SELECT page FROM open_pages
        WHERE annotator = ? AND mode = ? AND category = coalesce(?, category)
            AND page_id NOT IN (SELECT value FROM json_each(?))
            AND page_id IN (SELECT page_id FROM leases WHERE annotator = ? AND ends_at > ?)
        ORDER BY rowid LIMIT 1
    """
    parameters = (annotator, mode, category, json.dumps(list(held)), annotator, now.timestamp())
    row = connection.execute(query, parameters).fetchone()
    return None if row is None else str(row[0])


def close_page(connection: JournalConnection, annotator: str, page_id: str | None = None) -> int:
    """Give a page of this annotator back, or all; returns how many samples that sets free."""
    if page_id is None:
        connection.execute("DELETE FROM open_pages WHERE annotator = ?", (annotator,))
    else:
        connection.execute("DELETE FROM open_pages WHERE annotator = ? AND page_id = ?", (annotator, page_id))
    return end_leases(connection, annotator, page_id)

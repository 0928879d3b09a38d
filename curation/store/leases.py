"""Who is looking at which samples just now, in the journal; a sample is on one page at a time.

Unlike everything else there, leases are replaced and taken away: at their end, at release, when the page is
confirmed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from curation.store.journal import JournalConnection


def leased_samples(connection: JournalConnection, now: datetime) -> set[str]:
    """The samples that are on anybody's page."""
    return {row[0] for row in connection.execute("SELECT sample_id FROM leases WHERE ends_at > ?", (now.timestamp(),))}


def take_leases(
    connection: JournalConnection,
    sample_ids: Iterable[str],
    page_id: str,
    annotator: str,
    now: datetime,
    until: datetime,
) -> None:
    """Put these samples on a page until then; those on another page whose time has not ended stay there."""
    connection.executemany(
        """
        INSERT INTO leases (sample_id, page_id, annotator, ends_at) VALUES (?, ?, ?, ?)
        ON CONFLICT (sample_id) DO UPDATE
            SET page_id = excluded.page_id, annotator = excluded.annotator, ends_at = excluded.ends_at
            WHERE leases.page_id = excluded.page_id OR leases.ends_at <= ?
        """,
        ((sample_id, page_id, annotator, until.timestamp(), now.timestamp()) for sample_id in sample_ids),
    )


def renew_leases(connection: JournalConnection, page_id: str, annotator: str, until: datetime) -> int:
    """Hold what is still on this page until then; returns how many samples that is."""
    return connection.execute(
        "UPDATE leases SET ends_at = ? WHERE page_id = ? AND annotator = ?", (until.timestamp(), page_id, annotator)
    ).rowcount


def leases_ended_before(connection: JournalConnection, moment: datetime) -> int:
    """How many samples are still listed on a page whose time ended before then."""
    row = connection.execute("SELECT count(*) FROM leases WHERE ends_at < ?", (moment.timestamp(),)).fetchone()
    return int(row[0])


def remove_leases_ended_before(connection: JournalConnection, moment: datetime) -> int:
    """Take those off the list; returns how many that were."""
    return connection.execute("DELETE FROM leases WHERE ends_at < ?", (moment.timestamp(),)).rowcount


def end_leases(connection: JournalConnection, annotator: str, page_id: str | None = None) -> int:
    """Give the samples of a page back, or of all pages of this annotator; returns how many."""
    of_page, parameters = ("", (annotator,)) if page_id is None else (" AND page_id = ?", (annotator, page_id))
    return connection.execute(f"DELETE FROM leases WHERE annotator = ?{of_page}", parameters).rowcount  # noqa: S608

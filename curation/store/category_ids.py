"""Which number a category has had since its first ingest, in the journal."""

from __future__ import annotations

from collections.abc import Iterable

from curation.store.journal import JournalConnection


def category_ids(connection: JournalConnection) -> dict[str, int]:
    """Category -> its number."""
    return dict(connection.execute("SELECT category, category_id FROM category_ids ORDER BY category_id"))


def number_categories(connection: JournalConnection, categories: Iterable[str]) -> None:
    """Give every category that has no number the next free one, in alphabetical order."""
    # One statement a category: another process may number the same ones at the same time, and the first wins.
    for category in sorted(categories):
        connection.execute(
            "INSERT OR IGNORE INTO category_ids SELECT coalesce(max(category_id) + 1, 0), ? FROM category_ids",
            (category,),
        )

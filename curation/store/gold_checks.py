"""Gold checks in the journal: samples whose answer is known, shown among the others under an id of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from curation.store.decisions import STANDS
from curation.store.journal import JournalConnection


@dataclass(frozen=True, slots=True)
class GoldCheck:
    """One check: the picture of the sample `sample_id` was shown under `category`, which `is_right` or not.

    `gold_id` is what it is called on the page; all else that was shown of it is that of the sample `donor_id`.
    """

    gold_id: str
    page_id: str
    annotator: str
    sample_id: str
    donor_id: str
    category: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class GoldCount:
    """What one annotator said of gold checks: how many they answered, how many `right`, and where they were unsure."""

    annotator: str
    answered: int
    right: int
    unsure: int


_COLUMNS = "gold_id, page_id, annotator, sample_id, donor_id, category, is_right"


def put_gold_checks(connection: JournalConnection, checks: Iterable[GoldCheck], now: datetime) -> None:
    """Write down what is shown, before it is."""
    connection.executemany(
        f"INSERT INTO gold_checks ({_COLUMNS}, shown_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        (
            (
                check.gold_id,
                check.page_id,
                check.annotator,
                check.sample_id,
                check.donor_id,
                check.category,
                int(check.is_right),
                now.isoformat(),
            )
            for check in checks
        ),
    )


def gold_ids_of_page(connection: JournalConnection, page_id: str, annotator: str) -> set[str]:
    """The ids of the checks on a page."""
    query = "SELECT gold_id FROM gold_checks WHERE page_id = ? AND annotator = ?"
    return {row[0] for row in connection.execute(query, (page_id, annotator))}


def read_gold_check(connection: JournalConnection, gold_id: str) -> GoldCheck | None:
    """The check of this id; `None` where it is none, but perhaps a sample's."""
    query = f"SELECT {_COLUMNS} FROM gold_checks WHERE gold_id = ?"  # noqa: S608 - constants
    row = connection.execute(query, (gold_id,)).fetchone()
    if row is None:
        return None
    gold_id, page_id, annotator, sample_id, donor_id, category, is_right = row
    return GoldCheck(gold_id, page_id, annotator, sample_id, donor_id, category, bool(is_right))


def pictures_of_checks(connection: JournalConnection, gold_ids: Iterable[str]) -> dict[str, str]:
    """Id of a check -> the sample whose picture it shows, of those of these ids that are checks."""
    query = "SELECT gold_id, sample_id FROM gold_checks WHERE gold_id IN (SELECT value FROM json_each(?))"
    return dict(connection.execute(query, (json.dumps(list(gold_ids)),)))


def count_gold(connection: JournalConnection) -> list[GoldCount]:
    """What every annotator's last word on each of their checks was, by annotator; checks without one do not count."""
    query = f"""
        WITH last AS (
            SELECT max(d.decision_id) AS decision_id FROM gold_decisions d
            WHERE {STANDS.format(table="gold_decisions")} GROUP BY d.sample_id
        )
        SELECT d.annotator,
            sum(d.action <> 'unsure'),
            sum(d.action <> 'unsure' AND (d.action = 'keep') = g.is_right),
            sum(d.action = 'unsure')
        FROM last JOIN gold_decisions d USING (decision_id) JOIN gold_checks g ON g.gold_id = d.sample_id
        GROUP BY d.annotator ORDER BY d.annotator
    """  # noqa: S608 - constants
    return [GoldCount(*row) for row in connection.execute(query)]

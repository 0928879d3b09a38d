"""Samples in the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from curation.store.connection import Connection
from curation.store.rows import Row, fetch_rows, insert_rows, is_one_of, registered
from curation.values import CrawlFacts, Role, Sample, SourceEntry

_TEXT = pa.string()
_CRAWL_COLUMNS = {
    "source_url": _TEXT,
    "query": _TEXT,
    "rank": pa.int64(),
    "title": _TEXT,
    "split": _TEXT,
    "license": _TEXT,
}
_COLUMNS = {
    "sample_id": _TEXT,
    "image_id": _TEXT,
    "role": _TEXT,
    "category": _TEXT,
    "uri": _TEXT,
    "version": _TEXT,
    "sha256": _TEXT,
    "reason": _TEXT,
    "source": _TEXT,
    **_CRAWL_COLUMNS,
}
_SELECT = f"SELECT {', '.join('s.' + name for name in _COLUMNS)} FROM samples s"  # noqa: S608 - constants

_MATCHES = "s.role = coalesce(?, s.role) AND s.category = coalesce(?, s.category)"  # NULL matches everything


Place = tuple[str, str]  # uri and category: where a sample was ingested from


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """What is known of a place; `version` is `None` where its bytes could not be read: they may have come back."""

    sample_id: str
    image_id: str
    version: str | None


def put_samples(connection: Connection, samples: Sequence[Sample]) -> None:
    """Add samples; one that is there already (same sample id) takes its new place and facts."""
    insert_rows(connection, "samples", _COLUMNS, [_row(sample) for sample in samples], known="REPLACE")


def update_crawl_facts(connection: Connection, source: str, role: Role, entries: Sequence[SourceEntry]) -> int:
    """Give the samples of one source in one role the crawl facts that it lists now; how many had others."""
    columns = {"uri": _TEXT, "category": _TEXT, **_CRAWL_COLUMNS}
    rows = [(entry.uri, entry.category, *_crawl_row(entry.crawl)) for entry in entries]
    changes = ", ".join(f"{name} = listed.{name}" for name in _CRAWL_COLUMNS)
    ours, theirs = (", ".join(f"{table}.{name}" for name in _CRAWL_COLUMNS) for table in ("samples", "listed"))
    query = f"""
        UPDATE samples SET {changes} FROM listed
        WHERE samples.source = ? AND samples.role = ? AND samples.uri = listed.uri
            AND samples.category = listed.category AND ({ours}) IS DISTINCT FROM ({theirs})
    """  # noqa: S608 - constants
    with registered(connection, "listed", columns, rows):
        return int(fetch_rows(connection, query, (source, role.value))[0][0])


def remove_samples(connection: Connection, sample_ids: Sequence[str]) -> None:
    """Remove samples whose image was replaced by another at the same place, or is gone from its source."""
    connection.execute("DELETE FROM samples WHERE sample_id IN (SELECT unnest(?))", [list(sample_ids)])


def read_samples(connection: Connection, role: Role | None = None) -> list[Sample]:
    """All samples (of one role), ordered by sample id."""
    where = "" if role is None else " WHERE s.role = ?"
    rows = fetch_rows(connection, f"{_SELECT}{where} ORDER BY s.sample_id", () if role is None else (role.value,))
    return [_sample(row) for row in rows]


def sample_ids(connection: Connection) -> list[str]:
    """The ids of all samples, ascending."""
    return [row[0] for row in fetch_rows(connection, "SELECT sample_id FROM samples ORDER BY sample_id")]


def samples_by_id(connection: Connection, sample_ids: Sequence[str]) -> dict[str, Sample]:
    """Sample id -> sample, of those of these that are in the catalogue."""
    rows = fetch_rows(connection, f"{_SELECT} WHERE {is_one_of('s.sample_id', sample_ids)}", sample_ids)
    return {row[0]: _sample(row) for row in rows}


def readable_samples(connection: Connection, role: Role) -> list[tuple[str, str, str]]:
    """(sample_id, category, sha256) of the samples of one role whose image is not known to be bad, by sample id."""
    query = """
        SELECT s.sample_id, s.category, s.sha256 FROM samples s LEFT JOIN images i USING (sha256)
        WHERE s.role = ? AND s.sha256 IS NOT NULL AND i.reason IS NULL ORDER BY s.sample_id
    """
    return [(row[0], row[1], row[2]) for row in fetch_rows(connection, query, (role.value,))]


def samples_checksum(connection: Connection) -> tuple[int, int]:
    """How many samples there are, and a number that changes with any fact of any of them; quick, for one version."""
    rows = fetch_rows(connection, "SELECT count(*), coalesce(bit_xor(hash(s)), 0) FROM samples s")
    return rows[0][0], rows[0][1]


def has_unscored_samples(connection: Connection) -> bool:
    """Whether a novel sample whose image is not known to be bad has no evidence yet."""
    query = """
        SELECT count(*) > 0 FROM samples s LEFT JOIN images i USING (sha256)
        WHERE s.role = 'novel' AND s.sha256 IS NOT NULL AND i.reason IS NULL
            AND s.sample_id NOT IN (SELECT sample_id FROM evidence)
    """
    return bool(fetch_rows(connection, query)[0][0])


def known_entries(connection: Connection, source: str, role: Role) -> dict[Place, KnownEntry]:
    """What was ingested from one source in one role, by its place."""
    query = """
        SELECT uri, category, sample_id, image_id, CASE WHEN sha256 IS NOT NULL THEN version END
        FROM samples WHERE source = ? AND role = ?
    """
    rows = fetch_rows(connection, query, (source, role.value))
    return {(row[0], row[1]): KnownEntry(*row[2:]) for row in rows}


def known_sample_ids(connection: Connection, sample_ids: Sequence[str]) -> set[str]:
    """Those of `sample_ids` that are in the catalogue."""
    query = "SELECT sample_id FROM samples WHERE sample_id IN (SELECT unnest(?))"
    return {row[0] for row in fetch_rows(connection, query, (list(sample_ids),))}


def category_names(connection: Connection, role: Role) -> set[str]:
    """The categories that have at least one sample in this role."""
    return {
        row[0] for row in fetch_rows(connection, "SELECT DISTINCT category FROM samples WHERE role = ?", (role.value,))
    }


def ingested_sources(connection: Connection) -> list[tuple[str, Role, int]]:
    """(source, role, samples) of everything that was ingested, by source and role."""
    query = "SELECT source, role, count(*) FROM samples GROUP BY source, role ORDER BY source, role"
    return [(row[0], Role(row[1]), row[2]) for row in fetch_rows(connection, query)]


def count_samples(connection: Connection) -> dict[str, dict[str, int]]:
    """Role -> {samples, categories, unreadable}."""
    query = """
        SELECT s.role, count(*), count(DISTINCT s.category), count(*) FILTER (coalesce(s.reason, i.reason) IS NOT NULL)
        FROM samples s LEFT JOIN images i USING (sha256) GROUP BY s.role ORDER BY s.role
    """
    return {
        row[0]: {"samples": row[1], "categories": row[2], "unreadable": row[3]} for row in fetch_rows(connection, query)
    }


def image_digests(connection: Connection, role: Role | None = None, category: str | None = None) -> list[str]:
    """The SHA-256 of every image content there is (in one role, in one category), sorted."""
    query = f"SELECT DISTINCT s.sha256 FROM samples s WHERE s.sha256 IS NOT NULL AND {_MATCHES} ORDER BY s.sha256"  # noqa: S608 - constants
    return [row[0] for row in fetch_rows(connection, query, _match(role, category))]


def samples_of_images(
    connection: Connection, digests: Sequence[str], role: Role | None = None, category: str | None = None
) -> list[Sample]:
    """The samples (of one role, of one category) whose image has one of these SHA-256, by sample id."""
    where = f"s.sha256 IN (SELECT unnest(?)) AND {_MATCHES}"
    rows = fetch_rows(
        connection, f"{_SELECT} WHERE {where} ORDER BY s.sample_id", (list(digests), *_match(role, category))
    )
    return [_sample(row) for row in rows]


def samples_with_address(connection: Connection, part: str, limit: int) -> list[Sample]:
    """The first `limit` samples, by id, whose source address holds `part`, in any case."""
    where = "contains(lower(s.source_url), lower(?))"
    rows = fetch_rows(connection, f"{_SELECT} WHERE {where} ORDER BY s.sample_id LIMIT ?", (part, limit))
    return [_sample(row) for row in rows]


def unreadable_samples(connection: Connection) -> list[tuple[str, str, str]]:
    """(sample_id, role, reason) of the samples that have no usable pixels, by sample id."""
    query = """
        SELECT s.sample_id, s.role, coalesce(s.reason, i.reason) AS why FROM samples s LEFT JOIN images i USING (sha256)
        WHERE why IS NOT NULL ORDER BY s.sample_id
    """
    return [(row[0], row[1], row[2]) for row in fetch_rows(connection, query)]


def _match(role: Role | None, category: str | None) -> tuple[str | None, str | None]:
    """The parameters of `_MATCHES`."""
    return (None if role is None else role.value, category)


def _row(sample: Sample) -> Row:
    return (
        sample.sample_id,
        sample.image_id,
        sample.role.value,
        sample.category,
        sample.uri,
        sample.version,
        sample.sha256,
        sample.reason,
        sample.source,
        *_crawl_row(sample.crawl),
    )


def _crawl_row(crawl: CrawlFacts) -> Row:
    return (crawl.source_url, crawl.query, crawl.rank, crawl.title, crawl.split, crawl.license)


def _sample(row: Row) -> Sample:
    sample_id, image_id, role, category, uri, version, sha256, reason, source, *crawl = row
    return Sample(
        sample_id, image_id, Role(role), category, uri, version, sha256, reason, source, crawl=CrawlFacts(*crawl)
    )

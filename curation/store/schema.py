"""The tables of the catalogue, as an ordered list of migrations that is only ever appended to."""

from __future__ import annotations

from pathlib import Path

import duckdb

from curation.errors import StoreError

# `samples` and `images` grow; `evidence` and `flags` are replaced whole by their stage, so they carry no key (a key
# would be checked row by row while old and new rows meet in one transaction).
_FIRST = """
CREATE TABLE samples (
    sample_id VARCHAR PRIMARY KEY, image_id VARCHAR NOT NULL, role VARCHAR NOT NULL, category VARCHAR NOT NULL,
    uri VARCHAR NOT NULL, version VARCHAR NOT NULL, sha256 VARCHAR, reason VARCHAR, source VARCHAR NOT NULL,
    source_url VARCHAR, query VARCHAR, rank BIGINT, title VARCHAR, split VARCHAR
);
CREATE TABLE images (
    sha256 VARCHAR PRIMARY KEY, format VARCHAR NOT NULL, mode VARCHAR NOT NULL, width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL, frames INTEGER NOT NULL, size_bytes BIGINT NOT NULL, reason VARCHAR
);
CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY, command VARCHAR NOT NULL, started_at TIMESTAMP NOT NULL, finished_at TIMESTAMP,
    tool_version VARCHAR NOT NULL, config JSON NOT NULL
);
CREATE TABLE stages (
    stage VARCHAR PRIMARY KEY, fingerprint VARCHAR NOT NULL, run_id VARCHAR NOT NULL, finished_at TIMESTAMP NOT NULL,
    summary JSON NOT NULL
);
CREATE TABLE evidence (
    sample_id VARCHAR NOT NULL, weight FLOAT NOT NULL, weight_error FLOAT, own_similarity FLOAT, own_cosine FLOAT,
    nearest STRUCT(category VARCHAR, similarity FLOAT)[] NOT NULL
);
CREATE TABLE flags (sample_id VARCHAR NOT NULL, name VARCHAR NOT NULL, reason VARCHAR NOT NULL);
-- Exports are recorded in the journal now; this holds what was recorded before.
CREATE TABLE cleaned_sets (
    content_hash VARCHAR NOT NULL, exported_at TIMESTAMP NOT NULL, format VARCHAR NOT NULL, path VARCHAR NOT NULL,
    kept BIGINT NOT NULL, set_aside BIGINT NOT NULL
);
"""

# Images that were decoded before keep NULL: they are compared by their bytes alone until they are decoded again.
_MEASURED_PICTURES = """
ALTER TABLE images ADD COLUMN sharpness DOUBLE;
ALTER TABLE images ADD COLUMN contrast DOUBLE;
ALTER TABLE images ADD COLUMN fingerprint BLOB;
"""

# Replaced whole by their stage, like `evidence`.
_NOISE = """
CREATE TABLE noise_estimates (
    sample_id VARCHAR NOT NULL, noise_probability FLOAT NOT NULL, transferred_probability FLOAT NOT NULL,
    suggested_category VARCHAR, suggested_probability FLOAT NOT NULL, explanation VARCHAR NOT NULL
);
CREATE TABLE category_noise (
    category VARCHAR NOT NULL, samples BIGINT NOT NULL, noise_rate DOUBLE NOT NULL,
    low DOUBLE NOT NULL, high DOUBLE NOT NULL
);
"""

# NULL in flags that were raised before: the copies are known from the next time they are raised.
_COPIES = "ALTER TABLE flags ADD COLUMN copies VARCHAR[];"

# Replaced whole with the flags; each pair once, the smaller digest first.
_NEAR_COPIES = "CREATE TABLE near_copies (sha256 VARCHAR NOT NULL, copy VARCHAR NOT NULL);"

# NULL in samples that were ingested before: the next ingest of their source takes what it says.
_LICENCES = "ALTER TABLE samples ADD COLUMN license VARCHAR;"

MIGRATIONS: tuple[str, ...] = (_FIRST, _MEASURED_PICTURES, _NOISE, _COPIES, _NEAR_COPIES, _LICENCES)


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the catalogue to this version's schema, one transaction a migration."""
    current = schema_version(connection)
    if current > len(MIGRATIONS):
        raise StoreError(
            f"the catalogue has schema {current}, this version knows {len(MIGRATIONS)}.",
            hint="Install the newer version of webnoise-curation that wrote it.",
        )
    for number, statements in enumerate(MIGRATIONS[current:], start=current + 1):
        connection.execute("BEGIN TRANSACTION")
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        connection.execute(statements)
        connection.execute("DELETE FROM schema_version")
        connection.execute("INSERT INTO schema_version VALUES (?)", [number])
        connection.execute("COMMIT")


def refuse_other_schema(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raise `StoreError` where a catalogue that must not be written has another schema than this version reads."""
    found = schema_version(connection)
    if found != len(MIGRATIONS):
        raise StoreError(
            f"{path} was published by another version (schema {found}, this one reads {len(MIGRATIONS)}).",
            hint="`curate flag` publishes a new one.",
        )


def schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """The schema that a catalogue has; 0 where it has no tables yet."""
    exists = connection.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'schema_version'"
    ).fetchall()
    if exists[0][0] == 0:
        return 0
    return int(connection.execute("SELECT version FROM schema_version").fetchall()[0][0])

"""Immutable copies of the catalogue for readers: written beside, checked, renamed, named by a CURRENT file.

A reader of a snapshot never waits for a writer of the catalogue, and never sees half a stage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curation.errors import StoreError
from curation.files import file_digest, replace_text
from curation.store.connection import Connection, catalog, read_only
from curation.store.rows import fetch_rows
from curation.store.runs import StageState, read_stages
from curation.store.samples import samples_checksum
from curation.store.schema import refuse_other_schema
from curation.workspace import Workspace

KEPT_SNAPSHOTS = 3  # a reader that opened an older one has had two stages' time to finish with it

_READ_BY_SAMPLE = ("evidence", "noise_estimates", "flags")  # a second for a million rows; a page is read in a tenth
_TABLES = ("samples", "images", "runs", "stages", "evidence", "flags", "near_copies", "cleaned_sets")


def publish_snapshot(workspace: Workspace) -> Path:
    """Copy the catalogue as it stands into a new snapshot and make it the current one; returns its path."""
    partial = workspace.snapshots / f".{os.getpid()}.partial"
    partial.unlink(missing_ok=True)
    with catalog(workspace) as connection:
        expected = _counts(connection)
        # Text, since ATTACH takes no parameter; a quote in a path is doubled.
        connection.execute("ATTACH '{}' AS snapshot".format(str(partial).replace("'", "''")))
        connection.execute("COPY FROM DATABASE catalog TO snapshot")
        for table in _READ_BY_SAMPLE:
            connection.execute(f"CREATE INDEX {table}_by_sample ON snapshot.{table} (sample_id)")
        connection.execute("COMMIT")
        connection.execute("DETACH snapshot")
        connection.execute("BEGIN TRANSACTION")
    with read_only(partial) as connection:
        if (found := _counts(connection)) != expected:
            raise StoreError(f"a snapshot has {found} rows where the catalogue has {expected}.", hint="Run it again.")
    digest = file_digest(partial)
    path = workspace.snapshots / f"{_next_number(workspace):08d}.duckdb"
    partial.replace(path)
    replace_text(workspace.snapshots / "CURRENT", f"{path.name} {digest}\n")
    for old in _numbered(workspace)[:-KEPT_SNAPSHOTS]:
        old.unlink(missing_ok=True)  # a reader that has it open keeps reading it
    return path


def publish_new_results(workspace: Workspace) -> None:
    """Publish a snapshot, unless the newest one has the samples and the results of all stages as they are now."""
    with catalog(workspace) as connection:
        results = _results(connection)
    if _published_results(workspace) != results or not is_whole(workspace):
        publish_snapshot(workspace)


def current_snapshot(workspace: Workspace) -> Path:
    """The path of the newest published snapshot."""
    try:
        return workspace.snapshots / _current(workspace)[0]
    except FileNotFoundError as error:
        raise StoreError(
            f"{workspace.root} has nothing published yet.", hint=f"`curate run {workspace.root}` does the work."
        ) from error


@contextmanager
def snapshot(workspace: Workspace) -> Iterator[Connection]:
    """A read-only connection to the newest snapshot."""
    path = current_snapshot(workspace)
    with read_only(path) as connection:
        refuse_other_schema(connection, path)
        yield connection


def is_whole(workspace: Workspace) -> bool:
    """Whether the newest snapshot has the bytes that were published; reads all of it."""
    name, digest = _current(workspace)
    return digest != "" and file_digest(workspace.snapshots / name) == digest


def is_published(workspace: Workspace) -> bool:
    """Whether there is a snapshot to read; there is none before the first ingest."""
    return (workspace.snapshots / "CURRENT").is_file()


_Results = tuple[dict[str, StageState], tuple[int, int]]


def _results(connection: Connection) -> _Results:
    return read_stages(connection), samples_checksum(connection)


def _published_results(workspace: Workspace) -> _Results | None:
    """`None` where there is no snapshot that can be read."""
    try:
        with snapshot(workspace) as connection:
            return _results(connection)
    except StoreError:
        return None


def _current(workspace: Workspace) -> tuple[str, str]:
    """The file's name and its SHA-256, which earlier versions did not write down: empty then."""
    name, _, digest = (workspace.snapshots / "CURRENT").read_text(encoding="utf-8").strip().partition(" ")
    return name, digest


def _counts(connection: Connection) -> dict[str, int]:
    return {name: fetch_rows(connection, f"SELECT count(*) FROM {name}")[0][0] for name in _TABLES}  # noqa: S608


def _numbered(workspace: Workspace) -> list[Path]:
    return sorted(workspace.snapshots.glob("[0-9]*.duckdb"))


def _next_number(workspace: Workspace) -> int:
    numbered = _numbered(workspace)
    return int(numbered[-1].stem) + 1 if numbered else 1

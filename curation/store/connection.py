"""DuckDB's door: the catalogue is held for one short transaction, never longer."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from curation.errors import StoreBusyError, StoreError
from curation.store.schema import migrate
from curation.workspace import Workspace

Connection = duckdb.DuckDBPyConnection

BUSY_TIMEOUT_S = 60.0  # a stage's longest write (a million rows) takes a few seconds; a minute means something hangs
_NO_ROOM = "Free some space on its disk, or make it writable, then run it again: what was finished is kept."
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.01, 0.5


@contextmanager
def catalog(workspace: Workspace, *, timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[Connection]:
    """One transaction on the catalogue: committed at the end of the block, rolled back when it raises.

    Creates the catalogue and applies outstanding migrations. Waits with growing, jittered pauses while another process
    holds the file; `StoreBusyError` names that process after `timeout_s`. On a disk that is read-only it can be read.
    """
    if workspace.catalog.exists() and not os.access(workspace.catalog, os.W_OK):
        with catalog_as_it_is(workspace, timeout_s=timeout_s) as connection:
            yield connection
        return
    connection = _connect(workspace.catalog, timeout_s)
    try:
        migrate(connection)
        connection.execute("BEGIN TRANSACTION")
        yield connection
        connection.execute("COMMIT")
    except duckdb.Error as error:
        raise _refused(workspace.catalog, error) from error
    finally:
        connection.close()  # an open transaction is rolled back


@contextmanager
def catalog_as_it_is(workspace: Workspace, *, timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[Connection]:
    """The catalogue for reading: neither made nor migrated. It keeps writers waiting, so for short questions only."""
    connection = _connect(workspace.catalog, timeout_s, for_reading=True)
    try:
        yield connection
    except duckdb.Error as error:
        raise _refused(workspace.catalog, error) from error
    finally:
        connection.close()


@contextmanager
def read_only(path: Path) -> Iterator[Connection]:
    """A connection that cannot write, for immutable snapshots."""
    connection = _open_snapshot(path)
    try:
        yield connection
    except duckdb.Error as error:
        raise StoreError(f"{path} refused a query: {error}.", hint="`curate run` publishes a new snapshot.") from error
    finally:
        connection.close()


class ReadersConnection:
    """A snapshot held open for many readers, in any thread: opening it for each would cost more than most queries."""

    def __init__(self, path: Path) -> None:
        self._connection = _open_snapshot(path)

    def close(self) -> None:
        """Close it for those who come; who is reading finishes."""
        self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection of one reader, who may take its time."""
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()


def _open_snapshot(path: Path) -> Connection:
    try:
        return duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}.", hint="`curate run` publishes a new snapshot.") from error


def _refused(path: Path, error: duckdb.Error) -> StoreError:
    if _is_full_or_read_only(error):
        return StoreError(f"{path} cannot be written: {error}.", hint=_NO_ROOM)
    return StoreError(
        f"{path} refused a query: {error}.",
        hint="It can be rebuilt: move it away and ingest the sources again; decisions are kept elsewhere.",
    )


def _connect(path: Path, timeout_s: float, *, for_reading: bool = False) -> Connection:
    deadline = time.monotonic() + timeout_s
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return duckdb.connect(str(path), read_only=for_reading)
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            if not _is_busy(error):  # asked first: where a reader holds it DuckDB advises to open it read-only too
                if _is_full_or_read_only(error):
                    raise StoreError(f"{path} cannot be written: {error}.", hint=_NO_ROOM) from error
                raise StoreError(
                    f"{path} cannot be opened: {error}.",
                    hint="If it is damaged, move it away and ingest the sources again; decisions are kept elsewhere.",
                ) from error
            if time.monotonic() >= deadline:
                raise StoreBusyError(
                    f"{path} has been held by {_holder(error)} for {timeout_s:g} s.",
                    hint="Wait for it to finish, or end it, then run the command again.",
                ) from error
        except duckdb.Error as error:
            raise StoreError(
                f"{path} is not a catalogue this version can read: {error}.",
                hint="Move it away and ingest the sources again; decisions are kept elsewhere.",
            ) from error
        time.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, so that two waiting processes do not march in step
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _is_full_or_read_only(error: duckdb.Error) -> bool:
    """Whether it is the disk that refused; nothing is wrong with the file then."""
    return any(words in str(error).lower() for words in ("no space left", "read-only", "quota", "could not write"))


def _is_busy(error: duckdb.Error) -> bool:
    text = str(error)
    return "Could not set lock" in text or "different configuration" in text


def _holder(error: duckdb.Error) -> str:
    found = re.search(r"held in (?P<program>\S+) \(PID (?P<pid>\d+)\)", str(error))
    return f"process {found['pid']} ({found['program']})" if found else "another connection"

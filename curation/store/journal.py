"""SQLite's door: what must survive everything else. Open to several processes at once.

What people decided, which samples were drawn for them to audit, what they said of gold checks, which number a category
has had since its first ingest, and which exports were made: append-only, never rewritten. Beside them the leases of the
pages that are being looked at. WAL with full synchronisation: a record that was acknowledged is on the disk.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from curation.errors import StoreError
from curation.store.journal_schema import MIGRATIONS

JournalConnection = sqlite3.Connection

_BUSY_TIMEOUT_MS = 30_000  # one append takes milliseconds; a writer that waits longer met a hanging process


@contextmanager
def journal(path: Path, *, durable: bool = True) -> Iterator[JournalConnection]:
    """One transaction on the journal, committed at the end of the block, rolled back when it raises.

    One that is not `durable` is not lost with its process, but may be with the power: good enough for leases, and it
    does not wait for the disk. What is written later and durably makes it so too. On a read-only disk it can be read.
    """
    if path.exists() and not os.access(path.parent, os.W_OK):
        with journal_as_it_is(path) as connection:
            yield connection
        return
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_MS / 1000)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            if journal_version(connection) != len(MIGRATIONS):
                bring_up_to_date(connection)
            with connection:
                yield connection
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error


@contextmanager
def journal_as_it_is(path: Path) -> Iterator[JournalConnection]:
    """The journal for reading, whatever its schema; nothing is made, brought up to date or written."""
    if os.access(path.parent, os.W_OK):
        how = "mode=rw"  # to read it SQLite makes its log beside it, and takes it away at the end
    else:
        how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?{how}", timeout=_BUSY_TIMEOUT_MS / 1000, uri=True)
        ) as connection:
            connection.execute("PRAGMA query_only = ON")
            yield connection
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error


def copy_journal(path: Path, copy: Path) -> None:
    """Copy the journal as it stands at one moment, what was acknowledged before included, while others write to it."""
    with journal_as_it_is(path) as connection, closing(sqlite3.connect(copy)) as target:
        try:
            connection.backup(target)  # in one step: writers go on in the log, and nothing of theirs gets in
        except sqlite3.OperationalError as error:
            raise StoreError(f"{copy} cannot be written: {error}.", hint="Free some space on its disk.") from error


def keep_open(path: Path) -> JournalConnection:
    """A connection to hold and not to use: when the last one closes, SQLite folds its log into the file, which takes
    longer than to append to it."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def begin_writing(connection: JournalConnection) -> None:
    """From here to the end of the block nobody else writes, so that what is read stays true until it is acted on."""
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")


def bring_up_to_date(connection: JournalConnection) -> None:
    """Give the journal this version's tables; several processes may meet an old one at once, and one does it."""
    with connection:
        begin_writing(connection)
        known = journal_version(connection)
        if known > len(MIGRATIONS):
            raise StoreError(
                f"the journal of decisions has schema {known}, this version knows {len(MIGRATIONS)}.",
                hint="Install the newer version of webnoise-curation that wrote it.",
            )
        for statements in MIGRATIONS[known:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def journal_version(connection: JournalConnection) -> int:
    """The schema that the journal has; 0 where it has no tables yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _unusable(path: Path, error: sqlite3.DatabaseError) -> StoreError:
    if any(words in str(error) for words in ("disk is full", "readonly")):  # the file itself is whole
        return StoreError(
            f"{path} cannot be written: {error}.", hint="Free some space on its disk, or make it writable."
        )
    return StoreError(
        f"{path} cannot be used: {error}.",
        hint="It holds what people decided: restore it from a backup rather than deleting it.",
    )

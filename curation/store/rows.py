"""Many rows in and out of a table at once, through Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from curation.store.connection import Connection

Row = tuple[Any, ...]


def insert_rows(
    connection: Connection, table: str, columns: Mapping[str, pa.DataType], rows: Sequence[Row], *, known: str = "FAIL"
) -> None:
    """Append `rows` to `table`; for rows whose key is there already, `known` says FAIL, IGNORE or REPLACE."""
    if rows:
        insert_table(connection, table, _table(columns, rows), known=known)


def insert_table(connection: Connection, table: str, rows: pa.Table, *, known: str = "FAIL") -> None:
    """`insert_rows` for what is in columns already."""
    conflict = "" if known == "FAIL" else f"OR {known} "
    names = ", ".join(rows.column_names)
    with _registered(connection, "incoming", rows):
        # Table and column names are constants of this room; values never enter the text.
        connection.execute(f"INSERT {conflict}INTO {table} ({names}) SELECT {names} FROM incoming")  # noqa: S608


@contextmanager
def registered(
    connection: Connection, name: str, columns: Mapping[str, pa.DataType], rows: Sequence[Row]
) -> Iterator[None]:
    """`rows` as a table that queries see under `name` while the block lasts."""
    with _registered(connection, name, _table(columns, rows)):
        yield


@contextmanager
def _registered(connection: Connection, name: str, rows: pa.Table) -> Iterator[None]:
    connection.register(name, rows)
    try:
        yield
    finally:
        connection.unregister(name)


def _table(columns: Mapping[str, pa.DataType], rows: Sequence[Row]) -> pa.Table:
    by_column = zip(*rows, strict=True) if rows else ([] for _ in columns)
    arrays = [pa.array(values, type=kind) for values, kind in zip(by_column, columns.values(), strict=True)]
    return pa.Table.from_arrays(arrays, names=list(columns))


def is_one_of(column: str, values: Sequence[str]) -> str:
    """A condition with a parameter for each of `values`; unlike a list as one parameter, an index can answer it."""
    return f"{column} IN ({', '.join('?' * len(values))})" if values else "FALSE"


def fetch_rows(connection: Connection, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """All rows of a query."""
    return connection.execute(query, list(parameters)).fetchall()

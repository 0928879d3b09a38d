"""All SQL in one room: the catalogue (DuckDB), its published snapshots, and the journal of decisions (SQLite).

Functions take an open connection, are named by what they mean, and return values, never cursors.
"""

"""Runs and the state of the stages in the catalogue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curation import __version__
from curation.config import Config
from curation.errors import EmbeddingError
from curation.store.connection import Connection
from curation.store.rows import fetch_rows


@dataclass(frozen=True, slots=True)
class StageState:
    """What a stage last did: the fingerprint of its inputs, when it finished (UTC), and its figures."""

    stage: str
    fingerprint: str
    run_id: str
    finished_at: datetime
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One command that ran stages: when it began (UTC), and the version that ran."""

    run_id: str
    command: str
    started_at: datetime
    tool_version: str


def start_run(connection: Connection, run_id: str, command: str, config: Config) -> None:
    """Record that a command began, with the configuration it saw."""
    connection.execute(
        "INSERT INTO runs VALUES (?, ?, ?, NULL, ?, ?)",
        [run_id, command, _now(), __version__, config.model_dump_json()],
    )


def finish_run(connection: Connection, run_id: str) -> None:
    """Record that a command came to its end."""
    connection.execute("UPDATE runs SET finished_at = ? WHERE run_id = ?", [_now(), run_id])


def put_stage(connection: Connection, stage: str, fingerprint: str, run_id: str, summary: dict[str, Any]) -> None:
    """Record that a stage finished for these inputs."""
    connection.execute(
        "INSERT OR REPLACE INTO stages VALUES (?, ?, ?, ?, ?)",
        [stage, fingerprint, run_id, _now(), json.dumps(summary)],
    )


def put_stage_state(connection: Connection, state: StageState) -> None:
    """Put a stage's state back as it once was recorded."""
    connection.execute(
        "INSERT OR REPLACE INTO stages VALUES (?, ?, ?, ?, ?)",
        [state.stage, state.fingerprint, state.run_id, state.finished_at, json.dumps(state.summary)],
    )


def read_stages(connection: Connection) -> dict[str, StageState]:
    """Stage name -> its last state."""
    rows = fetch_rows(
        connection, "SELECT stage, fingerprint, run_id, finished_at, summary FROM stages ORDER BY finished_at"
    )
    return {row[0]: StageState(row[0], row[1], row[2], row[3], json.loads(row[4])) for row in rows}


def read_run(connection: Connection, run_id: str) -> Run | None:
    """One run by its id."""
    query = "SELECT run_id, command, started_at, tool_version FROM runs WHERE run_id = ?"
    rows = fetch_rows(connection, query, (run_id,))
    return Run(*rows[0]) if rows else None


def newest_run(connection: Connection) -> tuple[Run, bool] | None:
    """The run that began last, and whether it came to its end; `None` before the first. Ids sort as runs began."""
    query = """
        SELECT run_id, command, started_at, tool_version, finished_at IS NOT NULL FROM runs
        ORDER BY run_id DESC LIMIT 1
    """
    rows = fetch_rows(connection, query)
    return (Run(*rows[0][:4]), bool(rows[0][4])) if rows else None


def embedding_encoder(connection: Connection, root: Path) -> str:
    """The identity of the encoder whose embeddings the later stages use; `EmbeddingError` before the first `embed`."""
    state = read_stages(connection).get("embed")
    if state is None:
        raise EmbeddingError("the images have no embeddings yet.", hint=f"`curate embed {root}` makes them.")
    return str(state.summary["encoder"])


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)  # the columns hold UTC without an offset

"""An index on disk: a folder of files named by their own SHA-256, and `index.json` that names them.

`index.json` is replaced last and in one step: a reader, or a kill at any moment, sees the old index or the new one.
Vectors are mapped into memory, not read: a loaded index costs the memory of the pages it touches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np

from indexes.neighbors import FloatArray, IdArray, IndexKind, NeighborIndexError
from indexes.recall import RecallCheck

_SCHEMA_VERSION = 1
_FACTS = "index.json"


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What is known of an index beside its arrays.

    `version`: what the vectors were made from. `kind_asked`, `effort_asked`: what the caller fixed, `None` where the
    index chose. `built_count`: vectors at its last build. `effort`: what a search may spend; 0 for exact search.
    `recall`: how it did on a sample after that build, `None` for exact search.
    """

    version: str
    kind: IndexKind
    kind_asked: IndexKind | None
    effort: int
    effort_asked: int | None
    built_count: int
    recall: RecallCheck | None


@dataclass(frozen=True, slots=True)
class IndexParts:
    """An index apart: `vectors` (N, D), `ids` (N,) ascending, and the file of the FAISS index where there is one."""

    facts: IndexFacts
    vectors: FloatArray
    ids: IdArray
    faiss_path: Path | None


def write_index(
    folder: Path, facts: IndexFacts, vectors: FloatArray, ids: IdArray, write_faiss: Callable[[Path], None] | None
) -> None:
    """Write everything to `folder`, which is made if need be; an index that is there already is replaced."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {
            "vectors": _write_part(folder, "vectors.npy", lambda path: _save_array(path, vectors)),
            "ids": _write_part(folder, "ids.npy", lambda path: _save_array(path, ids)),
        }
        if write_faiss is not None:
            names["faiss"] = _write_part(folder, "index.faiss", write_faiss)
        text = json.dumps({"schema_version": _SCHEMA_VERSION, **asdict(facts), "files": names}, indent=2)
        partial = _partial(folder, _FACTS)
        partial.write_text(text, encoding="utf-8")
        _flush(partial)
        partial.replace(folder / _FACTS)
        _flush(folder)
        for path in folder.iterdir():  # of the index before, and of writers that were killed
            if path.name not in {_FACTS, *names.values()}:
                path.unlink()
    except OSError as error:
        raise NeighborIndexError(
            f"the index cannot be written to {folder}: {error.strerror}.", hint="Check space and permissions."
        ) from error


def read_index(folder: Path, version: str) -> IndexParts:
    """What `write_index` wrote, every file checked against its name; raises `NeighborIndexError`."""
    facts, names = _read_facts(folder, version)
    paths = {part: folder / name for part, name in names.items()}
    for path in paths.values():
        if not path.is_file() or _digest(path) not in path.name:
            raise _damaged(folder, f"{path.name} is missing or its content has changed")
    try:
        vectors = np.load(paths["vectors"], mmap_mode="c", allow_pickle=False)
        ids = np.load(paths["ids"], allow_pickle=False)
    except (KeyError, OSError, ValueError) as error:
        raise _damaged(folder, str(error)) from error
    return IndexParts(facts, vectors, ids, paths.get("faiss"))


def _read_facts(folder: Path, version: str) -> tuple[IndexFacts, dict[str, str]]:
    """The facts of the index in `folder` and the names of its files."""
    try:
        values: dict[str, Any] = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        schema_version = values.pop("schema_version")
    except FileNotFoundError as error:
        raise NeighborIndexError(f"there is no index in {folder}.", hint="Build and save one first.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, f"{_FACTS}: {error}") from error
    if schema_version != _SCHEMA_VERSION:
        raise NeighborIndexError(
            f"the index in {folder} has schema version {schema_version}, this program reads {_SCHEMA_VERSION}.",
            hint="Build it anew.",
        )
    try:
        files: dict[str, str] = values.pop("files")
        values["kind"] = IndexKind(values["kind"])
        values["kind_asked"] = IndexKind(values["kind_asked"]) if values["kind_asked"] is not None else None
        values["recall"] = RecallCheck(**values["recall"]) if values["recall"] is not None else None
        facts = IndexFacts(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, f"{_FACTS}: {error}") from error
    if facts.version != version:
        raise NeighborIndexError(
            f"the index in {folder} was made from {facts.version}, wanted is one made from {version}.",
            hint="Build it anew from these vectors.",
        )
    return facts, files


def _write_part(folder: Path, name: str, write: Callable[[Path], None]) -> str:
    """Have a file written beside, flush it, and rename it after its content; returns that name."""
    partial = _partial(folder, name)
    write(partial)
    _flush(partial)
    stem, _, suffix = name.partition(".")
    named = f"{stem}-{_digest(partial)}.{suffix}"
    partial.replace(folder / named)
    return named


def _save_array(path: Path, array: FloatArray | IdArray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _partial(folder: Path, name: str) -> Path:
    return folder / f".{name}.{os.getpid()}.partial"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()[:32]


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(folder: Path, reason: str) -> NeighborIndexError:
    return NeighborIndexError(
        f"the index in {folder} is damaged ({reason}).", hint="Delete the folder and build the index anew."
    )

"""`curate backup`: one file of what cannot be rebuilt, taken while everything runs.

What people decided, the configuration, the history, which sources to ingest, the exports that were made, and what was
learned, so that a restored workspace does not learn it again. Not in it: images, embeddings, everything that a run
makes of them, and `secrets.toml`.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from curation import __version__
from curation.backup_file import (
    CONFIG,
    JOURNAL,
    KIND,
    MANIFEST,
    RECORDS,
    SCHEMA_VERSION,
    BackedUpFile,
    BackedUpSource,
    BackupManifest,
    ExportRecord,
    Records,
    StageRecord,
    check_content,
    open_backup,
    render,
)
from curation.errors import BackupError, StoreError
from curation.files import file_digest, flush_folder, replace_bytes
from curation.store.cleaned_sets import read_cleaned_sets
from curation.store.connection import Connection, catalog_as_it_is
from curation.store.journal import copy_journal, journal
from curation.store.runs import StageState, read_stages
from curation.store.samples import ingested_sources
from curation.store.snapshot import snapshot
from curation.workspace import Workspace

_LEARNED = {"train-similarity": "network", "train-noise": "noise_model"}  # stage -> the file that its record names
_CATALOGUE_TIMEOUT_S = 20.0  # a stage's longest write takes a few seconds
_SECRETS = "secrets.toml is not in it: keep that, and the weights of a local encoder, somewhere else."


@dataclass(frozen=True, slots=True)
class BackupReceipt:
    """What was written: `decisions` says whether there is a journal, `models` which were in step with their records."""

    path: str
    size_bytes: int
    files: int
    sources: int
    decisions: bool
    models: tuple[str, ...]
    exports: int
    nights: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What the published snapshot or the catalogue says."""

    stages: dict[str, StageState]
    sources: tuple[BackedUpSource, ...]


def back_up(workspace: Workspace, out: Path, *, overwrite: bool = False) -> BackupReceipt:
    """Write a backup to `out`, read it back, and only then give it its name.

    Every decision that was acknowledged before is in it. Raises `BackupError` where `out` is there already (without
    `overwrite`) or cannot be written, `StoreError` where the journal cannot be read: a backup without it is none.
    """
    out = out.absolute()
    if out.is_dir() or (out.exists() and not overwrite):
        what = "a folder" if out.is_dir() else "there already"
        raise BackupError(f"{out} is {what}.", hint="Choose another name, or pass --overwrite to replace a file.")
    try:
        with _beside(out) as folder:
            manifest = _gather(workspace, folder)
            written = folder / "backup.tar"
            _write(written, folder, manifest)
            with open_backup(written) as (archive, found):
                check_content(archive, found)
            written.replace(out)
            flush_folder(out.parent)
    except OSError as error:
        raise BackupError(
            f"{out} cannot be written: {error.strerror or error}.", hint="Name a file in a folder you own, with space."
        ) from error
    return _receipt(out, manifest)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    folder = out.with_name(f".{out.name}.{os.getpid()}.partial")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gather(workspace: Workspace, folder: Path) -> BackupManifest:
    """Copy everything into `folder`, under the names of the members."""
    notes = [_SECRETS]
    _copy(workspace.config_file, folder / CONFIG)
    if workspace.journal.exists():
        copy_journal(workspace.journal, folder / JOURNAL)
    else:
        notes.append("There is no decisions.sqlite: nothing was ever ingested or decided here.")
    published, newest = _published(workspace), _newest(workspace, notes)
    exports = _exports(folder / JOURNAL)
    stages = _learned(workspace, folder, [one for one in (published, newest) if one is not None], notes)
    replace_bytes(folder / RECORDS, render(Records(stages=stages, exports=exports)), durable=False)
    for night in sorted(workspace.history.glob("[0-9]*.*")):
        if night.suffix in {".json", ".npy"}:
            _copy_if_there(night, folder / "history" / night.name)
    _copy_manifests(workspace, folder, exports)
    return BackupManifest(
        kind=KIND,
        schema_version=SCHEMA_VERSION,
        tool_version=__version__,
        created_at=datetime.now(UTC),
        workspace=str(workspace.root),
        sources=_sources(workspace, published or newest),
        notes=tuple(notes),
        files=tuple(_file(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()),
    )


def _published(workspace: Workspace) -> _Recorded | None:
    try:
        with snapshot(workspace) as connection:
            return _read(connection)
    except StoreError:
        return None  # nothing is published yet, or it is damaged; the catalogue knows as much


def _newest(workspace: Workspace, notes: list[str]) -> _Recorded | None:
    """A catalogue that is damaged or busy is no reason to go without a backup: a note says what is missing."""
    if not workspace.catalog.exists():
        return None
    try:
        with catalog_as_it_is(workspace, timeout_s=_CATALOGUE_TIMEOUT_S) as connection:
            return _read(connection)
    except StoreError as error:
        notes.append(f"What came after the last published run is not in it, but for decisions: {error.message}")
        return None


def _sources(workspace: Workspace, recorded: _Recorded | None) -> tuple[BackedUpSource, ...]:
    """What was ingested; of a restored workspace, before anything has been ingested, what is to be."""
    restored_from = workspace.root / MANIFEST
    if (recorded is not None and recorded.sources) or not restored_from.is_file():
        return () if recorded is None else recorded.sources
    return BackupManifest.model_validate_json(restored_from.read_bytes()).sources


def _read(connection: Connection) -> _Recorded:
    sources = (BackedUpSource(path=path, role=role, samples=n) for path, role, n in ingested_sources(connection))
    return _Recorded(read_stages(connection), tuple(sources))


def _exports(journal_copy: Path) -> tuple[ExportRecord, ...]:
    """Which exports were made, from the copy, which an older version of the journal is brought up to date in."""
    if not journal_copy.exists():
        return ()
    with journal(journal_copy) as connection:
        return tuple(ExportRecord.model_validate(asdict(record)) for record in read_cleaned_sets(connection))


def _learned(
    workspace: Workspace, folder: Path, recorded: Sequence[_Recorded], notes: list[str]
) -> tuple[StageRecord, ...]:
    """Copy every model whose file is the one that a record of its stage names; returns these records, and `embed`'s.

    While a run learns, the file may be newer than what is published; then the catalogue has its record.
    """
    records = []
    for stage, attribute in _LEARNED.items():
        path: Path = getattr(workspace, attribute)
        if not path.exists():
            continue
        copy = folder / "models" / path.name
        _copy(path, copy)
        digest = file_digest(copy)
        states = [one.stages[stage] for one in recorded if stage in one.stages]
        state = next((state for state in states if state.summary.get("file") == digest), None)
        if state is None:
            copy.unlink()
            notes.append(f"{path.name} is not in it: no stage says that it learned this file, so it will be again.")
        else:
            records.append(state)
    embedded = [one.stages["embed"] for one in recorded if "embed" in one.stages]
    return tuple(StageRecord.model_validate(asdict(state)) for state in (*embedded[:1], *records))


def _copy_manifests(workspace: Workspace, folder: Path, exports: Sequence[ExportRecord]) -> None:
    """Those of exports that are still there, and those that an earlier restore brought along; one a content."""
    found = [Path(export.path) / "manifest.json" for export in exports]
    found += sorted((workspace.root / "manifests").glob("*.json"))
    for path in found:
        if (digest := file_digest(path)) is not None:
            _copy_if_there(path, folder / "manifests" / f"{digest[:16]}.json")


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, to)


def _copy_if_there(path: Path, to: Path) -> None:
    """What a night or a person has just thrown away is no longer part of the workspace."""
    with suppress(FileNotFoundError):
        _copy(path, to)


def _file(path: Path, folder: Path) -> BackedUpFile:
    return BackedUpFile(
        path=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, sha256=file_digest(path) or ""
    )


def _write(path: Path, folder: Path, manifest: BackupManifest) -> None:
    """The manifest first, so that a reader knows what to expect; on the disk when this returns."""
    with path.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            text = render(manifest)
            archive.addfile(_member(MANIFEST, len(text), manifest), io.BytesIO(text))
            for one in manifest.files:
                with (folder / one.path).open("rb") as content:
                    archive.addfile(_member(one.path, one.size_bytes, manifest), content)
        file.flush()
        os.fsync(file.fileno())


def _member(name: str, size: int, manifest: BackupManifest) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = size, int(manifest.created_at.timestamp())
    return member


def _receipt(out: Path, manifest: BackupManifest) -> BackupReceipt:
    names = [file.path for file in manifest.files]
    return BackupReceipt(
        path=str(out),
        size_bytes=out.stat().st_size,
        files=len(names),
        sources=len(manifest.sources),
        decisions=JOURNAL in names,
        models=tuple(name for name in names if name.startswith("models/")),
        exports=sum(name.startswith("manifests/") for name in names),
        nights=sum(name.startswith("history/") and name.endswith(".json") for name in names),
        notes=manifest.notes,
    )

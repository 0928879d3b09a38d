"""`curate restore`: a new workspace from a backup; its images are ingested again, then a run makes everything else.

What was learned comes back with the records of the stages that learned it. The same images give these stages the same
inputs, so they are up to date: nothing is learned again, and the cleaned set is the one from before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from curation.backup_file import (
    CONFIG,
    JOURNAL,
    MANIFEST,
    RECORDS,
    BackedUpSource,
    BackupManifest,
    ExportRecord,
    Records,
    open_backup,
    render,
    unpack,
)
from curation.config import read_config
from curation.errors import BackupError, ConfigError
from curation.files import flush_folder, replace_bytes
from curation.store.cleaned_sets import CleanedSetRecord, put_record, read_cleaned_sets
from curation.store.connection import catalog
from curation.store.journal import journal, journal_as_it_is
from curation.store.journal_check import journal_defects
from curation.store.runs import StageState, put_stage_state
from curation.workspace import Workspace, make_folders, open_workspace


@dataclass(frozen=True, slots=True)
class RestoredSource:
    """A source to ingest; `there` says whether this machine has it at that place."""

    path: str
    role: str
    samples: int
    there: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """The new workspace, when its backup was made, the sources to ingest, and what else should be known."""

    root: Path
    created_at: datetime
    sources: tuple[RestoredSource, ...]
    notes: tuple[str, ...]


def restore(backup: Path, root: Path) -> Restored:
    """Make the workspace `root`, which must not be there or be empty, from a backup.

    It appears whole or not at all. Raises `BackupError` for anything that is not a whole backup: nothing is placed
    whose name, size and digest are not those of the backup's manifest.
    """
    root = root.absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise BackupError(f"{root} exists and is not an empty folder.", hint="Restore into a new folder.")
    with open_backup(backup) as (archive, manifest), _beside(root) as folder:
        unpack(archive, manifest, folder)
        _check_journal(folder, backup)
        notes = _about_config(folder)
        _fill_catalog(folder, backup)
        make_folders(folder)
        replace_bytes(folder / MANIFEST, render(manifest))
        folder.rename(root)
        flush_folder(root.parent)
    open_workspace(root)
    return Restored(root, manifest.created_at, _sources(manifest), (*manifest.notes, *notes))


@contextmanager
def _beside(root: Path) -> Iterator[Path]:
    folder = root.with_name(f".{root.name}.{os.getpid()}.partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # nothing, once it has its name


def _check_journal(folder: Path, backup: Path) -> None:
    if not (folder / JOURNAL).exists():
        return
    with journal_as_it_is(folder / JOURNAL) as connection:
        defects = journal_defects(connection)
    if defects:
        raise BackupError(f"{JOURNAL} in {backup} is damaged: {'; '.join(defects)}.", hint="Take another backup.")


def _about_config(folder: Path) -> list[str]:
    """Sentences on what the configuration asks of this machine."""
    if not (folder / CONFIG).exists():
        raise BackupError(f"the backup has no {CONFIG}.", hint="Take another backup.")
    try:
        config = read_config(folder / CONFIG)
    except ConfigError as error:
        return [f"{CONFIG} was unusable when the backup was made: {error.message}"]
    notes = []
    file = config.embedding.encoder.partition("@")[2]
    if file and not Path(file).is_file():
        notes.append(f"The encoder's weights are not here: put them at {file}, or name another place in {CONFIG}.")
    if config.nightly.train or config.nightly.notify.command:
        notes.append(f"{CONFIG} names commands that `curate nightly` runs: look at them before the first night.")
    return notes


def _fill_catalog(folder: Path, backup: Path) -> None:
    """Put the records back into a new catalogue."""
    path = folder / RECORDS
    try:
        records = Records.model_validate_json(path.read_bytes()) if path.exists() else Records()
    except ValidationError as error:
        raise BackupError(
            f"{RECORDS} in {backup} cannot be understood: {error.errors()[0]['msg']}.", hint="Take another backup."
        ) from error
    path.unlink(missing_ok=True)
    with catalog(Workspace(folder)) as connection:
        for stage in records.stages:
            put_stage_state(connection, StageState(**stage.model_dump() | {"finished_at": _plain(stage.finished_at)}))
    _add_exports(folder, records.exports)


def _add_exports(folder: Path, exports: Iterable[ExportRecord]) -> None:
    """Put those into the journal that it does not know: older versions kept them elsewhere."""
    made = [CleanedSetRecord(**export.model_dump() | {"exported_at": _plain(export.exported_at)}) for export in exports]
    if not made:
        return
    with journal(folder / JOURNAL) as connection:
        known = read_cleaned_sets(connection)
        for record in made:
            if record not in known:
                put_record(connection, record)


def _plain(moment: datetime) -> datetime:
    """As the catalogue holds it: UTC without an offset."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _sources(manifest: BackupManifest) -> tuple[RestoredSource, ...]:
    return tuple(_source(source) for source in manifest.sources)


def _source(source: BackedUpSource) -> RestoredSource:
    return RestoredSource(source.path, source.role.value, source.samples, Path(source.path).exists())

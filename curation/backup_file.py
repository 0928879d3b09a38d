"""What a backup is: a tar file whose first member, `backup.json`, names every other one with its SHA-256.

    backup.json             what the backup holds, and of which workspace
    curate.toml             its configuration
    decisions.sqlite        what people decided, the audits, the category ids
    records.json            the stages that made the models, and every export that was recorded
    models/*.safetensors    what was learned
    history/*               what every night left
    manifests/*.json        `manifest.json` of the exports

A backup may come from anywhere, so nothing of it is believed: names are compared with the few that there are, sizes and
digests with what the manifest says, before a byte is placed.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curation.errors import BackupError
from curation.values import Role

MANIFEST = "backup.json"
KIND = "webnoise-curation backup"
SCHEMA_VERSION = 1

CONFIG, JOURNAL, RECORDS = "curate.toml", "decisions.sqlite", "records.json"
_NAMES = re.compile(
    r"curate\.toml|decisions\.sqlite|records\.json|models/(similarity|noise)\.safetensors"
    r"|history/[0-9A-Za-z-]{1,64}\.(json|npy)|manifests/[0-9a-f]{16}\.json"
)
_LARGEST_MANIFEST = 64 * 2**20  # bytes; one of a hundred thousand files has a tenth of that
_NOT_A_BACKUP = "Name a file that `curate backup` wrote."


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BackedUpFile(_Part):
    """One member: its name, its size in bytes and the SHA-256 of its content, 64 hex digits."""

    path: str
    size_bytes: int = Field(ge=0)
    sha256: str


class BackedUpSource(_Part):
    """A source to ingest again: its absolute path where the backup was made, and how many samples came of it."""

    path: str
    role: Role
    samples: int


class StageRecord(_Part):
    """The state of a stage, as the catalogue had it."""

    stage: str
    fingerprint: str
    run_id: str
    finished_at: datetime
    summary: dict[str, Any]


class ExportRecord(_Part):
    """One export, as the journal has it."""

    content_hash: str
    exported_at: datetime
    format: str
    path: str
    kept: int
    set_aside: int


class Records(_Part):
    """What is put back into the catalogue."""

    stages: tuple[StageRecord, ...] = ()
    exports: tuple[ExportRecord, ...] = ()


class BackupManifest(_Part):
    """`notes` are sentences on what is not in the backup and why."""

    kind: Literal["webnoise-curation backup"]
    schema_version: int
    tool_version: str
    created_at: datetime
    workspace: str
    sources: tuple[BackedUpSource, ...]
    notes: tuple[str, ...]
    files: tuple[BackedUpFile, ...]


def render(part: BaseModel) -> bytes:
    """A part of a backup as JSON."""
    return (json.dumps(part.model_dump(mode="json"), indent=2, allow_nan=False) + "\n").encode()


@contextmanager
def open_backup(path: Path) -> Iterator[tuple[tarfile.TarFile, BackupManifest]]:
    """The archive and its manifest, its members compared with it; raises `BackupError` for any other file."""
    if not path.is_file():
        raise BackupError(f"there is no file {path}.", hint=_NOT_A_BACKUP)
    try:
        with tarfile.open(path, "r:") as archive:  # not compressed, so it cannot grow beyond its own size
            manifest = _manifest(archive, path)
            _check_members(archive, manifest, path)
            yield archive, manifest
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{path} is no whole backup: {error}.", hint=_NOT_A_BACKUP) from error
    except OSError as error:
        raise BackupError(
            f"{path} cannot be read or unpacked: {error.strerror or error}.", hint="Check the disk and permissions."
        ) from error


def unpack(archive: tarfile.TarFile, manifest: BackupManifest, folder: Path) -> None:
    """Place every member in `folder`, each checked once it is there; raises `BackupError` for one that differs."""
    for file in manifest.files:
        archive.extract(file.path, folder, filter="data")
        with (folder / file.path).open("rb") as placed:
            _check_digest(file, hashlib.file_digest(placed, "sha256").hexdigest())


def check_content(archive: tarfile.TarFile, manifest: BackupManifest) -> None:
    """Read every member and compare its digest; raises `BackupError` for one that differs."""
    for file in manifest.files:
        content = archive.extractfile(file.path)
        # tarfile gives a reader that fills buffers, as `file_digest` asks; its type does not say so.
        digest = "" if content is None else hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
        _check_digest(file, digest)


def _check_digest(file: BackedUpFile, digest: str) -> None:
    if digest != file.sha256:
        raise BackupError(
            f"{file.path} in the backup is damaged: its SHA-256 is not the one noted.", hint="Take another backup."
        )


def _manifest(archive: tarfile.TarFile, path: Path) -> BackupManifest:
    first = archive.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.issparse():
        raise BackupError(f"{path} is not a backup: it does not begin with {MANIFEST}.", hint=_NOT_A_BACKUP)
    if first.size > _LARGEST_MANIFEST:
        raise BackupError(f"{path} is not a backup: its {MANIFEST} has {first.size:,} bytes.", hint=_NOT_A_BACKUP)
    content = archive.extractfile(first)
    text = b"" if content is None else content.read()
    try:
        values = json.loads(text)
        version = values.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise BackupError(
                f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}.",
                hint="Install the newer version of webnoise-curation that wrote it.",
            )
        return BackupManifest.model_validate(values)
    except (ValueError, AttributeError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise BackupError(
            f"{path} is not a backup: its {MANIFEST} is damaged ({reason}).", hint=_NOT_A_BACKUP
        ) from error


def _check_members(archive: tarfile.TarFile, manifest: BackupManifest, path: Path) -> None:
    """Raise `BackupError` unless there is exactly what the manifest names, as plain files of these sizes."""
    expected = {MANIFEST: None, **{file.path: file.size_bytes for file in manifest.files}}
    members = archive.getmembers()
    strange = [name for name in expected if name != MANIFEST and not _NAMES.fullmatch(name)]
    strange += [member.name for member in members if member.name not in expected]
    strange += [member.name for member in members if not member.isreg() or member.issparse()]
    sizes = {member.name: member.size for member in members}
    wrong = [name for name, size in expected.items() if size is not None and sizes.get(name) != size]
    if strange:
        raise BackupError(
            f"{path} holds what no backup holds: {strange[0]!r}.", hint="Do not trust where it comes from."
        )
    if wrong or len(members) != len(expected) or len(manifest.files) + 1 != len(expected):
        which = wrong[0] if wrong else "one of its files"
        raise BackupError(
            f"{path} is not whole: {which} is missing, of another size, or there twice.", hint="Take another backup."
        )

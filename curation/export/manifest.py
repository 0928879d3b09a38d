"""What an export says of itself, in `manifest.json`: what is in it, what made it, and how to check it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from pydantic_core import to_jsonable_python

from curation import __version__
from curation.errors import ExportError
from curation.export.tables import DECIMALS
from curation.values import CleanedSample, SetAside

MANIFEST = "manifest.json"
SCHEMA_VERSION = 3
KIND = "webnoise-curation cleaned set"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Counts(_Part):
    """Where every sample went: considered = kept + set_aside, and both again by reason and category.

    In an export of everything, `marked_by_reason` counts those among the kept that the cleaned set leaves out. In a
    split one, `kept_by_split` counts the kept again by part.
    """

    considered: int
    kept: int
    set_aside: int
    set_aside_by_reason: dict[str, int]
    kept_by_category: dict[str, int]
    marked_by_reason: dict[str, int] = {}
    kept_by_split: dict[str, int] = {}

    def contradiction(self) -> str:
        """One sentence on counts that do not add up; empty where they do."""
        if self.considered != self.kept + self.set_aside:
            return f"{self.considered} samples were considered, {self.kept} kept and {self.set_aside} set aside"
        if self.set_aside != sum(self.set_aside_by_reason.values()):
            return f"{self.set_aside} samples were set aside, {sum(self.set_aside_by_reason.values())} with a reason"
        if self.kept != sum(self.kept_by_category.values()):
            return f"{self.kept} samples were kept, {sum(self.kept_by_category.values())} in the categories together"
        if self.kept_by_split and self.kept != (parts := sum(self.kept_by_split.values())):
            return f"{self.kept} samples were kept, {parts} in the parts of the split together"
        if self.kept < (marked := sum(self.marked_by_reason.values())):
            return f"{self.kept} samples were kept, {marked} are marked"
        return ""


class FileDigest(_Part):
    """One file at the top of the export. An image in a folder has its digest in `samples.csv` instead."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(_Part):
    """`content_hash` is of what is in the export; `cleaned_set_hash` of the set it was asked to write.

    They differ exactly when images changed or vanished in between; `notes` then says so. `folders` are those of the
    categories, where the format has such; together with `files` they are everything there is beside this manifest.
    """

    kind: Literal["webnoise-curation cleaned set"]
    schema_version: int
    format: str
    tool_version: str
    created_at: AwareDatetime
    content_hash: str
    cleaned_set_hash: str
    counts: Counts
    notes: tuple[str, ...]
    files: tuple[FileDigest, ...]
    folders: tuple[str, ...]
    provenance: dict[str, Any]


def content_hash_of(kept: Iterable[CleanedSample]) -> str:
    """Identify a choice of samples: SHA-256 over sample id, image digest, category, weight as written and mark, sorted.

    The order of `kept` does not matter; the weight counts with the decimals that exports write, so that noise in the
    last bits of a computation does not make another set. The mark `set_aside` counts where there is one: everything
    marked under one promise is another set than under another. Flags, suggestions and the split do not count.
    """
    digest = sha256()
    for line in sorted(_identity(sample) for sample in kept):
        digest.update(line)
    return digest.hexdigest()


def _identity(sample: CleanedSample) -> bytes:
    parts = [sample.sample_id, sample.sha256, sample.category, f"{sample.weight:.{DECIMALS}f}"]
    if sample.set_aside is not None:
        parts.append(sample.set_aside)
    return ("\0".join(parts) + "\n").encode("utf-8", "backslashreplace")


def count(kept: Sequence[CleanedSample], set_aside: Sequence[SetAside], *, considered: int) -> Counts:
    """Count what went where; raises `ExportError` when a sample is missing or counted twice."""
    counts = Counts(
        considered=considered,
        kept=len(kept),
        set_aside=len(set_aside),
        set_aside_by_reason=dict(sorted(Counter(item.reason for item in set_aside).items())),
        kept_by_category=dict(sorted(Counter(sample.category for sample in kept).items())),
        marked_by_reason=dict(sorted(Counter(s.set_aside for s in kept if s.set_aside is not None).items())),
        kept_by_split=dict(Counter(s.split for s in kept if s.split is not None)),
    )
    if contradiction := counts.contradiction():
        raise ExportError(f"the counts do not balance: {contradiction}.", hint="This is a defect; please report it.")
    return counts


def new_manifest(
    *,
    export_format: str,
    content_hash: str,
    cleaned_set_hash: str,
    counts: Counts,
    notes: Sequence[str],
    files: Sequence[FileDigest],
    folders: Sequence[str],
    provenance: dict[str, Any],
) -> Manifest:
    """A manifest of now, by this version of the tool."""
    return Manifest(
        kind=KIND,
        schema_version=SCHEMA_VERSION,
        format=export_format,
        tool_version=__version__,
        created_at=datetime.now(UTC),
        content_hash=content_hash,
        cleaned_set_hash=cleaned_set_hash,
        counts=counts,
        notes=tuple(notes),
        files=tuple(files),
        folders=tuple(folders),
        provenance=provenance,
    )


def render_manifest(manifest: Manifest) -> str:
    """The text of `manifest.json`."""
    return json.dumps(manifest.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"


def plain_provenance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """`provenance` as JSON holds it: paths and dates as text, a figure that is no number (NaN, infinity) as null.

    Raises `ExportError` for what has no such form.
    """
    try:
        plain: dict[str, Any] = to_jsonable_python(dict(provenance), inf_nan_mode="null")
    except ValueError as error:
        raise ExportError(
            f"the provenance of the cleaned set cannot be written as JSON: {error}.",
            hint="Give numbers, text, lists and dictionaries; None for what is not known.",
        ) from error
    return plain


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json`; `ExportError` says whether it is missing, foreign, of a newer schema or damaged."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ExportError(f"there is no folder {folder}.", hint="Name the folder that `curate export --out` wrote.")
    if not is_export(folder):
        raise ExportError(
            f"{folder} is not an export of this tool: it has no {MANIFEST} of kind {KIND!r}.",
            hint="Name the folder that `curate export --out` wrote.",
        )
    values = json.loads(path.read_bytes())
    if isinstance(version := values.get("schema_version"), int) and version > SCHEMA_VERSION:
        raise ExportError(
            f"{path} has schema version {version}; this version of the tool reads up to {SCHEMA_VERSION}.",
            hint="Update webnoise-curation, or export again with this version.",
        )
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ExportError(
            f"{path} is damaged: {where}: {first['msg']}.", hint="Make the export again with `curate export`."
        ) from error


def is_export(folder: Path) -> bool:
    """Whether the folder was written by this tool: it holds a manifest of our kind."""
    try:
        values = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and values.get("kind") == KIND

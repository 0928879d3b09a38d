"""Write a cleaned set in one of the formats: checked before, read back after, whole or not there."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, NamedTuple

from curation.errors import ExportError
from curation.export.card import card_text
from curation.export.formats import Format, find_format
from curation.export.imagefolder import PASSED_OVER_BY_TORCHVISION
from curation.export.manifest import (
    MANIFEST,
    FileDigest,
    Manifest,
    content_hash_of,
    count,
    new_manifest,
    plain_provenance,
    render_manifest,
)
from curation.export.names import CARD, category_folders, image_suffix
from curation.export.reading import check_export, read_export
from curation.export.staging import staged_folder
from curation.export.storage import CheckedImage, Placement, StorageOptions
from curation.export.tables import new_sample_table, write_categories, write_set_aside
from curation.files import replace_text
from curation.progress import Progress, silent
from curation.sources.location import UnreadableImageError
from curation.values import CleanedSample, CleanedSet, FlagName, SetAside

ReadBytes = Callable[[str], bytes]

_SAMPLE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")  # part of file names and the key of tar members, which has no dot


@dataclass(frozen=True, slots=True)
class ExportReceipt:
    """What was written. `content_hash` is of what is in the export, after unreadable images were set aside."""

    folder: Path
    format: str
    content_hash: str
    kept: int
    set_aside: int
    set_aside_by_reason: dict[str, int]
    marked_by_reason: dict[str, int]
    image_bytes: int
    linked: int
    notes: tuple[str, ...]


class _Written(NamedTuple):
    """What became of the images: parallel `samples` and `placements`, and those that could not be read.

    `forms` counts the images written by the suffix that belongs to their bytes.
    """

    samples: list[CleanedSample]
    placements: list[Placement]
    lost: list[SetAside]
    forms: Counter[str]


def export_cleaned_set(
    cleaned_set: CleanedSet,
    out: Path,
    export_format: str,
    *,
    read_bytes: ReadBytes,
    hard_links: bool = False,
    overwrite: bool = False,
    beside: Mapping[str, bytes] | None = None,
    notes: Sequence[str] = (),
    progress: Progress = silent,
) -> ExportReceipt:
    """Write `cleaned_set` to the folder `out` as one of `FORMATS`, reading each image once through `read_bytes`.

    A sample whose bytes cannot be read, or are no longer those that were ingested, is set aside as `unreadable`. With
    `hard_links` the format `imagefolder` links plain files instead of copying them, where the file system can.
    `beside` are further files by name, to lie beside the tables; `notes` go into the manifest with what is noted while
    it is written. Raises `ExportError`, and then leaves nothing behind, when the set contradicts itself, `out` may not
    be written or replaced, nothing is left to export, or what was written does not read back.
    """
    chosen = find_format(export_format)
    _check(cleaned_set)
    provenance = plain_provenance(cleaned_set.provenance)
    options = StorageOptions(
        folders=category_folders(cleaned_set.categories),
        labels=_labels(cleaned_set),
        hard_links=hard_links,
        samples=Counter(sample.split for sample in cleaned_set.kept),
    )
    with staged_folder(out, overwrite=overwrite) as folder:
        written = _write_images(folder, cleaned_set.kept, chosen, options, read_bytes, progress)
        for name, data in (beside or {}).items():
            (folder / name).write_bytes(data)
        manifest = _write_tables(
            folder, cleaned_set, written, export_format, options, provenance, notes=notes, name=out.name
        )
        check_export(read_export(folder), progress)
    return ExportReceipt(
        folder=out,
        format=export_format,
        content_hash=manifest.content_hash,
        kept=manifest.counts.kept,
        set_aside=manifest.counts.set_aside,
        set_aside_by_reason=manifest.counts.set_aside_by_reason,
        marked_by_reason=manifest.counts.marked_by_reason,
        image_bytes=sum(placement.size_bytes for placement in written.placements),
        linked=sum(placement.linked for placement in written.placements),
        notes=manifest.notes,
    )


def _labels(cleaned_set: CleanedSet) -> tuple[str, ...]:
    """The names of the categories that are in it, by id."""
    return tuple(sorted({sample.category for sample in cleaned_set.kept}, key=cleaned_set.categories.__getitem__))


def _check(cleaned_set: CleanedSet) -> None:
    """Refuse a set that contradicts itself, before anything is written."""
    if problem := next(_problems(cleaned_set), ""):
        raise ExportError(
            f"this cleaned set cannot be exported: {problem}.", hint="This is a defect; please report it."
        )


def _problems(cleaned_set: CleanedSet) -> Iterator[str]:
    ids = Counter(sample.sample_id for sample in cleaned_set.kept)
    ids.update(sample.sample_id for sample in cleaned_set.set_aside)
    yield from (f"sample {sample_id} occurs {times} times" for sample_id, times in ids.items() if times > 1)
    if len(set(cleaned_set.categories.values())) < len(cleaned_set.categories):
        yield "two categories have the same id"
    for sample in cleaned_set.kept:
        if not _SAMPLE_ID.fullmatch(sample.sample_id):
            yield f"sample id {sample.sample_id!r} is not made of letters, digits, - and _"
        if cleaned_set.categories.get(sample.category) != sample.category_id:
            yield f"sample {sample.sample_id} has category {sample.category!r} with id {sample.category_id}"
        if not (math.isfinite(sample.weight) and sample.weight >= 0):
            yield f"sample {sample.sample_id} has weight {sample.weight}, expected a number from 0"
        for name in ("noise_probability", "suggested_probability"):
            probability = getattr(sample, name)
            if probability is not None and not 0 <= probability <= 1:
                yield f"sample {sample.sample_id} has {name.replace('_', ' ')} {probability}, expected 0 to 1"
    if content_hash_of(cleaned_set.kept) != cleaned_set.content_hash:
        yield "its content hash does not belong to its samples"


def _write_images(
    folder: Path,
    kept: tuple[CleanedSample, ...],
    chosen: Format,
    options: StorageOptions,
    read_bytes: ReadBytes,
    progress: Progress,
) -> _Written:
    """Stream every image from its source into the export, and `samples.csv` beside it."""
    written = _Written([], [], [], Counter())
    images = _checked_images(kept, read_bytes, written, progress)
    with new_sample_table(folder) as add_row, closing(chosen.write_images(folder, images, options)) as placed:
        for sample, placement in placed:
            add_row(sample, placement)
            written.samples.append(sample)
            written.placements.append(placement)
    if not written.samples:
        raise ExportError(
            f"nothing is left to export: all of {len(kept)} kept samples are unreadable.",
            hint="Are the sources still where they were ingested from?" if kept else "Keep at least one sample.",
        )
    return written


def _checked_images(
    kept: Iterable[CleanedSample], read_bytes: ReadBytes, written: _Written, progress: Progress
) -> Iterator[CheckedImage]:
    """The samples with their bytes; those without, or with other bytes than were ingested, go to `written.lost`."""
    kept = tuple(kept)
    for done, sample in enumerate(kept, start=1):
        try:
            data = read_bytes(sample.uri)
        except UnreadableImageError as error:
            written.lost.append(_unreadable(sample, error.reason))
        except OSError as error:
            written.lost.append(_unreadable(sample, error.strerror or str(error)))
        else:
            if sha256(data).hexdigest() == sample.sha256:
                written.forms[image_suffix(data)] += 1
                yield CheckedImage(sample, data)
            else:
                written.lost.append(_unreadable(sample, "the bytes have changed since they were ingested"))
        progress("exporting", done, len(kept))


def _unreadable(sample: CleanedSample, detail: str) -> SetAside:
    return SetAside(
        sample.sample_id, sample.image_id, sample.web_category, sample.uri, FlagName.UNREADABLE.value, detail
    )


def _write_tables(
    folder: Path,
    cleaned_set: CleanedSet,
    written: _Written,
    export_format: str,
    options: StorageOptions,
    provenance: dict[str, Any],
    *,
    notes: Sequence[str],
    name: str,
) -> Manifest:
    """Write what goes beside the images; the manifest comes last, because it has the digests of the others.

    `name` is what the folder will be called.
    """
    set_aside = (*cleaned_set.set_aside, *written.lost)
    write_categories(folder, cleaned_set.categories, options.folders)
    write_set_aside(folder, set_aside)
    entries = sorted(folder.iterdir())
    manifest = new_manifest(
        export_format=export_format,
        content_hash=content_hash_of(written.samples),
        cleaned_set_hash=cleaned_set.content_hash,
        counts=count(written.samples, set_aside, considered=cleaned_set.total),
        notes=[*notes, *_notes(written, options)],
        files=[_digest(path) for path in entries if path.is_file()],
        folders=[path.name for path in entries if path.is_dir()],
        provenance=provenance,
    )
    (folder / CARD).write_text(card_text(name, manifest, written.samples, written.forms), encoding="utf-8")
    manifest = manifest.model_copy(update={"files": (_digest(folder / CARD), *manifest.files)})
    replace_text(folder / MANIFEST, render_manifest(manifest))
    return manifest


def _digest(path: Path) -> FileDigest:
    with path.open("rb") as file:
        return FileDigest(
            path=path.name, size_bytes=path.stat().st_size, sha256=file_digest(file, "sha256").hexdigest()
        )


def _notes(written: _Written, options: StorageOptions) -> list[str]:
    """What the reader of the manifest should know, one sentence each."""
    notes = []
    if written.lost:
        notes.append(f"{len(written.lost)} samples were set aside because their bytes are gone or have changed.")
    copied = sum(not placement.linked for placement in written.placements)
    if options.hard_links and copied:
        notes.append(f"{copied} of {len(written.samples)} images are not hard links: these were not possible there.")
    notes += _missing_from_parts(written.samples)
    passed_over = sum(placement.file.endswith(PASSED_OVER_BY_TORCHVISION) for placement in written.placements)
    if passed_over:
        notes.append(
            f"{passed_over} images are of formats that torchvision's ImageFolder passes over (GIF, AVIF, JPEG 2000)."
        )
    return notes


def _missing_from_parts(samples: Sequence[CleanedSample]) -> list[str]:
    """What makes loaders that number the categories they find number them differently in two parts of a split."""
    parts = {sample.split for sample in samples}
    found = Counter(category for category, _ in {(sample.category, sample.split) for sample in samples})
    missing = sorted(category for category, number in found.items() if number < len(parts))
    if not missing:
        return []
    return [
        f"{len(missing)} categories are not in every part of the split, having too few pictures ({missing[0]}, ...): "
        "take category ids from samples.csv rather than counting folders."
    ]

"""Read an export back, whatever its format: what training pipelines import. Nothing here needs the workspace.

>>> exported = read_export(Path("cleaned"))                      # doctest: +SKIP
>>> exported.image_bytes(0), exported.category_ids, exported.weights  # doctest: +SKIP
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest, sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.errors import ExportError
from curation.export.formats import find_format
from curation.export.manifest import FileDigest, Manifest, content_hash_of, read_manifest
from curation.export.names import SIMILARITY_NETWORK
from curation.export.storage import Placement
from curation.export.tables import read_categories, read_samples, read_set_aside
from curation.progress import Progress, silent
from curation.sources.location import UnreadableImageError, read_bytes
from curation.values import CleanedSample, FloatArray, SetAside

_AGAIN = "Make the export again with `curate export`."


@dataclass(frozen=True)
class ExportedSet:
    """A cleaned set as a training pipeline sees it: `samples` and, by the same index, their bytes.

    It holds no open file and can be pickled, so every worker of a data loader may have a copy. With `verify` the bytes
    of each image are compared with their SHA-256 whenever they are read.
    """

    folder: Path
    manifest: Manifest
    samples: tuple[CleanedSample, ...]
    placements: tuple[Placement, ...]
    categories: dict[str, int]
    verify: bool = True

    def __len__(self) -> int:
        return len(self.samples)

    def image_bytes(self, index: int) -> bytes:
        """The encoded image of `samples[index]`; raises `ExportError` when it is gone or damaged."""
        sample = self.samples[index]
        try:
            data = read_bytes(self.image_uri(index))
        except UnreadableImageError as error:
            raise self._damaged(index, error.reason) from error
        if self.verify and sha256(data).hexdigest() != sample.sha256:
            raise self._damaged(index, "its bytes are not those that were exported")
        return data

    def image_uri(self, index: int) -> str:
        """Where the bytes of `samples[index]` are (`curation.sources.location`)."""
        return find_format(self.manifest.format).image_uri(self.folder, self.samples[index], self.placements[index])

    @cached_property
    def weights(self) -> FloatArray:
        """Sample weights, float32, shape (N,); high = trust."""
        return np.array([sample.weight for sample in self.samples], dtype=np.float32)

    @cached_property
    def category_ids(self) -> NDArray[np.int64]:
        """Category ids, int64, shape (N,): stable over all exports of a workspace, not necessarily 0 to C - 1."""
        return np.array([sample.category_id for sample in self.samples], dtype=np.int64)

    @property
    def similarity_network(self) -> Path | None:
        """The similarity network that the weights are of (`curation.similarity.checkpoint`), where it was exported."""
        is_there = any(file.path == SIMILARITY_NETWORK for file in self.manifest.files)
        return self.folder / SIMILARITY_NETWORK if is_there else None

    @property
    def encoder(self) -> str | None:
        """The configured name of the encoder, as `curation.encoders.load_encoder` takes it; `None` in old exports."""
        return self.manifest.provenance.get("encoder_name")

    @property
    def encoder_identity(self) -> str | None:
        """What tells the encoder and its weights from all others."""
        return self.manifest.provenance.get("encoder")

    def set_aside(self) -> tuple[SetAside, ...]:
        """The samples that are not in, each with its reason."""
        return read_set_aside(self.folder)

    def _damaged(self, index: int, what: str) -> ExportError:
        sample, placement = self.samples[index], self.placements[index]
        where = self.folder / placement.file if placement.file else sample.uri
        return ExportError(f"image {index} of the export (sample {sample.sample_id}, {where}): {what}.", hint=_AGAIN)


def read_export(folder: Path, *, verify: bool = True) -> ExportedSet:
    """Open the export in `folder`; no image is read yet.

    With `verify` the tables are compared with the digests in the manifest, the samples with its content hash, and the
    sizes of all files with what was written. Raises `ExportError` when the folder is missing, no export of ours, of a
    newer schema, or damaged.
    """
    folder = folder.absolute()
    manifest = read_manifest(folder)
    find_format(manifest.format)
    rows = list(read_samples(folder))
    exported = ExportedSet(
        folder=folder,
        manifest=manifest,
        samples=tuple(sample for sample, _ in rows),
        placements=tuple(placement for _, placement in rows),
        categories=read_categories(folder),
        verify=verify,
    )
    if verify:
        _check_files(exported)
        _check_samples(exported)
    return exported


def check_export(exported: ExportedSet, progress: Progress = silent) -> None:
    """Read everything and compare it with its SHA-256; raises `ExportError` at the first that differs.

    Images that lie outside the export (format `csv`) are not read.
    """
    for file in exported.manifest.files:
        _check_digest(exported.folder, file)
    if not find_format(exported.manifest.format).holds_images:
        return
    for index in range(len(exported)):
        exported.image_bytes(index)
        progress("checking", index + 1, len(exported))


def _check_files(exported: ExportedSet) -> None:
    """Every file has the size that was written; the tables also the digest."""
    for file in exported.manifest.files:
        _check_size(exported.folder / file.path, file.size_bytes)
        if file.path.endswith(".csv"):
            _check_digest(exported.folder, file)
    whole_files = {file.path for file in exported.manifest.files}
    for placement in exported.placements:
        if placement.file and placement.file not in whole_files:
            _check_size(exported.folder / placement.file, placement.size_bytes)


def _check_samples(exported: ExportedSet) -> None:
    """The samples are those that the manifest speaks of, and their categories have their ids."""
    counts, path = exported.manifest.counts, exported.folder
    if contradiction := counts.contradiction():
        raise ExportError(f"the manifest of {path} contradicts itself: {contradiction}.", hint=_AGAIN)
    marked = Counter(sample.set_aside for sample in exported.samples if sample.set_aside is not None)
    if (
        dict(Counter(s.category for s in exported.samples)) != counts.kept_by_category
        or marked != counts.marked_by_reason
    ):
        raise ExportError(f"the samples of {path} are not those that its manifest counts.", hint=_AGAIN)
    if dict(Counter(item.reason for item in exported.set_aside())) != counts.set_aside_by_reason:
        raise ExportError(f"the samples set aside in {path} are not those that its manifest counts.", hint=_AGAIN)
    if content_hash_of(exported.samples) != exported.manifest.content_hash:
        raise ExportError(f"the samples of {path} do not have the content hash of its manifest.", hint=_AGAIN)
    wrong = [sample for sample in exported.samples if exported.categories.get(sample.category) != sample.category_id]
    if wrong:
        raise ExportError(f"{path}: category {wrong[0].category!r} is not in its categories.csv.", hint=_AGAIN)


def _check_size(path: Path, expected: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise ExportError(f"{path} of the export is gone: {error.strerror}.", hint=_AGAIN) from error
    if found != expected:
        raise ExportError(f"{path} has {found} bytes, {expected} were written.", hint=_AGAIN)


def _check_digest(folder: Path, expected: FileDigest) -> None:
    try:
        with (folder / expected.path).open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ExportError(f"{folder / expected.path} cannot be read: {error.strerror}.", hint=_AGAIN) from error
    if found != expected.sha256:
        raise ExportError(f"{folder / expected.path} is damaged: it is not the file that was written.", hint=_AGAIN)

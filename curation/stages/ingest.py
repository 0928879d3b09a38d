"""`curate ingest`: a source becomes samples; a second ingest of it adds only what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from curation.errors import SourceError
from curation.progress import Progress, silent
from curation.sources import SourceListing, list_source
from curation.sources.location import UnreadableImageError, read_bytes
from curation.store.category_ids import number_categories
from curation.store.connection import catalog
from curation.store.journal import journal
from curation.store.samples import category_names, known_entries, known_sample_ids, put_samples, remove_samples
from curation.store.snapshot import publish_snapshot
from curation.values import Role, Sample, SourceEntry, sample_id_of
from curation.workspace import Workspace

_BATCH = 500  # samples hashed between two short transactions: a kill loses the hashing of at most this many


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Where every listed image went: listed = added + changed + moved + known; unreadable ones are among them."""

    source: str
    kind: str
    role: str
    categories: int
    listed: int
    added: int
    changed: int
    moved: int
    known: int
    unreadable: int
    gone: int
    ignored: dict[str, int]


def ingest(workspace: Workspace, source: Path, role: Role, progress: Progress = silent) -> IngestReport:
    """Add the images of `source` as samples of `role`; raises `SourceError` before anything is written."""
    listing = list_source(source)
    categories = {entry.category for entry in listing.entries}
    with catalog(workspace) as connection:
        _refuse_both_roles(categories, role, {other: category_names(connection, other) for other in Role})
        known = known_entries(connection, listing.name, role)
    with journal(workspace.journal) as connection_to_journal:
        number_categories(connection_to_journal, categories)
    counts = _add_new(workspace, listing, role, known, progress)
    publish_snapshot(workspace)
    present = {(entry.uri, entry.category) for entry in listing.entries}
    return IngestReport(
        source=listing.name,
        kind=listing.kind,
        role=role.value,
        categories=len(categories),
        listed=len(listing.entries),
        added=counts["added"],
        changed=counts["changed"],
        moved=counts["moved"],
        known=counts["known"],
        unreadable=counts["unreadable"],
        gone=len(known.keys() - present),
        ignored=dict(listing.ignored),
    )


def _refuse_both_roles(categories: set[str], role: Role, names: dict[Role, set[str]]) -> None:
    """A category is clean (base) or gathered from the web (novel), never both."""
    opposite = {Role.BASE: Role.NOVEL, Role.NOVEL: Role.BASE}.get(role)
    both = sorted(categories & names[opposite]) if opposite else []
    if both:
        shown = f"{', '.join(both[:5])}{' ...' if len(both) > 5 else ''}"
        raise SourceError(
            f"{len(both)} categories would be both base and novel: {shown}.",
            hint="Base and novel categories are disjoint: rename them, or ingest this source in the other role.",
        )


def _add_new(
    workspace: Workspace,
    listing: SourceListing,
    role: Role,
    known: dict[tuple[str, str], tuple[str, str]],
    progress: Progress,
) -> Counter[str]:
    counts: Counter[str] = Counter()
    new = [entry for entry in listing.entries if known.get((entry.uri, entry.category), ("", ""))[1] != entry.version]
    counts["known"] = len(listing.entries) - len(new)
    for start in range(0, len(new), _BATCH):
        samples = list(_read(new[start : start + _BATCH], role, listing.name))
        _store(workspace, samples, known, counts)
        counts["unreadable"] += sum(sample.reason is not None for sample in samples)
        progress("reading", start + len(samples), len(new))
    return counts


def _read(entries: Sequence[SourceEntry], role: Role, source: str) -> Iterator[Sample]:
    for entry in entries:
        digest, reason = _digest(entry.uri)
        yield Sample(
            sample_id=sample_id_of(role, entry.category, entry.image_id, digest),
            image_id=entry.image_id,
            role=role,
            category=entry.category,
            uri=entry.uri,
            version=entry.version,
            sha256=digest,
            reason=reason,
            source=source,
            crawl=entry.crawl,
        )


def _digest(uri: str) -> tuple[str | None, str | None]:
    """(SHA-256 of the bytes, None) or (None, the reason why there are none)."""
    try:
        return sha256(read_bytes(uri)).hexdigest(), None
    except UnreadableImageError as error:
        return None, error.reason


def _store(
    workspace: Workspace, samples: Sequence[Sample], known: dict[tuple[str, str], tuple[str, str]], counts: Counter[str]
) -> None:
    """Write one batch, telling apart what is new, what replaced another image at its place, and what only moved."""
    unique = {sample.sample_id: sample for sample in samples}
    counts["known"] += len(samples) - len(unique)
    with catalog(workspace) as connection:
        there = known_sample_ids(connection, list(unique))
        replaced = []
        for sample in unique.values():
            before = known.get((sample.uri, sample.category))
            if before is not None and before[0] != sample.sample_id:
                replaced.append(before[0])
                counts["changed"] += 1
            elif sample.sample_id not in there:
                counts["added"] += 1
            else:
                counts["known" if before is not None else "moved"] += 1
        if replaced:
            remove_samples(connection, replaced)
        put_samples(connection, list(unique.values()))

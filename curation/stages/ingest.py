"""`curate ingest`: a source becomes samples; a second ingest of it adds only what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from curation.errors import SourceError
from curation.progress import Progress, silent
from curation.run_lock import run_lock
from curation.sources import SourceListing, list_source
from curation.sources.location import UnreadableImageError, read_bytes
from curation.store.category_ids import number_categories
from curation.store.connection import Connection, catalog
from curation.store.journal import journal
from curation.store.runs import read_stages
from curation.store.samples import (
    KnownEntry,
    Place,
    category_names,
    has_unscored_samples,
    known_entries,
    known_sample_ids,
    put_samples,
    remove_samples,
    update_crawl_facts,
)
from curation.store.snapshot import is_published, publish_snapshot
from curation.values import Role, Sample, SourceEntry, sample_id_of
from curation.workspace import Workspace

_BATCH = 500  # samples hashed between two short transactions: a kill loses the hashing of at most this many


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Where every listed image went: listed = added + changed + moved + known; unreadable ones are among them.

    `read` is how many files were opened, `described_anew` how many known images have other crawl facts than before,
    `gone` how many known images are no longer listed, and `removed` how many of those are no samples any more.
    `gone_share`, [0, 1], is that of the images known before.
    """

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
    described_anew: int
    gone: int
    removed: int
    gone_share: float
    read: int
    ignored: dict[str, int]


@dataclass(frozen=True, slots=True)
class SourceSurvey:
    """What an ingest would meet: listed images, those it would read (new or changed), known ones no longer listed."""

    source: str
    kind: str
    role: str
    listed: int
    read: int
    gone: int
    gone_share: float


def ingest(
    workspace: Workspace,
    source: Path,
    role: Role,
    progress: Progress = silent,
    *,
    remove_gone_up_to: float | None = None,
) -> IngestReport:
    """Add the images of `source` as samples of `role`; raises `SourceError` before anything is written.

    Images that are no longer listed stay samples. With `remove_gone_up_to` they are removed, if they are at most this
    share, [0, 1], of those known before: beyond, it is rather the source that is gone. What people decided of them is
    kept. Raises `WorkspaceBusyError` while another command changes the workspace.
    """
    with run_lock(workspace, "ingest"):
        return _ingest(workspace, source, role, progress, remove_gone_up_to)


def survey(workspace: Workspace, source: Path, role: Role) -> SourceSurvey:
    """Look at a source as `ingest` would, and write nothing; raises `SourceError` as it would."""
    listing = list_source(source)
    known: dict[Place, KnownEntry] = {}
    if workspace.catalog.exists():
        with catalog(workspace) as connection:
            _refuse_both_roles(connection, listing, role)
            known = known_entries(connection, listing.name, role)
    places = {(entry.uri, entry.category) for entry in listing.entries}
    names = {(entry.image_id, entry.category) for entry in listing.entries}
    gone = sum(place not in places and (entry.image_id, place[1]) not in names for place, entry in known.items())
    read = len(_unread(listing, known))
    return SourceSurvey(
        listing.name, listing.kind, role.value, len(listing.entries), read, gone, gone / max(len(known), 1)
    )


def _ingest(
    workspace: Workspace, source: Path, role: Role, progress: Progress, remove_gone_up_to: float | None
) -> IngestReport:
    listing = list_source(source)
    categories = {entry.category for entry in listing.entries}
    with catalog(workspace) as connection:
        _refuse_both_roles(connection, listing, role)
        known = known_entries(connection, listing.name, role)
    with journal(workspace.journal) as connection_to_journal:
        number_categories(connection_to_journal, categories)
    counts = _add_new(workspace, listing, role, known, progress)
    with catalog(workspace) as connection:
        described_anew = update_crawl_facts(connection, listing.name, role, listing.entries)
    gone = _gone(workspace, listing, role)
    gone_share = len(gone) / max(len(known), 1)
    removed = gone if remove_gone_up_to is not None and gone_share <= remove_gone_up_to else []
    if removed:
        with catalog(workspace) as connection:
            remove_samples(connection, removed)
    is_new = counts["read"] or described_anew or removed
    if not is_published(workspace) or (is_new and not _waits_for_scores(workspace)):
        publish_snapshot(workspace)
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
        described_anew=described_anew,
        gone=len(gone),
        removed=len(removed),
        gone_share=gone_share,
        read=counts["read"],
        ignored=dict(listing.ignored),
    )


def _waits_for_scores(workspace: Workspace) -> bool:
    """Whether there are results, and novel images without any: both are published together, at the end of the run.

    Until then exports and reviews go on with what was published; they could make nothing of an image without a weight.
    """
    with catalog(workspace) as connection:
        return "flag" in read_stages(connection) and has_unscored_samples(connection)


def _refuse_both_roles(connection: Connection, listing: SourceListing, role: Role) -> None:
    """A category is clean (base) or gathered from the web (novel), never both."""
    opposite = {Role.BASE: Role.NOVEL, Role.NOVEL: Role.BASE}.get(role)
    categories = {entry.category for entry in listing.entries}
    both = sorted(categories & category_names(connection, opposite)) if opposite else []
    if both:
        shown = f"{', '.join(both[:5])}{' ...' if len(both) > 5 else ''}"
        raise SourceError(
            f"{len(both)} categories would be both base and novel: {shown}.",
            hint="Base and novel categories are disjoint: rename them, or ingest this source in the other role.",
        )


def _unread(listing: SourceListing, known: Mapping[Place, KnownEntry]) -> list[SourceEntry]:
    """The entries whose bytes have to be read: new ones, changed ones, and those that could not be read before."""
    versions = {place: entry.version for place, entry in known.items()}
    return [entry for entry in listing.entries if versions.get((entry.uri, entry.category)) != entry.version]


def _gone(workspace: Workspace, listing: SourceListing, role: Role) -> list[str]:
    """The samples of this source that it no longer lists, by their ids; one that only moved is in its new place."""
    places = {(entry.uri, entry.category) for entry in listing.entries}
    with catalog(workspace) as connection:
        known = known_entries(connection, listing.name, role)
    return [entry.sample_id for place, entry in known.items() if place not in places]


def _add_new(
    workspace: Workspace,
    listing: SourceListing,
    role: Role,
    known: Mapping[Place, KnownEntry],
    progress: Progress,
) -> Counter[str]:
    counts: Counter[str] = Counter()
    new = _unread(listing, known)
    counts["read"] = len(new)
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
    workspace: Workspace, samples: Sequence[Sample], known: Mapping[Place, KnownEntry], counts: Counter[str]
) -> None:
    """Write one batch, telling apart what is new, what replaced another image at its place, and what only moved."""
    unique = {sample.sample_id: sample for sample in samples}
    counts["known"] += len(samples) - len(unique)
    with catalog(workspace) as connection:
        there = known_sample_ids(connection, list(unique))
        replaced = []
        for sample in unique.values():
            before = known.get((sample.uri, sample.category))
            if before is not None and before.sample_id != sample.sample_id:
                replaced.append(before.sample_id)
                counts["changed"] += 1
            elif sample.sample_id not in there:
                counts["added"] += 1
            else:
                counts["known" if before is not None else "moved"] += 1
        if replaced:
            remove_samples(connection, replaced)
        put_samples(connection, list(unique.values()))

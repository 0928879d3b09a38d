"""What helps to judge one image: its neighbours in the categories that matter, its copies, where it was found."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from curation.embedding_shards import read_embedding, shards_of
from curation.errors import EmbeddingError, ReviewError
from curation.neighbour_index import EmbeddingIndex, current_index
from curation.search import NearSample, rank_samples
from curation.sites import host_of
from curation.store.connection import Connection, read_only
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.gold_checks import GoldCheck, read_gold_check
from curation.store.images import facts_of_image
from curation.store.journal import journal
from curation.store.noise import read_noise_estimates
from curation.store.runs import embedding_encoder
from curation.store.samples import image_digests, samples_by_id, samples_of_images
from curation.store.snapshot import current_snapshot
from curation.values import CrawlFacts, FlagName, Role, Sample
from curation.workspace import Workspace

_Neighbours = tuple[tuple[NearSample, ...], tuple[NearSample, ...], tuple[NearSample, ...]]

_COPIES = (FlagName.NEAR_DUPLICATE, FlagName.LABEL_CONFLICT, FlagName.LEAK)


@dataclass(frozen=True, slots=True)
class TileEvidence:
    """All that is known of one tile.

    `own`, `suggested` and `base` are the images most like it, nearest first, of its web category, of the suggested one
    (empty where none other is) and of the base categories; `neighbours_note` says why where they cannot be had.
    `copies` show the same picture. `site` is the host of its page, `link` the page's address where a browser may follow
    it (http or https), each "" where unknown. Blind, it says nothing of what the noise model thinks.
    """

    sample_id: str
    image_id: str
    web_category: str
    noise_probability: float | None
    explanation: str
    suggested_category: str | None
    weight: float | None
    flags: tuple[str, ...]
    width_px: int
    height_px: int
    own: tuple[NearSample, ...]
    suggested: tuple[NearSample, ...]
    base: tuple[NearSample, ...]
    neighbours_note: str
    copies: tuple[Sample, ...]
    crawl: CrawlFacts
    site: str
    link: str


def tile_evidence(workspace: Workspace, sample_id: str, *, neighbours: int = 6, blind: bool = False) -> TileEvidence:
    """Gather it from the newest snapshot and the index of embeddings; `neighbours` of each kind.

    Of a gold check the picture's neighbours are shown, and what is said of its donor. Raises `ReviewError` for a sample
    that there is not.
    """
    with journal(workspace.journal) as to_journal:
        check = read_gold_check(to_journal, sample_id)
    path = current_snapshot(workspace)
    with read_only(path) as connection:
        samples = samples_by_id(connection, [sample_id] if check is None else [check.sample_id, check.donor_id])
        told, pictured = _told_and_pictured(samples, sample_id, check)
        if told is None or pictured is None or pictured.sha256 is None:
            raise ReviewError(f"there is no sample {sample_id!r} with an image.", hint="Load the page again.")
        estimate = None if blind else read_noise_estimates(connection, [told.sample_id]).get(told.sample_id)
        evidence = None if blind else read_evidence(connection, [told.sample_id]).get(told.sample_id)
        flags = read_flags(connection, [told.sample_id]).get(told.sample_id, [])
        copies = [] if check else [name for flag in flags if flag.name in _COPIES for name in flag.copies]
        same_picture = samples_by_id(connection, copies)
        facts = facts_of_image(connection, pictured.sha256)
        suggested = None if estimate is None else estimate.suggested_category
        note = ""
        near: _Neighbours = ((), (), ())
        try:
            near = _neighbours(workspace, path, connection, pictured, told, suggested, neighbours)
        except EmbeddingError as error:  # all else that is known is worth showing
            note = str(error)
    return TileEvidence(
        sample_id=sample_id,
        image_id=told.image_id,
        web_category=told.category,
        noise_probability=None if estimate is None else estimate.noise_probability,
        explanation="" if estimate is None else estimate.explanation,
        suggested_category=suggested,
        weight=None if evidence is None else evidence.weight,
        flags=() if blind else tuple(flag.name.value for flag in flags),
        width_px=0 if facts is None else facts.width_px,
        height_px=0 if facts is None else facts.height_px,
        own=near[0],
        suggested=near[1],
        base=near[2],
        neighbours_note=note,
        copies=tuple(same_picture[name] for name in dict.fromkeys(copies) if name in same_picture),
        crawl=told.crawl,
        site=host_of(told.crawl.source_url),
        link=safe_link(told.crawl.source_url),
    )


def safe_link(address: str | None) -> str:
    """The address where it is one of the web (http or https, with a host); else empty. Addresses come from crawls."""
    text = (address or "").strip()
    try:
        parts = urlsplit(text)
        followed = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # "http://[" is one
        return ""
    return text if followed and text.isprintable() and " " not in text else ""


def _told_and_pictured(
    samples: Mapping[str, Sample], sample_id: str, check: GoldCheck | None
) -> tuple[Sample | None, Sample | None]:
    """The sample that facts are told of, and the one whose picture is shown."""
    if check is None:
        return samples.get(sample_id), samples.get(sample_id)
    return samples.get(check.donor_id), samples.get(check.sample_id)


def _neighbours(
    workspace: Workspace,
    path: Path,
    connection: Connection,
    pictured: Sample,
    told: Sample,
    suggested: str | None,
    number: int,
) -> _Neighbours:
    """The images most like the picture in the own, the suggested and the base categories."""
    identity = embedding_encoder(connection, workspace.root)
    digest = str(pictured.sha256)
    embedding = read_embedding(shards_of(workspace.embeddings, identity), digest)
    index = _index(workspace, path, connection, identity)

    def nearest(role: Role | None, category: str | None) -> tuple[NearSample, ...]:
        among = [other for other in image_digests(connection, role, category) if other != digest]
        if not among:
            return ()
        images = index.nearest(embedding, number, among)[0]
        samples = samples_of_images(connection, [image.sha256 for image in images], role, category)
        flags = read_flags(connection, [sample.sample_id for sample in samples])
        return tuple(rank_samples(images, samples, flags, number))

    other = None if suggested == told.category else suggested
    return (
        nearest(told.role, told.category),
        nearest(Role.NOVEL, other) if other is not None else (),
        nearest(Role.BASE, None),
    )


_INDEX: dict[Path, tuple[tuple[Path, int], EmbeddingIndex]] = {}
_LOADING = threading.Lock()


def _index(workspace: Workspace, path: Path, connection: Connection, identity: str) -> EmbeddingIndex:
    """The index of the images of this snapshot, loaded once in this process."""
    with _LOADING:
        version = (path, path.stat().st_mtime_ns)  # names begin again in a workspace that was rebuilt
        known = _INDEX.get(workspace.root)
        if known is None or known[0] != version:
            shards = shards_of(workspace.embeddings, identity)
            folder = workspace.indexes / shards.folder.name
            device = workspace.config().embedding.device
            index = current_index(folder, shards, identity, image_digests(connection), device=device)
            known = _INDEX[workspace.root] = (version, index)
    return known[1]

"""A published workspace of many novel samples with real JPEG files, no two of them the same bytes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from hashlib import sha256
from itertools import cycle
from pathlib import Path

import numpy as np

from curation.config import Config, ReviewConfig
from curation.evidence_columns import evidence_columns_of
from curation.sources.location import member_uri
from curation.store.category_ids import number_categories
from curation.store.connection import catalog
from curation.store.evidence import replace_evidence
from curation.store.images import put_image_facts
from curation.store.journal import journal
from curation.store.noise import replace_noise
from curation.store.runs import put_stage, start_run
from curation.store.samples import put_samples
from curation.store.snapshot import publish_snapshot
from curation.values import CategoryNoise, ImageFacts, Role, Sample, sample_id_of
from curation.workspace import Workspace, create_workspace
from tests.pictures import drawing
from tests.review_factory import RUN, estimate_of, evidence_of, sample_of

CONFIG = Config(review=ReviewConfig(overlap=0.05, gold=0.03))
_IN_CATEGORY = 1000
_BASE = 2000
_DRAWN = 200  # pictures that differ to the eye; the files of one differ in a comment, so each is decoded by itself
_SIZE_PX = (400, 300)
_MOST_FILES = 100_000  # beyond, several samples show one file


def make_workspace(folder: Path, samples: int) -> Workspace:
    """`samples` novel ones in categories of a thousand, and two thousand of two base categories, all published."""
    workspace = create_workspace(folder / "ws", CONFIG)
    pictures = cycle(write_pictures(folder / "pictures.tar", min(samples, _MOST_FILES)))
    names = [f"category {place:04}" for place in range(max(1, samples // _IN_CATEGORY))]
    novel = [
        _sample(Role.NOVEL, names[number % len(names)], number, picture)
        for number, picture in zip(range(samples), pictures, strict=False)
    ]
    base = [
        _sample(Role.BASE, ("eagle", "owl")[number % 2], number, picture)
        for number, picture in zip(range(_BASE), pictures, strict=False)
    ]
    chances = np.random.default_rng(0).beta(0.4, 1.2, samples)  # a quarter is wrong, few are in doubt
    with catalog(workspace) as connection:
        start_run(connection, RUN, "run", CONFIG)
        put_stage(connection, "flag", "f", RUN, {})
        put_samples(connection, sorted([*novel, *base], key=lambda sample: sample.sample_id))
        digests = sorted({str(sample.sha256) for sample in (*novel, *base)})
        put_image_facts(connection, [ImageFacts(digest, "JPEG", "RGB", *_SIZE_PX) for digest in digests])
        evidence = [
            evidence_of(sample.sample_id, 1.5 - chance, _others(names, place))
            for place, (sample, chance) in enumerate(zip(novel, chances, strict=True))
        ]
        replace_evidence(connection, evidence_columns_of(evidence))
        replace_noise(
            connection,
            [
                estimate_of(sample.sample_id, chance, _others(names, place)[0] if place % 2 else None)
                for place, (sample, chance) in enumerate(zip(novel, chances, strict=True))
            ],
            [CategoryNoise(name, _IN_CATEGORY, 0.25, 0.2, 0.3) for name in names],
        )
    with journal(workspace.journal) as to_journal:
        number_categories(to_journal, [*names, "eagle", "owl"])
    publish_snapshot(workspace)
    return workspace


def _sample(role: Role, category: str, number: int, picture: tuple[str, str]) -> Sample:
    """With an id as `ingest` gives it: in no order, as are the rows that a page is read from."""
    uri, digest = picture
    name = f"{number:07}.jpg"
    return sample_of(
        category,
        number,
        role,
        sample_id=sample_id_of(role, category, name, digest),
        image_id=name,
        uri=uri,
        sha256=digest,
    )


def _others(names: Sequence[str], place: int) -> list[str]:
    """Nine categories that an image resembles."""
    return [names[(place + step) % len(names)] for step in range(1, 10)]


def write_pictures(path: Path, number: int) -> list[tuple[str, str]]:
    """A tar archive of `number` JPEG files; returns their URIs and SHA-256."""
    encoded = []
    for seed in range(min(number, _DRAWN)):
        file = io.BytesIO()
        drawing(seed, _SIZE_PX).save(file, "JPEG", quality=85)
        encoded.append(file.getvalue())
    found = []
    with tarfile.open(path, "w") as archive:
        for place in range(number):
            data = with_comment(encoded[place % len(encoded)], f"{place:08}")
            member = tarfile.TarInfo(f"{place:08}.jpg")
            member.size = len(data)
            offset = archive.offset + tarfile.BLOCKSIZE
            archive.addfile(member, io.BytesIO(data))
            found.append((member_uri(path, member.name, offset, len(data)), sha256(data).hexdigest()))
    return found


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same picture in other bytes: a comment segment behind the first marker (ITU T.81, B.2.4.5)."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]

"""Small cleaned sets of real image files, for the tests of what is done with one."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from curation.export.manifest import content_hash_of
from curation.sources.location import file_uri
from curation.values import CleanedSample, CleanedSet, CrawlFacts, Role, SetAside, sample_id_of

CATEGORIES = {"Barn Swallow": 7, "a/b": 3, "unused": 11}


def picture(seed: int, image_format: str = "JPEG", size: int = 16) -> bytes:
    """An image file of noise that differs for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    data = BytesIO()
    Image.fromarray(pixels).save(data, image_format)
    return data.getvalue()


def sample_at(path: Path, category: str, *, rank: int, weight: float, categories: dict[str, int]) -> CleanedSample:
    """A kept sample of the file at `path`."""
    digest = sha256(path.read_bytes()).hexdigest()
    return CleanedSample(
        sample_id=sample_id_of(Role.NOVEL, category, path.name, digest),
        image_id=path.name,
        role=Role.NOVEL,
        category=category,
        category_id=categories[category],
        web_category=category,
        weight=weight,
        noise_probability=None if rank % 2 else 0.125,
        uri=file_uri(path),
        sha256=digest,
        crawl=CrawlFacts(
            source_url=f"https://example.org/{rank}?a=b,c",
            query="swallow, barn",
            rank=rank,
            title='Said "tweet"\nthen left',
            license="CC BY-SA 4.0" if rank % 2 else None,
        ),
    )


def cleaned_set(
    folder: Path, *, per_category: int = 4, image_format: str = "JPEG", categories: dict[str, int] = CATEGORIES
) -> CleanedSet:
    """`per_category` images, written below `folder`, of each category but the last; two samples are set aside."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for category in list(categories)[:-1]:
        for rank in range(per_category):
            path = folder / f"photo {categories[category]}_{rank}.jpg"
            path.write_bytes(picture(1000 * categories[category] + rank, image_format))
            kept.append(sample_at(path, category, rank=rank, weight=0.1 + rank / 3, categories=categories))
    aside = (
        SetAside("aaaa", "x.jpg", "Barn Swallow", "file:///gone/x.jpg", "outlier", "unlike the others, by far"),
        SetAside("bbbb", "y.jpg", "a/b", "file:///gone/y.jpg", "label_flip", "looks like Barn Swallow"),
    )
    provenance = {"encoder": "builtin", "config": {"seed": 0}, "flags": [1, None]}
    return CleanedSet(content_hash_of(kept), tuple(kept), aside, dict(categories), provenance)


def with_kept(original: CleanedSet, kept: list[CleanedSample]) -> CleanedSet:
    """`original` with other kept samples and the content hash that belongs to them."""
    return CleanedSet(content_hash_of(kept), tuple(kept), original.set_aside, original.categories, original.provenance)

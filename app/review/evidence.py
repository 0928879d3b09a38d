"""The evidence of one tile as the browser gets it: a picture, sentences, groups of pictures, facts. Plain text only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.review.pictures import ZOOM_PX, address_of, addresses_of
from app.review.wording import percent, shown_name
from curation.config import Config
from curation.review.evidence import TileEvidence, tile_evidence
from curation.search import NearSample
from curation.workspace import Workspace

_NEAR_PX = 160


def evidence_data(workspace: Workspace, config: Config, sample_id: str, *, blind: bool) -> dict[str, Any]:
    """All that is known of a tile, with pictures, as JSON takes it; `blind` leaves out what the model thinks."""
    found = tile_evidence(workspace, sample_id, blind=blind)
    groups = [
        (f"Most like it among {shown_name(found.web_category)}", _captions(found.own)),
        (f"Most like it among {shown_name(found.suggested_category or '')}", _captions(found.suggested)),
        ("Most like it among the base categories", _captions(found.base, with_category=True)),
        (
            "The same picture",
            [(copy.sample_id, f"{shown_name(copy.category)}: {copy.image_id}") for copy in found.copies],
        ),
    ]
    shown = [(title, images) for title, images in groups if images]
    pictures = addresses_of(workspace, config, [name for _, images in shown for name, _ in images], _NEAR_PX)
    return {
        "sample_id": sample_id,
        "title": found.image_id,
        "picture": address_of(workspace, config, sample_id, ZOOM_PX),
        "sentences": _sentences(found),
        "groups": [
            {"title": title, "images": [{"picture": pictures[name], "caption": caption} for name, caption in images]}
            for title, images in shown
        ],
        "facts": _facts(found),
    }


def _captions(images: Iterable[NearSample], *, with_category: bool = False) -> list[tuple[str, str]]:
    """(sample id, caption) of neighbours."""
    return [
        (
            near.sample_id,
            f"{shown_name(near.category)}, {near.cosine:.2f}" if with_category else f"cosine {near.cosine:.2f}",
        )
        for near in images
    ]


def _sentences(found: TileEvidence) -> list[str]:
    said = [found.explanation]
    if found.noise_probability is not None and not found.explanation:
        said.insert(0, f"The category is wrong with a probability of {percent(found.noise_probability)}.")
    if found.weight is not None:
        said.append(f"Its weight is {found.weight:.2f}, where 1 is usual.")
    if found.flags:
        said.append(f"Flags: {', '.join(map(shown_name, found.flags))}.")
    return [sentence for sentence in (*said, found.neighbours_note) if sentence]


def _facts(found: TileEvidence) -> list[tuple[str, str]]:
    """(name, value); only `Page` can become a link, and only where its address is one of the web."""
    crawl = found.crawl
    facts = [
        ("Title", crawl.title),
        ("Query", crawl.query),
        ("Rank", None if crawl.rank is None else str(crawl.rank)),
        ("Site", found.site),
        ("Page", found.link or crawl.source_url),
        ("Licence", crawl.license),
        ("Size", f"{found.width_px} × {found.height_px} px" if found.width_px else None),
    ]
    return [(name, value) for name, value in facts if value]

"""`curate search`: the samples that are nearest to an image or, where the encoder embeds text, to words.

It reads the published snapshot, so it neither waits for a run that is writing nor holds one up.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

from curation.config import Config, ImagesConfig
from curation.contact_sheet import Tile, contact_sheet
from curation.decoding import ImageReference, decode_images
from curation.embedding_shards import shards_of
from curation.encoders import Encoder, load_encoder
from curation.errors import EmbeddingError, SearchError
from curation.neighbour_index import IndexState, current_index
from curation.progress import Progress, silent
from curation.search import NearSample, rank_samples
from curation.sources.location import UnreadableImageError, file_uri, file_version, read_bytes, readable_text
from curation.store.connection import Connection
from curation.store.flags import read_flags
from curation.store.runs import embedding_encoder
from curation.store.samples import category_names, image_digests, samples_of_images
from curation.store.snapshot import snapshot
from curation.values import FlagName, FloatArray, Role
from curation.workspace import Workspace

_COLUMNS = 5
_TILE_PX = 224  # room for category names of 25 letters
_RED = "#c0392b"
_SUSPECT = {FlagName.OUTLIER.value, FlagName.LABEL_FLIP.value}


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The nearest samples, nearest first, and what they were looked for with."""

    query: str
    encoder: str
    index: IndexState
    samples: list[NearSample]


def search(
    workspace: Workspace,
    config: Config,
    query: Path | str,
    *,
    count: int = 20,
    role: Role | None = None,
    category: str | None = None,
    sheet: Path | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """The `count` samples (of one role, of one category) nearest to an image file (a `Path`) or to a text (a `str`).

    There are fewer only where fewer match. `sheet` draws them as a PNG. Raises `SearchError` for a query or a filter
    that cannot be used, `EncoderError` for a text where the encoder embeds images only.
    """
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise SearchError(f"a contact sheet is a PNG, not {sheet.name!r}.", hint="End the name of --sheet in .png.")
    with snapshot(workspace) as connection:
        identity = embedding_encoder(connection, workspace.root)
        among = _matching(connection, role, category)
        encoder = load_encoder(config.embedding.encoder, config.embedding.device)
        _refuse_other_encoder(encoder, identity, workspace)
        embedding = _embed_query(query, encoder, config.images)
        shards = shards_of(workspace.embeddings, identity)
        index = current_index(
            workspace.indexes / shards.folder.name,
            shards,
            identity,
            image_digests(connection),
            device=config.embedding.device,
            progress=progress,
        )
        images = index.nearest(embedding, count, among)[0]
        samples = samples_of_images(connection, [image.sha256 for image in images], role, category)
        flags = read_flags(connection, [sample.sample_id for sample in samples])
    found = SearchResult(readable_text(str(query)), identity, index.state, rank_samples(images, samples, flags, count))
    if sheet is not None:
        _draw(query, found.samples, sheet)
    return found


def _matching(connection: Connection, role: Role | None, category: str | None) -> list[str] | None:
    """The images of the samples that may be answers; `None` where all may."""
    if role is None and category is None:
        return None
    digests = image_digests(connection, role, category)
    if not digests:
        roles = Role if role is None else (role,)
        names = sorted({name for one in roles for name in category_names(connection, one)})
        close = get_close_matches(category or "", names, n=3)
        what = f"{role.value} sample" if role else "sample"
        raise SearchError(
            f"there is no {what}{f' of the category {category!r}' if category is not None else ''} with an image.",
            hint=f"Did you mean {' or '.join(map(repr, close))}?" if close else "`curate status` tells what there is.",
        )
    return digests


def _refuse_other_encoder(encoder: Encoder, identity: str, workspace: Workspace) -> None:
    if encoder.identity != identity:
        raise EmbeddingError(
            f"the images were embedded by {identity}, and {workspace.config_file} names {encoder.identity} now.",
            hint=f"`curate embed {workspace.root}` embeds them by it.",
        )


def _embed_query(query: Path | str, encoder: Encoder, config: ImagesConfig) -> FloatArray:
    """The query's embedding, shape (1, D)."""
    if isinstance(query, Path):
        return _embed_image(query, encoder, config)
    if not query.strip():
        raise SearchError("the text to search for is empty.", hint='Describe what the image shows: "a red bird".')
    return encoder.embed_text([readable_text(query.strip())])


def _embed_image(path: Path, encoder: Encoder, config: ImagesConfig) -> FloatArray:
    """Decoded in a guarded process, as every image of a source is."""
    try:
        reference = ImageReference(sha256(read_bytes(file_uri(path))).hexdigest(), file_uri(path))
    except UnreadableImageError as error:
        raise _unusable(path, error.reason) from error
    decoding = decode_images([reference], input_px=encoder.input_px, crop_share=encoder.crop_share, config=config)
    with closing(decoding) as batches:
        batch = next(batches)
    if not len(batch.rows):
        raise _unusable(path, batch.facts[0].reason or "it has no pixels")
    return encoder.embed(batch.pixels)


def _unusable(path: Path, reason: str) -> SearchError:
    reason = "there is no such file" if file_version(path) == "missing" else reason
    return SearchError(
        f"{readable_text(str(path))} cannot be searched for: {reason.rstrip('.')}.",
        hint="Give the file of an image that viewers open.",
    )


def _draw(query: Path | str, samples: Sequence[NearSample], path: Path) -> None:
    """The query and the samples in the order of their ranks; suspects have a red frame."""
    tiles = [Tile(_bytes(file_uri(query)), (), "searched for")] if isinstance(query, Path) else []
    tiles += [
        Tile(
            _bytes(sample.uri),
            (f"{sample.rank}  {sample.cosine:.3f}  {sample.role}", sample.category, ", ".join(sample.flags)),
            "nearest samples: rank, cosine, role",
            _RED if _SUSPECT & set(sample.flags) else None,
        )
        for sample in samples
    ]
    title = query.name if isinstance(query, Path) else f'"{query.strip()}"'
    contact_sheet(tiles, path, title=f"Nearest to {title}", columns=_COLUMNS, tile_px=_TILE_PX)


def _bytes(uri: str) -> bytes:
    try:
        return read_bytes(uri)
    except UnreadableImageError:
        return b""  # drawn as a blank

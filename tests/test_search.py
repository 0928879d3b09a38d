"""`curate search`: the nearest samples, whatever the query, the filters, and what else is going on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.config import Config, EmbeddingConfig
from curation.embedding_shards import read_embeddings, shards_of
from curation.encoders import load_encoder
from curation.errors import EmbeddingError, EncoderError, SearchError, StoreError
from curation.flow import run_stages
from curation.neighbour_index import NearImage
from curation.search import rank_samples
from curation.stages import embed
from curation.stages.ingest import ingest
from curation.stages.search import SearchResult, search
from curation.store.connection import catalog
from curation.store.flags import replace_flags
from curation.store.samples import read_samples
from curation.store.snapshot import publish_snapshot
from curation.values import Flag, FlagName, Role, Sample
from curation.workspace import Workspace, create_workspace
from tests.hostile import make_hostile_files

CATEGORIES = {Role.BASE: ("jay", "wren"), Role.NOVEL: ("robin", "finch"), Role.TEST: ("owl",)}
IMAGES = 6  # of every category


def sample(name: str, digest: str) -> Sample:
    return Sample(name, f"{name}.jpg", Role.NOVEL, "robin", "file:///x.jpg", "1", digest, None, "source")


def test_rank_samples__by_cosine_then_by_sample_id() -> None:
    images = [NearImage("a", 0.9), NearImage("b", 0.5), NearImage("c", 0.1)]
    samples = [sample("4", "b"), sample("3", "a"), sample("2", "b"), sample("1", "c")]
    flags = {"4": [Flag("4", FlagName.OUTLIER, "A reason."), Flag("4", FlagName.LEAK, "Another.")]}
    ranked = rank_samples(images, samples, flags, 3)
    assert [(near.rank, near.sample_id, near.cosine) for near in ranked] == [
        (1, "3", 0.9),
        (2, "2", 0.5),
        (3, "4", 0.5),
    ]
    assert [near.flags for near in ranked] == [(), (), ("outlier", "leak")]
    assert rank_samples([], samples, flags, 3) == []


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five categories of noise images; the first robin is listed as a finch too."""
    folder = tmp_path_factory.mktemp("images")
    chance = np.random.default_rng(0)
    for role, names in CATEGORIES.items():
        for name in names:
            (folder / role / name).mkdir(parents=True)
            for number in range(IMAGES):
                picture = chance.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                Image.fromarray(picture).resize((40, 40)).save(folder / role / name / f"{number}.png")
    shutil.copy(folder / "novel" / "robin" / "0.png", folder / "novel" / "finch" / "copy.png")
    return folder


@pytest.fixture(scope="module")
def config(clip_file: Path) -> Config:
    return Config(embedding=EmbeddingConfig(encoder=f"open_clip/small-clip@{clip_file}", device="cpu"))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, images: Path, config: Config) -> Workspace:
    """A workspace with embeddings and one flag; tests must not change it."""
    made = create_workspace(tmp_path_factory.mktemp("search") / "ws", config)
    for role in CATEGORIES:
        ingest(made, images / role, role)
    run_stages(made, config, command="embed", stages=(embed.STAGE,))
    with catalog(made) as connection:
        flagged = next(one for one in read_samples(connection) if one.image_id == "robin/1.png")
        replace_flags(connection, [Flag(flagged.sample_id, FlagName.OUTLIER, "Unlike the rest.")])
    publish_snapshot(made)
    return made


def slow_ranking(workspace: Workspace, config: Config, query: object) -> list[tuple[str, float]]:
    """(sample id, cosine) of every sample, from plain loops."""
    encoder = load_encoder(config.embedding.encoder, "cpu")
    with catalog(workspace) as connection:
        samples = read_samples(connection)
    vectors = read_embeddings(shards_of(workspace.embeddings, encoder.identity), [one.sha256 or "" for one in samples])
    if isinstance(query, str):
        vector = encoder.embed_text([query])[0]
    else:
        vector = next(row for row, one in zip(vectors, samples, strict=True) if one.image_id == query)
    cosine = {one.sample_id: float(row @ vector) for row, one in zip(vectors, samples, strict=True)}
    order = sorted(samples, key=lambda one: (-round(cosine[one.sample_id], 6), one.sha256, one.sample_id))
    return [(one.sample_id, cosine[one.sample_id]) for one in order]


def names(found: SearchResult) -> list[str]:
    return [near.image_id for near in found.samples]


def test_search__by_image_finds_every_sample_of_it_first(embedded: Workspace, config: Config, images: Path) -> None:
    found = search(embedded, config, images / "novel" / "robin" / "0.png", count=4)
    assert set(names(found)[:2]) == {"robin/0.png", "finch/copy.png"}
    assert [near.rank for near in found.samples] == [1, 2, 3, 4]
    assert found.samples[0].cosine == pytest.approx(1, abs=1e-3)  # embeddings are stored as float16
    assert (found.samples[0].role, found.samples[0].category) in {("novel", "robin"), ("novel", "finch")}
    assert found.index.kind == "exact" and found.encoder.startswith("open_clip/small-clip@clip.safetensors#")


def test_search__by_text_agrees_with_plain_loops(embedded: Workspace, config: Config) -> None:
    found = search(embedded, config, "  a red bird ", count=12)
    true = slow_ranking(embedded, config, "a red bird")[:12]
    assert [near.sample_id for near in found.samples] == [name for name, _ in true]
    assert [near.cosine for near in found.samples] == pytest.approx([cosine for _, cosine in true], abs=1e-3)


@pytest.mark.parametrize(
    ("role", "category", "there"),
    [(Role.NOVEL, None, 2 * IMAGES + 1), (None, "wren", IMAGES), (Role.TEST, "owl", IMAGES), (None, None, 31)],
)
def test_search__filters_leave_as_many_as_there_are(
    embedded: Workspace, config: Config, images: Path, role: Role | None, category: str | None, there: int
) -> None:
    query = images / "base" / "jay" / "3.png"
    everything = search(embedded, config, query, count=1000, role=role, category=category)
    assert len(everything.samples) == there
    assert {near.role for near in everything.samples} <= ({role.value} if role else set(Role))
    assert {near.category for near in everything.samples} <= (
        {category} if category else {*sum(CATEGORIES.values(), ())}
    )
    few = search(embedded, config, query, count=there - 1, role=role, category=category)
    assert few.samples == everything.samples[: there - 1]


def test_search__tells_flags(embedded: Workspace, config: Config, images: Path) -> None:
    found = search(embedded, config, images / "novel" / "robin" / "1.png", count=2)
    assert [near.flags for near in found.samples] == [("outlier",), ()]
    assert names(found)[0] == "robin/1.png"


def test_search__neither_opens_nor_waits_for_the_catalogue(
    embedded: Workspace, config: Config, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(embedded.root, tmp_path / "ws")
    (tmp_path / "ws" / "catalog.duckdb").write_bytes(b"being written")
    found = search(Workspace(tmp_path / "ws"), config, images / "base" / "jay" / "0.png", count=3)
    assert names(found)[0] == "jay/0.png"
    assert (tmp_path / "ws" / "catalog.duckdb").read_bytes() == b"being written"


def test_search__the_sheet_shows_the_query_and_what_was_found(
    embedded: Workspace, config: Config, images: Path, tmp_path: Path
) -> None:
    query = images / "novel" / "robin" / "1.png"
    search(embedded, config, query, count=6, sheet=tmp_path / "near.png")
    search(embedded, config, "a robin", count=6, sheet=tmp_path / "words.png")
    with Image.open(tmp_path / "near.png") as by_image, Image.open(tmp_path / "words.png") as by_text:
        assert by_image.height > by_text.height  # one row more: the query
        assert b"\xc0\x39\x2b" in by_image.convert("RGB").tobytes()  # the suspect's frame


def test_search__hostile_files_end_in_one_sentence(embedded: Workspace, config: Config, tmp_path: Path) -> None:
    make_hostile_files(tmp_path)
    for name in ("truncated.jpg", "html.jpg", "bomb.png", "zero_bytes.jpg", "vanished.jpg", "pipe.jpg"):
        with pytest.raises(SearchError, match=rf"{name} cannot be searched for: [^\n]+\. Give the file"):
            search(embedded, config, tmp_path / name, count=1)
    found = search(embedded, config, Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.jpg")), count=1)
    assert found.query == f"{tmp_path}/caf%E9.jpg" and len(found.samples) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": Path("nowhere.png")}, r"nowhere.png cannot be searched for: there is no such file\."),
        ({"query": " "}, "the text to search for is empty"),
        ({"category": "rubin"}, r"no sample of the category 'rubin' with an image. Did you mean 'robin'\?"),
        ({"category": "robin", "role": Role.BASE}, "no base sample of the category 'robin'"),
        ({"sheet": Path("near.jpg")}, "a contact sheet is a PNG, not 'near.jpg'"),
    ],
)
def test_search__what_cannot_be_asked(
    embedded: Workspace, config: Config, change: dict[str, Path | str | Role], message: str
) -> None:
    with pytest.raises(SearchError, match=message):
        search(embedded, config, **{"query": "a robin", **change})  # type: ignore[arg-type]


def test_search__an_encoder_that_did_not_embed_the_images(embedded: Workspace) -> None:
    with pytest.raises(EmbeddingError, match=r"embedded by open_clip/small-clip.* names builtin#.*curate embed"):
        search(embedded, Config(), "a robin")


def test_search__before_there_is_anything_to_find(
    workspace: Workspace, images: Path, write_image: Callable[..., Path]
) -> None:
    query = write_image(workspace.root / "query.jpg", 1)
    with pytest.raises(StoreError, match="nothing published yet"):
        search(workspace, Config(), query)
    ingest(workspace, images / "base", Role.BASE)
    with pytest.raises(EmbeddingError, match=r"no embeddings yet. `curate embed"):
        search(workspace, Config(), query)
    run_stages(workspace, Config(), command="embed", stages=(embed.STAGE,))
    assert len(search(workspace, Config(), query, count=5).samples) == 5
    with pytest.raises(EncoderError, match=r"builtin embeds images only, no text"):
        search(workspace, Config(), "a robin")

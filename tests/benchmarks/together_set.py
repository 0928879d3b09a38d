"""A drawn workspace after its first night, and images that wait to arrive: what `together` begins with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curation.config import Config, ReviewConfig, write_config
from curation.demo.images import make_demo_images
from curation.nightly_config import NightlyConfig, NightlySource
from curation.store.schema import MIGRATIONS
from curation.values import Role
from curation.workspace import Workspace, create_workspace
from pipelines.nightly.flow import nightly

PAGE_SIZE = 24
_BASE_CATEGORIES, _NOVEL_CATEGORIES = 24, 40
_BASE_SHARE = 0.15
_WAITING_SHARE = 0.05  # of the novel images: they arrive one night after the other
_SIDE_PX = 112
_GONE_EACH_NIGHT = 0.1  # of those that have arrived: their embeddings go too


@dataclass(frozen=True, slots=True)
class Place:
    """The images of a set: `base` and `novel` stay as they are, those of `waiting` come to `arriving`, and may go."""

    images: Path
    waiting: Path
    arriving: Path
    workspace: Workspace

    @property
    def sources(self) -> tuple[tuple[Path, Role], ...]:
        return ((self.images / "base", Role.BASE), (self.images / "novel", Role.NOVEL), (self.arriving, Role.NOVEL))


def make_place(folder: Path, samples: int, cache: Path) -> Place:
    """A copy in `folder` of the workspace that `cache` keeps for the next time; its images are used where they are."""
    made = cache / f"together-{samples}-schema-{len(MIGRATIONS)}"  # what was published in another cannot be read
    if not (made / "finished").exists():
        shutil.rmtree(made, ignore_errors=True)
        _make(made, samples)
        (made / "finished").touch()
    shutil.copytree(made / "ws", folder / "ws", symlinks=True)
    shutil.copytree(made / "waiting", folder / "waiting")
    place = Place(made / "images", folder / "waiting", folder / "arriving", Workspace(folder / "ws"))
    place.arriving.mkdir()
    write_config(config_of(place), place.workspace.config_file)
    return place


def config_of(place: Place) -> Config:
    """Small pages, since there are fewer images than an impatient annotator opens; exports under a mild promise."""
    listed = tuple(NightlySource(path=str(path), role=role) for path, role in place.sources if path.exists())
    return Config(
        review=ReviewConfig(page_size=PAGE_SIZE, gold=0.0),  # answers to checks lie elsewhere
        nightly=NightlyConfig(
            sources=listed, export_format="csv", promise=0.25, remove_gone=True, least_free_gb=0.0, keep_exports=100
        ),
    )


def arrivals(place: Place, each_night: int) -> Iterator[int]:
    """Before every night so many images arrive, each whole at once, and a tenth of the earlier ones goes."""
    coming = sorted(path for path in place.waiting.rglob("*.jpg"))
    there: list[Path] = []
    while coming:
        for path in there[:: round(1 / _GONE_EACH_NIGHT)]:
            path.unlink()
            there.remove(path)
        for path in coming[:each_night]:
            target = place.arriving / path.relative_to(place.waiting)
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
            there.append(target)
        coming = coming[each_night:]
        yield len(there)


def _make(folder: Path, samples: int) -> None:
    """Draw everything, set the waiting images apart, do the first night."""
    base, novel = round(samples * _BASE_SHARE / _BASE_CATEGORIES), round(samples / _NOVEL_CATEGORIES)
    make_demo_images(
        folder / "images",
        base_categories=_BASE_CATEGORIES,
        novel_categories=_NOVEL_CATEGORIES,
        base_images=base,
        novel_images=round(novel * (1 - _BASE_SHARE + _WAITING_SHARE)),
        test_images=1,
        side_px=_SIDE_PX,
        workers=2,
    )
    staying = round(novel * (1 - _BASE_SHARE))
    for category in sorted((folder / "images" / "novel").iterdir()):
        (folder / "waiting" / category.name).mkdir(parents=True)
        for path in sorted(category.iterdir())[staying:]:
            path.rename(folder / "waiting" / category.name / path.name)
    place = Place(folder / "images", folder / "waiting", folder / "arriving", create_workspace(folder / "ws", Config()))
    nightly(place.workspace, config_of(place))

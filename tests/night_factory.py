"""A small workspace on which a first night has been done, for the tests of what later nights do."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curation.config import Config
from curation.nightly_config import NightlyConfig, NightlySource
from curation.values import Role
from curation.workspace import Workspace, create_workspace
from pipelines.nightly.flow import nightly
from pipelines.nightly.night import NightResult
from tests.benchmarks.faults_world import SMALL


@dataclass(frozen=True)
class FirstNight:
    """A workspace after its first night; nobody changes it: tests copy it."""

    workspace: Workspace
    config: Config
    images: Path
    result: NightResult


@pytest.fixture(scope="session")
def first_night(tmp_path_factory: pytest.TempPathFactory, small_demo: Path) -> FirstNight:
    """The base and novel images of the small demo, taken up and exported by one night."""
    folder = tmp_path_factory.mktemp("night")
    config = night_config(
        (small_demo / "base", Role.BASE), (small_demo / "novel", Role.NOVEL), export_format="csv", promise=0.9
    )
    workspace = create_workspace(folder / "ws", config)
    return FirstNight(workspace, config, small_demo, nightly(workspace, config))


@pytest.fixture
def morning(first_night: FirstNight, tmp_path: Path) -> Workspace:
    """A copy of the workspace after its first night."""
    return copied(first_night.workspace, tmp_path / "ws")


def night_config(*sources: tuple[Path | str, Role], **settings: Any) -> Config:
    """A configuration whose stages take little time, with a night of these sources."""
    listed = tuple(NightlySource(path=str(path), role=role) for path, role in sources)
    nightly = NightlyConfig(**{"sources": listed, "least_free_gb": 0.0, "report": False, **settings})
    return SMALL.model_copy(update={"nightly": nightly})


def with_settings(config: Config, **settings: Any) -> Config:
    """`config` with other settings of the night."""
    return config.model_copy(update={"nightly": config.nightly.model_copy(update=settings)})


def with_source(config: Config, path: Path, role: Role = Role.NOVEL) -> Config:
    """`config` with one more source."""
    return with_settings(config, sources=(*config.nightly.sources, NightlySource(path=str(path), role=role)))


def copied(workspace: Workspace, root: Path) -> Workspace:
    """The same workspace elsewhere; its images stay where they are."""
    shutil.copytree(workspace.root, root, symlinks=True)
    return Workspace(root)


def events(folder: Path) -> list[dict[str, Any]]:
    """The lines of a night's log for machines."""
    return [json.loads(line) for line in (folder / "nightly.jsonl").read_text(encoding="utf-8").splitlines()]


def files_of(root: Path) -> dict[str, bytes]:
    """Everything below `root`: path -> content, or where a link leads."""
    return {
        str(path.relative_to(root)): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def more_images(first_night: FirstNight, folder: Path, number: int = 3) -> Path:
    """A source of `number` images that have not been seen, under a known novel category."""
    category = min((first_night.images / "novel").iterdir()).name
    target = folder / "more" / category
    target.mkdir(parents=True)
    for path in sorted((first_night.images / "test" / category).iterdir())[:number]:
        shutil.copy(path, target / f"new-{path.name}")
    return target.parent

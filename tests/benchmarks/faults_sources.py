"""Sources that vanish half way: before they are listed, as they are listed, read or embedded, and tars cut short."""

from __future__ import annotations

import os
import shutil
import tarfile
import threading
import time
from pathlib import Path

from curation.nightly_config import NightlySource
from curation.values import Role
from curation.workspace import Workspace, create_workspace
from tests.benchmarks.faults_world import (
    FaultRow,
    World,
    assert_same,
    assert_sound,
    curate,
    decide,
    failed_in_words,
    outcome,
    succeed,
)


def vanishing_source(world: World, moments: tuple[str, ...] = ("away", "ingest", "embed")) -> FaultRow:
    """Rename the folder of the novel images before a night, as it reads them, and as it embeds them."""
    source = Path(world.config.nightly.sources[1].path)
    away = source.with_name(f"{source.name}-away")
    said = ""
    for moment in moments:
        workspace = world.copy(world.empty, f"vanishing-{moment}")
        decide(workspace, world.decisions)
        renaming = _Renaming(workspace, source, away, moment)
        found = curate("nightly", str(workspace.root), before=renaming)
        away.rename(source)
        if found.status != 0:
            said = failed_in_words(found)
        succeed(curate("nightly", str(workspace.root)))
        assert_sound(workspace, world.expected)
        shutil.rmtree(workspace.root)
    return FaultRow(
        "a source that vanishes",
        f"a folder renamed: {', '.join(moments)}",
        len(moments),
        said,
        "its images wait, none is lost or marked for good; it is back, and the next night ends as undisturbed",
    )


class _Renaming:
    """Called in the forked night: renames the folder now, or from a thread as soon as the night reads or decodes."""

    def __init__(self, workspace: Workspace, source: Path, away: Path, moment: str) -> None:
        self._workspace, self._source, self._away, self._moment = workspace, source, away, moment

    def __call__(self) -> None:
        if self._moment == "away":
            self._source.rename(self._away)
            return
        if self._moment == "ingest":
            from curation.stages import ingest

            really = ingest.read_bytes
            reads = 0

            def read(uri: str) -> bytes:
                nonlocal reads
                reads += self._source.as_uri() in uri
                if reads == 10 and self._source.exists():
                    self._source.rename(self._away)
                return really(uri)

            ingest.read_bytes = read
            return
        threading.Thread(target=self._when_embedding, daemon=True).start()

    def _when_embedding(self) -> None:
        while not any(self._workspace.embeddings.glob("*/*.safetensors")):
            time.sleep(0.002)
        self._source.rename(self._away)


def cut_tar(world: World, times: int) -> FaultRow:
    """Cut a tar of the novel images short after it was ingested, then bring it back as it was."""
    folder = world.folder / "tars"
    folder.mkdir()
    tar = folder / "novel.tar"
    images = Path(world.config.nightly.sources[1].path)
    with tarfile.open(tar, "w") as archive:
        for path in sorted(images.rglob("*.jpg")):
            archive.add(path, f"{path.parent.name}/{path.name}")
    sources = (world.config.nightly.sources[0], NightlySource(path=str(tar), role=Role.NOVEL))
    config = world.config.model_copy(update={"nightly": world.config.nightly.model_copy(update={"sources": sources})})
    undisturbed = create_workspace(folder / "undisturbed", config)
    succeed(curate("nightly", str(undisturbed.root)))
    expected = outcome(undisturbed)
    whole, facts = tar.read_bytes(), tar.stat()
    said = ""
    for number in range(times):
        workspace = create_workspace(folder / f"cut-{number}", config)
        succeed(curate("ingest", str(workspace.root), str(sources[0].path), "--role", "base"))
        succeed(curate("ingest", str(workspace.root), str(tar), "--role", "novel"))
        os.truncate(tar, len(whole) * (number + 1) // (times + 1))
        found = curate("run" if number % 2 == 0 else "nightly", str(workspace.root))
        if found.status != 0:
            said = failed_in_words(found)
        tar.write_bytes(whole)
        if number % 4 < 2:
            os.utime(tar, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as a disk that comes back, not a new copy
        succeed(curate("nightly", str(workspace.root)))
        found_now = outcome(workspace)
        same = {part: values for part, values in expected.items() if part not in ("samples", "records", "decisions")}
        assert_same(found_now, same, workspace.root)
        assert found_now["samples"].keys() == expected["samples"].keys()
        shutil.rmtree(workspace.root)
    return FaultRow(
        "a tar cut short",
        "after it was ingested, at several lengths; then it is back",
        times,
        said,
        "its images wait; the next night ends as undisturbed",
    )

"""A few of each fault that `python -m tests.benchmarks faults` does many times; what does not hold raises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.config import Config
from curation.decoding import KILLED
from curation.embedding_shards import (
    drop_images,
    listed_digests,
    read_embedding,
    read_embeddings,
    shards_of,
    stored_digests,
    write_shard,
)
from curation.errors import EmbeddingError
from curation.flow import new_run_id, run_stages
from curation.review.pictures import thumbnail
from curation.seal import seal, unseal
from curation.stages import embed
from curation.store.connection import catalog
from curation.store.images import put_image_facts, read_image_facts
from curation.store.runs import read_stages, start_run
from curation.store.samples import read_samples
from curation.values import ImageFacts, Role
from curation.workspace import Workspace
from pipelines.nightly.flow import STEPS, nightly
from tests.benchmarks import (
    faults_damage,
    faults_disk,
    faults_kills,
    faults_processes,
    faults_review,
    faults_sources,
)
from tests.benchmarks.faults_world import FaultRow, World, world_after
from tests.night_factory import FirstNight


@pytest.fixture(scope="session")
def world(first_night: FirstNight, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The workspace of the other tests of nights, and what it came to after people had decided."""
    folder = tmp_path_factory.mktemp("faults")
    night_s = sum(first_night.result.durations_s.values())
    return world_after(folder, first_night.workspace, first_night.config, night_s=night_s)


@pytest.fixture(scope="session")
def light(world: World) -> World:
    """The same, begun where only the embeddings are missing: what has to be made good takes a second."""
    begun = world.copy(world.finished, "begun")
    for path in begun.embeddings.glob("*/*.safetensors"):
        path.unlink()
    return replace(world, empty=begun, decisions=(), night_s=world.night_s / 3)


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    assert os.environ["OMP_NUM_THREADS"] == "1"  # commands are forked here


def done(row: FaultRow) -> FaultRow:
    """The row, unless this machine cannot do that."""
    if row.done.startswith("skipped"):
        pytest.skip(row.done)
    return row


def test_kill__nights_at_random_moments(light: World) -> None:  # tests/test_nightly.py: a whole night, step by step
    assert faults_kills.kill_nights(light, 2, seed=2).times == 2


def test_kill__exports_over_an_earlier_one(world: World) -> None:
    assert faults_kills.kill_exports(world, 3).times >= 3


def test_kill__the_review_app_as_decisions_arrive(world: World) -> None:
    assert faults_review.kill_review(world, 4).times == 4


def test_disk__full_in_a_night(light: World) -> None:
    assert done(faults_disk.fill_disk(light, 1)).said


def test_disk__full_under_the_review_app_and_an_export(world: World) -> None:
    assert "Free some space" in done(faults_disk.fill_disk_elsewhere(world)).said


def test_disk__read_only(world: World) -> None:
    assert "Read-only" in done(faults_disk.read_only_disk(world)).said


def test_source__vanishes_half_way(light: World) -> None:
    faults_sources.vanishing_source(light, ("embed",))


def test_catalogue__cut_short(world: World) -> None:
    assert "move it away" in faults_damage.cut_catalogue(world, 1).said


def test_catalogue__its_log_cut_short(world: World) -> None:
    faults_damage.cut_log_of_catalogue(world, 1)


def test_flipped_bit__in_a_shard(world: World) -> None:
    faults_damage.flip_in_shards(world, 1)


def test_flipped_bit__in_a_model(world: World) -> None:
    assert "damaged" in faults_damage.flip_in_models(world, 1).said


def test_flipped_bit__in_a_snapshot(world: World) -> None:
    faults_damage.flip_in_snapshots(world, 1)


def test_clock__goes_back(world: World) -> None:
    faults_processes.set_clock_back(world, 1)


def test_two_starts__at_once(world: World) -> None:
    assert "has been running since" in faults_processes.start_two_at_once(world, 1).said


def test_workers__all_killed_for_memory(light: World) -> None:
    assert faults_processes.kill_all_workers(light).times > 2


def test_flipped_bit__any_of_a_shard_is_found(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, "encoder")
    rows = np.eye(3, 4, dtype=np.float32)
    digests = [f"{number:064x}" for number in range(3)]
    path = write_shard(shards, digests, rows)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for read in (
            listed_digests,
            lambda shards: read_embedding(shards, digests[1]),
            lambda shards: drop_images(shards, set(digests)),
        ):
            path.write_bytes(whole)
            faults_damage.flip_bit(path, place, place % 8)
            try:
                read(shards)  # type: ignore[operator]
            except EmbeddingError:
                continue  # any other error would not be one of ours
        path.with_suffix(".damaged").unlink(missing_ok=True)
        path.write_bytes(whole)
        faults_damage.flip_bit(path, place, place % 8)
        assert stored_digests(shards) == set()  # put aside
        with pytest.raises(EmbeddingError, match="1 damaged shards were put aside"):
            read_embeddings(shards, digests)


def test_embed__images_that_may_do_now_are_tried_again(world: World, tmp_path: Path) -> None:
    workspace = world.copy(world.finished, "ws", tmp_path)
    with catalog(workspace) as connection:
        known = list(read_image_facts(connection).values())
        reasons = (KILLED, "the archive ends inside the image: 3 of 9 bytes are there", "the decoder crashed (SIGSEGV)")
        blamed = [ImageFacts(facts.sha256, reason=reason) for facts, reason in zip(known, reasons, strict=False)]
        put_image_facts(connection, blamed[:1])
    assert not embed.intact(workspace, summary_of(workspace, "embed"))
    run_stages(workspace, world.config, command="run", stages=(embed.STAGE,))
    with catalog(workspace) as connection:
        assert list(read_image_facts(connection).values()) == known
        put_image_facts(connection, blamed[1:2])
    assert not embed.intact(workspace, summary_of(workspace, "embed"))  # its bytes can be had
    with catalog(workspace) as connection:
        put_image_facts(connection, [known[1], blamed[2]])
    assert embed.intact(workspace, summary_of(workspace, "embed"))  # it would crash again


def summary_of(workspace: Workspace, stage: str) -> dict[str, Any]:
    with catalog(workspace) as connection:
        return read_stages(connection)[stage].summary


def test_run_ids__sort_as_runs_began(workspace: Workspace) -> None:
    (workspace.runs / "20990230T000000-ffffff").mkdir()  # no day: of somebody else
    first, second = new_run_id(workspace), new_run_id(workspace)
    assert first[:8] == second[:8] < "2099"
    ids = [new_run_id(workspace)]
    for place in (workspace.runs, workspace.history):
        place.mkdir(exist_ok=True)
        for _ in range(3):  # within one second
            (place / (f"{ids[-1]}.json" if place == workspace.history else ids[-1])).mkdir()
            ids.append(new_run_id(workspace))
    with catalog(workspace) as connection:
        start_run(connection, "20981231T235959-000000", "run", Config())
    ids.append(new_run_id(workspace))
    assert ids == sorted(ids) and ids[-1].startswith("20990101T000000-")
    workspace.catalog.write_bytes(b"no catalogue")
    assert new_run_id(workspace) < "2099"  # whoever needs the catalogue says what is wrong with it


def test_retention__takes_what_killed_commands_left(world: World, tmp_path: Path) -> None:
    workspace = world.copy(world.finished, "ws", tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = [workspace.snapshots / f".{dead.pid}.partial", workspace.snapshots / f".{dead.pid}.partial.wal"]
    left.append(workspace.network.with_name(f".similarity.safetensors.{dead.pid}-7.partial"))
    mine = workspace.snapshots / f".{os.getppid()}.partial"
    for path in (*left, mine):
        path.write_bytes(b"half")
    result = nightly(workspace, world.config, steps=(STEPS[0], STEPS[-1]))
    assert result.status == "done" and not any(path.exists() for path in left) and mine.exists()


def test_pictures__are_drawn_where_they_cannot_be_kept(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = world.copy(world.finished, "ws", tmp_path)
    workspace.thumbnails.write_bytes(b"in the way")
    with catalog(workspace) as connection:
        sample = read_samples(connection, Role.NOVEL)[0]
    assert thumbnail(workspace, world.config, sample.sample_id, 64)
    assert "cannot be kept" in caplog.text


def test_seal__any_flipped_bit_is_found_or_changes_nothing() -> None:
    document = b'{\n "images": 37,\n "name": "a"\n}'
    sealed = seal(document)
    assert json.loads(sealed) == {"images": 37, "name": "a", "sha256": json.loads(sealed)["sha256"]}
    assert json.loads(unseal(sealed)) == json.loads(unseal(document)) == {"images": 37, "name": "a"}
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            read = json.loads(unseal(bytes(damaged)))
        except ValueError:
            continue
        assert {name: read[name] for name in ("images", "name")} == {"images": 37, "name": "a"}

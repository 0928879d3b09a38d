from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from curation.config import Config, EmbeddingConfig, write_config
from curation.doctor import REGISTRY, examine, open_damaged
from curation.doctor.finding import Diagnosis, Level, ok
from curation.doctor.versions import judge
from curation.embedding_shards import shards_of, write_shard
from curation.encoders import find_weights
from curation.errors import CurationError, EncoderError, WorkspaceError
from curation.nightly_config import NightlyConfig, NightlySource
from curation.run_lock import run_lock
from curation.store.connection import catalog
from curation.store.decisions import append_decision
from curation.store.journal import journal
from curation.store.leases import take_leases
from curation.store.runs import finish_run, put_stage, start_run
from curation.store.snapshot import current_snapshot, publish_snapshot, snapshot
from curation.values import Decision, DecisionAction, Role
from curation.workspace import Workspace
from tests.review_factory import RUN, publish

NEVER = 2**22 + 1  # no process has this number: the kernel stops before
ENCODER = "builtin#0"


@pytest.fixture
def published(workspace: Workspace) -> Workspace:
    """Two novel categories, finished and published, without images."""
    publish(workspace, {"wren": [0.9, 0.1], "robin": [0.2]})
    with catalog(workspace) as connection:
        finish_run(connection, RUN)
    with journal(workspace.journal):
        return workspace


def diagnosed(workspace: Workspace, check: str, *, fix: bool = False, thorough: bool = False) -> list[Diagnosis]:
    return examine(workspace, fix=fix, thorough=thorough, checks={check: REGISTRY[check]})


def only(workspace: Workspace, check: str, *, fix: bool = False, thorough: bool = False) -> Diagnosis:
    (found,) = diagnosed(workspace, check, fix=fix, thorough=thorough)
    return found


def add_shard(workspace: Workspace, names: list[str], encoder: str = ENCODER) -> Path:
    digests = [sha256(name.encode()).hexdigest() for name in names]
    return write_shard(shards_of(workspace.embeddings, encoder), digests, np.ones((len(names), 4), np.float32))


def flip_a_bit(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_doctor__changes_nothing_and_finds_no_problem_in_a_new_workspace(workspace: Workspace) -> None:
    before = contents(workspace.root)
    found = examine(workspace)
    assert [one for one in found if one.level is Level.PROBLEM] == []
    assert {one.check for one in found} == set(REGISTRY)
    assert all(one.sentence.endswith((".", "!")) and (one.advice or one.level is Level.OK) for one in found)
    assert contents(workspace.root) == before


def test_doctor__changes_nothing_in_a_damaged_workspace(published: Workspace) -> None:
    current_snapshot(published).unlink()
    flip_a_bit(add_shard(published, ["a"]))
    published.network.write_bytes(b"")
    before = contents(published.root)
    assert any(one.is_open_problem for one in examine(published))
    assert contents(published.root) == before


def test_doctor__a_check_that_fails_hides_no_other(workspace: Workspace) -> None:
    def breaks(_: object) -> list[object]:
        raise KeyError("sha256")

    def refuses(_: object) -> list[object]:
        raise CurationError("it is locked.", hint="Wait.")

    checks = {"one": breaks, "two": refuses, "three": lambda _: [ok("fine.")]}
    one, two, three = examine(workspace, checks=checks)  # type: ignore[arg-type]
    assert one.level is Level.PROBLEM and "KeyError" in one.sentence
    assert two.level is Level.WARNING and "it is locked" in two.sentence and two.advice == "Wait."
    assert three.level is Level.OK


def test_doctor__a_repair_that_fails_is_told(workspace: Workspace) -> None:
    def repair() -> str:
        raise PermissionError(13, "Permission denied")

    def find(_: object) -> list[object]:
        from curation.doctor.finding import problem

        return [problem("it is broken.", "--fix mends it.", repair)]

    (found,) = examine(workspace, fix=True, checks={"one": find})  # type: ignore[dict-item]
    assert found.is_open_problem and "could not be fixed" in found.done


def test_doctor__an_unusable_configuration_hides_nothing_else(published: Workspace) -> None:
    published.config_file.write_text("[scorring]\n")
    found = examine(published)
    by_check = {one.check: one for one in found}
    assert by_check["configuration"].level is Level.PROBLEM and "scoring" in by_check["configuration"].advice
    assert by_check["disk"].level is Level.WARNING and "not examined" in by_check["disk"].sentence
    assert by_check["journal"].level is Level.OK
    published.config_file.unlink()
    assert only(published, "configuration").level is Level.PROBLEM


def test_open_damaged__wants_some_part_of_a_workspace(tmp_path: Path, published: Workspace) -> None:
    published.config_file.unlink()
    assert open_damaged(published.root) == published
    with pytest.raises(WorkspaceError, match="not a workspace"):
        open_damaged(tmp_path)


@pytest.mark.parametrize(
    ("needed", "problems"),
    [
        (["numpy>=2.0", "psutil>=7; extra == 'dev'"], []),
        (["numpy>=99.1"], ["numpy 2"]),
        (["no-such-library>=1"], ["no-such-library is not installed"]),
        (["streamlit[auth]>=99"], ["streamlit 1"]),
    ],
)
def test_versions__missing_and_old_libraries(needed: list[str], problems: list[str]) -> None:
    first, *bad = judge(needed)
    assert first.level is Level.OK and len(bad) == len(problems)
    assert all(finding.sentence.startswith(start) for finding, start in zip(bad, problems, strict=True))


def test_devices__asking_for_a_gpu_that_is_not_there(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    write_config(Config(embedding=EmbeddingConfig(device="cuda")), workspace.config_file)
    found = diagnosed(workspace, "devices")
    assert [one.sentence for one in found if one.level is Level.PROBLEM] == [
        "embedding: device 'cuda' was asked for and torch sees no GPU."
    ]
    assert any("4096" in one.sentence and one.level is Level.WARNING for one in found)


@pytest.mark.parametrize(("gpus", "level"), [([], Level.OK), (["H100"], Level.WARNING)])
def test_faiss__a_cpu_build_beside_a_gpu(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, gpus: list[str], level: Level
) -> None:
    from curation.doctor import faiss_build
    from indexes.faiss_index import FaissBuild

    monkeypatch.setattr("curation.devices.visible_gpus", lambda: gpus)
    monkeypatch.setattr(faiss_build, "faiss_build", lambda: FaissBuild("1.15", 0, 2, "AVX2"))
    assert only(workspace, "faiss").level is level


def test_configuration__doubts(workspace: Workspace) -> None:
    config = Config(
        nightly=NightlyConfig(
            sources=(NightlySource(path="nowhere", role=Role.NOVEL), NightlySource(path="exports", role=Role.BASE)),
            promise=0.02,
        )
    )
    write_config(config, workspace.config_file)
    (workspace.root / "secrets.toml").touch(mode=0o644)
    levels = {one.sentence.split()[0]: one.level for one in diagnosed(workspace, "configuration")}
    assert levels["nightly.sources"] is Level.PROBLEM and levels["nightly.promise"] is Level.WARNING
    assert levels[str(workspace.root / "secrets.toml")] is Level.WARNING


def test_encoder__weights_without_loading_them(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "torch"))
    assert only(workspace, "encoder").level is Level.OK
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"\0" * 100)
    write_config(Config(embedding=EmbeddingConfig(encoder=f"timm/resnet18@{file}")), workspace.config_file)
    assert "damaged" in only(workspace, "encoder").sentence
    file.unlink()
    assert "does not exist" in only(workspace, "encoder").sentence
    write_config(Config(embedding=EmbeddingConfig(encoder="timm/resnet50.a1_in1k")), workspace.config_file)
    assert "downloads" in only(workspace, "encoder").sentence
    kept = tmp_path / "torch" / "checkpoints" / "resnet50_a1_0-14fe96d1.pth"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert find_weights("timm/resnet50.a1_in1k") == kept
    with pytest.raises(EncoderError, match="unknown encoder"):
        find_weights("resnet")


def test_disk__needs_room_for_the_next_run(published: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [10**12]
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free[0]})())
    assert only(published, "disk").level is Level.OK
    free[0] = 10**9
    assert "a night does not begin" in only(published, "disk").sentence
    free[0] = 1000
    assert only(published, "disk").is_open_problem


def test_permissions__missing_folders_are_made(workspace: Workspace) -> None:
    workspace.exports.rmdir()
    assert "exports" in only(workspace, "permissions").sentence
    assert only(workspace, "permissions", fix=True).done == "made exports."
    assert only(workspace, "permissions").level is Level.OK


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_permissions__a_folder_that_is_read_only(workspace: Workspace) -> None:
    workspace.snapshots.chmod(0o500)
    assert only(workspace, "permissions").is_open_problem


def test_run_lock__who_holds_it_and_who_died_with_it(workspace: Workspace) -> None:
    assert "no command" in only(workspace, "run lock").sentence
    holder = (
        "import os, sys; from pathlib import Path; from curation.run_lock import run_lock;"
        "from curation.workspace import Workspace\n"
        "with run_lock(Workspace(Path(sys.argv[1])), 'run'): print('held', flush=True); sys.stdin.read(1); os._exit(1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(workspace.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        held = only(workspace, "run lock")
        assert held.level is Level.OK and f"process {process.pid}" in held.sentence
        add_shard(workspace, ["a"]).with_name(f".x.{NEVER}.partial").touch()
        (workspace.exports).rmdir()
        left = only(workspace, "permissions", fix=True)
        assert "left as it is" in left.done and not left.fixed and not workspace.exports.exists()
        assert "a command is writing" in only(workspace, "leftovers").sentence
    stale = only(workspace, "run lock")
    assert stale.level is Level.WARNING and f"process {process.pid}" in stale.sentence
    assert only(workspace, "run lock", fix=True).fixed
    assert only(workspace, "run lock").level is Level.OK


def test_runs__one_that_never_ended(published: Workspace) -> None:
    assert only(published, "runs").level is Level.OK
    with catalog(published) as connection:
        start_run(connection, "20990101T000000-bbbbbb", "run", Config())
    with run_lock(published, "run"):
        pass
    assert "never came to its end" in only(published, "runs").sentence


def test_journal__whole_damaged_missing_and_of_another_version(published: Workspace) -> None:
    with journal(published.journal) as connection:
        append_decision(connection, Decision("wren-00000", DecisionAction.KEEP, "anna"))
    assert "1 records" in only(published, "journal").sentence
    with closing(sqlite3.connect(published.journal)) as direct, direct:
        direct.execute("DROP TRIGGER decisions_no_DELETE")
    assert "decisions_no_DELETE is missing" in only(published, "journal").sentence
    with closing(sqlite3.connect(published.journal)) as direct, direct:
        direct.execute("PRAGMA user_version = 99")
    assert "schema 99" in only(published, "journal").sentence
    whole = published.journal.read_bytes()
    published.journal.write_bytes(whole[:5000])
    assert only(published, "journal").is_open_problem
    published.journal.write_bytes(b"not a database, but long enough to look at" * 100)
    assert only(published, "journal").is_open_problem
    published.journal.unlink()
    assert "is missing" in only(published, "journal").sentence


def test_journal__an_older_one_is_not_brought_up_to_date(workspace: Workspace) -> None:
    from curation.store.journal_schema import MIGRATIONS

    with closing(sqlite3.connect(workspace.journal)) as direct, direct:
        for statement in (*MIGRATIONS[0], "PRAGMA user_version = 1"):
            direct.execute(statement)
    assert only(workspace, "journal").level is Level.OK
    with closing(sqlite3.connect(workspace.journal)) as direct:
        assert direct.execute("PRAGMA user_version").fetchone() == (1,)


def test_decisions__newer_than_the_noise(published: Workspace) -> None:
    from curation.stages.noise import fingerprint

    with catalog(published) as connection:
        put_stage(connection, "noise", "0", RUN, {"judged": 3})
    with catalog(published) as connection:
        put_stage(connection, "noise", fingerprint(published, Config()), RUN, {"judged": 3})
    assert only(published, "decisions").level is Level.OK
    with journal(published.journal) as connection:
        append_decision(connection, Decision("wren-00000", DecisionAction.DROP, "anna"))
    assert "1 decisions came after" in only(published, "decisions").sentence
    with journal(published.journal) as connection:
        append_decision(connection, Decision("wren-00000", DecisionAction.UNDO, "anna"))
    assert only(published, "decisions").level is Level.OK  # nothing is left to apply


def test_leases__ended_long_ago(published: Workspace) -> None:
    now = datetime.now(UTC)
    with journal(published.journal) as connection:
        take_leases(connection, ["a", "b"], "p1", "anna", now, now - timedelta(days=2))
        take_leases(connection, ["c"], "p2", "anna", now, now - timedelta(hours=2))
    assert "2 images" in only(published, "leases").sentence
    assert only(published, "leases", fix=True).done.startswith("took 2")
    assert only(published, "leases").level is Level.OK


def test_catalogue__damaged_missing_and_not_made_by_looking(published: Workspace, workspace: Workspace) -> None:
    assert "3 novel" in only(published, "catalogue").sentence
    published.catalog.write_bytes(published.catalog.read_bytes()[:3000])
    assert only(published, "catalogue").is_open_problem
    assert "not examined" in only(published, "runs").sentence
    published.catalog.unlink()
    assert "is missing" in only(published, "catalogue").sentence
    assert not published.catalog.exists()


@pytest.mark.parametrize("damage", ["no CURRENT", "no file", "cut short"])
def test_snapshots__published_anew(published: Workspace, damage: str) -> None:
    assert only(published, "snapshots").level is Level.OK
    path = current_snapshot(published)
    if damage == "no CURRENT":
        (published.snapshots / "CURRENT").unlink()
    elif damage == "no file":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:2000])
    found = only(published, "snapshots")
    assert found.is_open_problem and found.can_be_fixed
    assert only(published, "snapshots", fix=True).fixed
    assert only(published, "snapshots").level is Level.OK
    with snapshot(published):
        pass


def test_snapshots__older_than_the_stages(published: Workspace) -> None:
    with catalog(published) as connection:
        put_stage(connection, "flag", "new", RUN, {})
    assert "older than" in only(published, "snapshots").sentence
    publish_snapshot(published)
    assert only(published, "snapshots").level is Level.OK


def test_sources__one_that_vanished(published: Workspace) -> None:
    (found,) = [one for one in diagnosed(published, "sources") if "novel" in one.sentence]
    assert found.level is Level.WARNING and "/nowhere" in found.sentence and "3 samples" in found.sentence


def test_models__another_file_than_was_learned(published: Workspace) -> None:
    published.network.write_bytes(b"network")
    with catalog(published) as connection:
        digest = sha256(b"network").hexdigest()
        put_stage(connection, "train-similarity", "f", RUN, {"network": "n", "file": digest})
    assert only(published, "models").level is Level.OK
    flip_a_bit(published.network)
    assert "not the file" in only(published, "models").sentence
    published.network.unlink()
    assert "missing" in only(published, "models").sentence


@pytest.mark.parametrize("damage", ["bit", "cut", "empty"])
def test_shards__damaged_ones_are_deleted_and_no_others(workspace: Workspace, damage: str) -> None:
    whole, broken = add_shard(workspace, ["a", "b"]), add_shard(workspace, ["c"])
    assert only(workspace, "shards").level is Level.OK
    if damage == "bit":
        flip_a_bit(broken)
    else:
        broken.write_bytes(broken.read_bytes()[: -1 if damage == "cut" else 0])
    found = only(workspace, "shards")
    assert found.is_open_problem and str(broken) in found.sentence
    assert only(workspace, "shards", fix=True).done.startswith("deleted 1")
    assert whole.exists() and not broken.exists()


def test_shards__thorough_reads_all_of_many(workspace: Workspace) -> None:
    paths = [add_shard(workspace, [str(number)]) for number in range(70)]
    assert "64 drawn at random" in only(workspace, "shards").sentence
    flip_a_bit(paths[33])
    assert only(workspace, "shards", thorough=True).is_open_problem


def test_orphans__other_encoders_and_images_that_are_gone(published: Workspace) -> None:
    from curation.store.samples import image_digests

    with catalog(published) as connection:
        put_stage(connection, "embed", "f", RUN, {"encoder": ENCODER, "images": 3})
        shown = image_digests(connection)
    write_shard(shards_of(published.embeddings, ENCODER), shown, np.ones((len(shown), 4), np.float32))
    assert only(published, "orphans").level is Level.OK
    add_shard(published, ["gone"])
    add_shard(published, ["a"], encoder="old#1")
    other, gone = diagnosed(published, "orphans")
    assert "old-1" in other.sentence and not other.can_be_fixed and "1 of" in gone.sentence
    assert diagnosed(published, "orphans", fix=True)[1].done.startswith("dropped")
    add_shard(published, [str(number) for number in range(100)])
    mostly = diagnosed(published, "orphans")[-1]
    assert "100 of" in mostly.sentence and not mostly.can_be_fixed  # the catalogue may be the one that is wrong


def old(path: Path) -> None:
    long_ago = (datetime.now(UTC) - timedelta(hours=2)).timestamp()
    os.utime(path, (long_ago, long_ago))


def test_leftovers__of_dead_processes_only(workspace: Workspace) -> None:
    folder = shards_of(workspace.embeddings, ENCODER).folder
    dead = [
        folder / f".abc.safetensors.{NEVER}-17.partial",
        folder / "abc.damaged",
        workspace.snapshots / f".{NEVER}.partial",
        workspace.snapshots / f".{NEVER}.partial.wal",
        workspace.runs / f".report.html.{NEVER}-1.partial",
    ]
    alive = [
        folder / f".abc.safetensors.{os.getppid()}-17.partial",
        workspace.runs / f".fresh.html.{NEVER}-1.partial",  # perhaps of a process in another container
        folder / "abc.safetensors.bak",
    ]
    for path in (*dead, *alive):
        path.touch()
    old(dead[-1])
    assert f"left {len(dead)}" in only(workspace, "leftovers").sentence
    assert only(workspace, "leftovers", fix=True).fixed
    assert not any(path.exists() for path in dead) and all(path.exists() for path in alive)


def test_leftovers__an_export_killed_between_two_renames_comes_back(workspace: Workspace) -> None:
    replaced, partial = (workspace.exports / f".set.{NEVER}.{state}" for state in ("replaced", "partial"))
    for folder in (replaced, partial):
        folder.mkdir()
    (replaced / "samples.csv").write_text("old")
    for path in (replaced / "samples.csv", replaced, partial):
        old(path)
    assert only(workspace, "leftovers", fix=True).fixed
    assert (workspace.exports / "set" / "samples.csv").read_text() == "old" and not partial.exists()


def test_history__a_damaged_night(workspace: Workspace) -> None:
    workspace.history.mkdir()
    (workspace.history / "20260101T000000-aaaaaa.json").write_text("{")
    assert "cannot be read" in only(workspace, "history").sentence


def test_doctor__works_beside_a_run_that_writes(published: Workspace) -> None:
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.nightly_run", str(published.root)], stdout=subprocess.PIPE, cwd=root
    )
    try:
        assert process.stdout is not None and process.stdout.readline()
        assert [one for one in examine(published) if one.level is Level.PROBLEM] == []
        assert process.stdout.readline()  # and the run goes on
    finally:
        process.kill()
        process.communicate()


def test_command__exit_status_and_json(published: Workspace) -> None:
    current_snapshot(published).unlink()
    done = CliRunner().invoke(app, ["doctor", str(published.root), "--json"])
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert found["snapshots"]["level"] == "problem" and found["snapshots"]["can_be_fixed"]
    told = CliRunner().invoke(app, ["doctor", str(published.root)])
    assert told.exit_code == 1 and "1 of these can be repaired" in told.stdout and "to do:" in told.stdout
    fixed = CliRunner().invoke(app, ["doctor", str(published.root), "--fix"])
    assert fixed.exit_code == 0 and "done: published 00000001.duckdb" in fixed.stdout, fixed.stdout

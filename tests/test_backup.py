from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from curation.backup import back_up
from curation.backup_file import open_backup
from curation.errors import BackupError
from curation.files import file_digest
from curation.flow import run_stages
from curation.restore import restore
from curation.stages.export import export
from curation.stages.ingest import ingest
from curation.status import workspace_status
from curation.store.category_ids import category_ids
from curation.store.cleaned_sets import read_cleaned_sets
from curation.store.connection import catalog
from curation.store.decisions import append_decision, latest_decisions
from curation.store.journal import journal, journal_as_it_is
from curation.store.journal_check import journal_defects
from curation.values import Decision, DecisionAction, Role
from curation.workspace import Workspace
from tests.review_factory import publish
from tests.test_flow import CONFIG, ingested, novel_samples

Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory, small_demo: Path) -> Workspace:
    """Everything has run, people have decided, and it ran again; tests must not change it."""
    workspace = ingested(tmp_path_factory.mktemp("decided") / "ws", small_demo)
    run_stages(workspace, CONFIG, command="run")
    samples = novel_samples(workspace)
    other = next(sample.category for sample in samples if sample.category != samples[2].category)
    with journal(workspace.journal) as connection:
        append_decision(connection, Decision(samples[0].sample_id, DecisionAction.DROP, "anna"))
        append_decision(connection, Decision(samples[1].sample_id, DecisionAction.KEEP, "anna"))
        append_decision(connection, Decision(samples[2].sample_id, DecisionAction.RELABEL, "ben", other))
    run_stages(workspace, CONFIG, command="run")
    workspace.history.mkdir()
    (workspace.history / "20260101T000000-aaaaaa.json").write_text("{}")
    (workspace.root / "secrets.toml").write_text("[auth]\ncookie_secret = 'hush'\n")
    return workspace


def test_restore__gives_the_same_cleaned_set_and_learns_nothing_again(decided: Workspace, tmp_path: Path) -> None:
    before = export(decided, CONFIG, export_format="csv", out=tmp_path / "before", with_base=True).receipt
    receipt = back_up(decided, tmp_path / "backup.tar")
    assert receipt.decisions and receipt.sources == 3 and receipt.exports == 1 and receipt.nights == 1
    assert receipt.models == ("models/noise.safetensors", "models/similarity.safetensors")
    restored = restore(tmp_path / "backup.tar", tmp_path / "elsewhere" / "ws")
    workspace = Workspace(restored.root)
    assert {stage.state for stage in workspace_status(workspace, CONFIG).stages} == {"never run", "out of date"}
    assert all(source.there for source in restored.sources)
    for source in restored.sources:
        ingest(workspace, Path(source.path), Role(source.role))
    results = {result.stage: result.ran for result in run_stages(workspace, workspace.config(), command="run")}
    assert not results["train-similarity"] and not results["train-noise"] and results["score"]
    after = export(workspace, CONFIG, export_format="csv", out=tmp_path / "after", with_base=True).receipt
    assert after.content_hash == before.content_hash and after.kept == before.kept
    assert (tmp_path / "after" / "categories.csv").read_bytes() == (tmp_path / "before" / "categories.csv").read_bytes()
    for read in (latest_decisions, category_ids):
        with journal(decided.journal) as old, journal(workspace.journal) as new:
            assert read(new) == read(old)
    with journal(workspace.journal) as connection:
        assert [record.content_hash for record in read_cleaned_sets(connection)] == [before.content_hash] * 2
    assert (workspace.history / "20260101T000000-aaaaaa.json").read_text() == "{}"
    assert len(list((workspace.root / "manifests").glob("*.json"))) == 1


def test_backup__holds_no_secret_and_no_image(decided: Workspace, tmp_path: Path) -> None:
    receipt = back_up(decided, tmp_path / "backup.tar")
    assert any("secrets.toml" in note for note in receipt.notes)
    names = {member.name for member, _ in members_of(tmp_path / "backup.tar")}
    assert {name.partition("/")[0] for name in names} <= {
        "backup.json",
        "curate.toml",
        "decisions.sqlite",
        "records.json",
        "models",
        "history",
        "manifests",
    }
    assert b"hush" not in (tmp_path / "backup.tar").read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "backup.tar"]


def test_backup__replaces_only_when_asked_and_then_whole(decided: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "backup.tar"
    out.write_text("mine")
    with pytest.raises(BackupError, match="there already"):
        back_up(decided, out)
    with pytest.raises(BackupError, match="is a folder"):
        back_up(decided, tmp_path, overwrite=True)
    with pytest.raises(BackupError, match="cannot be written"):
        back_up(decided, tmp_path / "missing" / "backup.tar")
    assert out.read_text() == "mine"
    back_up(decided, out, overwrite=True)
    with open_backup(out) as (_, manifest):
        assert manifest.workspace == str(decided.root)


@pytest.fixture
def published(workspace: Workspace) -> Workspace:
    """Two novel categories, finished and published, without images."""
    publish(workspace, {"wren": [0.9, 0.1], "robin": [0.2]})
    with journal(workspace.journal) as connection:
        append_decision(connection, Decision("wren-00000", DecisionAction.DROP, "anna"))
    return workspace


def test_backup__a_model_that_is_just_being_learned_is_left_out(published: Workspace, tmp_path: Path) -> None:
    from curation.store.runs import put_stage

    published.network.write_bytes(b"new")
    with catalog(published) as connection:
        put_stage(connection, "train-similarity", "f", "r", {"network": "n", "file": "0" * 64})
    receipt = back_up(published, tmp_path / "1.tar")
    assert receipt.models == () and any("will be again" in note for note in receipt.notes)
    with catalog(published) as connection:  # it has finished, and nothing has been published since
        put_stage(connection, "train-similarity", "f", "r", {"network": "n", "file": file_digest(published.network)})
    assert back_up(published, tmp_path / "2.tar").models == ("models/similarity.safetensors",)


def test_backup__of_a_workspace_whose_catalogue_is_damaged(published: Workspace, tmp_path: Path) -> None:
    for path in (published.catalog, *published.snapshots.glob("*.duckdb")):
        path.write_bytes(b"damaged" * 1000)
    receipt = back_up(published, tmp_path / "backup.tar")
    assert (
        receipt.decisions
        and receipt.sources == 0
        and any("refused" in note or "opened" in note for note in receipt.notes)
    )


def test_backup__of_a_restored_workspace_still_names_its_sources(published: Workspace, tmp_path: Path) -> None:
    back_up(published, tmp_path / "1.tar")
    restored = restore(tmp_path / "1.tar", tmp_path / "new")
    assert [(source.path, source.there) for source in restored.sources] == [("/nowhere", False)] * 2
    assert back_up(Workspace(restored.root), tmp_path / "2.tar").sources == 2


_WRITER = """
import sys
from pathlib import Path
from curation.store.decisions import append_decision
from curation.store.journal import journal
from curation.values import Decision, DecisionAction
for number in range(100_000):
    with journal(Path(sys.argv[1])) as connection:
        append_decision(connection, Decision(f"s{number}", DecisionAction.KEEP, "anna"))
    print(number, flush=True)
"""


def test_backup__has_what_was_acknowledged_before_while_others_write(published: Workspace, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(published.journal)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        for attempt in range(4):
            acknowledged = [int(process.stdout.readline()) for _ in range(20)][-1]
            back_up(published, tmp_path / f"{attempt}.tar")
            copy = Workspace(restore(tmp_path / f"{attempt}.tar", tmp_path / str(attempt)).root).journal
            with journal_as_it_is(copy) as connection:
                assert journal_defects(connection) == []
                found = latest_decisions(connection)
            assert {f"s{number}" for number in range(acknowledged + 1)} <= found.keys()
            assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def members_of(path: Path) -> list[Member]:
    with tarfile.open(path) as archive:
        contents = [(member, archive.extractfile(member)) for member in archive]
        return [(member, b"" if content is None else content.read()) for member, content in contents]


def write_tar(path: Path, members: list[Member], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return path


def with_member(members: list[Member], name: str, data: bytes) -> list[Member]:
    """With one more member, which the manifest names too."""
    (first, text), *rest = members
    manifest = json.loads(text)
    manifest["files"].append({"path": name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return [_named(first.name, json.dumps(manifest).encode()), *rest, _named(name, data)]


def _named(name: str, data: bytes) -> Member:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    return member, data


def _link(members: list[Member]) -> list[Member]:
    """`curate.toml` as a link to a file outside."""
    links = []
    for member, data in members:
        if member.name == "curate.toml":
            member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
        links.append((member, b"" if member.issym() else data))
    return links


def _damaged(members: list[Member]) -> list[Member]:
    return [
        (member, data[:-1] + bytes([data[-1] ^ 1]) if member.name == "decisions.sqlite" else data)
        for member, data in members
    ]


def _without(members: list[Member]) -> list[Member]:
    return [(member, data) for member, data in members if member.name != "decisions.sqlite"]


HOSTILE: dict[str, Callable[[list[Member]], list[Member]]] = {
    "a name that climbs": lambda members: with_member(members, "../evil", b"x"),
    "an absolute name": lambda members: with_member(members, "/etc/evil", b"x"),
    "a name in a folder of its own": lambda members: with_member(members, "models/../../evil", b"x"),
    "a file that the manifest does not name": lambda members: [*members, _named("evil", b"x")],
    "a member twice": lambda members: [*members, members[1]],
    "a link": _link,
    "a flipped bit": _damaged,
    "a missing member": _without,
    "no manifest": lambda members: members[1:],
    "a manifest that is no JSON": lambda members: [_named("backup.json", b"{"), *members[1:]],
    "a manifest of another kind": lambda members: [_named("backup.json", b'{"kind": "x"}'), *members[1:]],
    "a list for a manifest": lambda members: [_named("backup.json", b"[]"), *members[1:]],
    "a newer schema": lambda members: [_named("backup.json", b'{"schema_version": 2}'), *members[1:]],
    "deep nesting": lambda members: [_named("backup.json", b"[" * 200_000), *members[1:]],
}


@pytest.mark.parametrize("how", HOSTILE)
def test_restore__refuses_hostile_and_damaged_backups(published: Workspace, tmp_path: Path, how: str) -> None:
    back_up(published, tmp_path / "backup.tar")
    hostile = write_tar(tmp_path / "hostile.tar", HOSTILE[how](members_of(tmp_path / "backup.tar")))
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(published.root)}
    with pytest.raises(BackupError) as caught:
        restore(hostile, tmp_path / "new")
    assert caught.value.hint
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(published.root)} == before


def test_restore__refuses_sparse_files_of_absurd_size(published: Workspace, tmp_path: Path) -> None:
    """A few bytes in the archive that would be a terabyte on the disk."""
    back_up(published, tmp_path / "backup.tar")
    members = with_member(members_of(tmp_path / "backup.tar"), "history/0.json", b"x")
    members[-1][0].pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(2**40), "GNU.sparse.map": "0,1"}
    with pytest.raises(BackupError, match=r"no backup holds|not whole"):
        restore(write_tar(tmp_path / "sparse.tar", members), tmp_path / "new")


def test_restore__refuses_compressed_archives_and_other_files(published: Workspace, tmp_path: Path) -> None:
    back_up(published, tmp_path / "backup.tar")
    packed = write_tar(tmp_path / "packed.tgz", members_of(tmp_path / "backup.tar"), "w:gz")
    cut = tmp_path / "cut.tar"
    cut.write_bytes((tmp_path / "backup.tar").read_bytes()[:20_000])
    for path in (packed, cut, published.journal, tmp_path, tmp_path / "missing.tar"):
        with pytest.raises(BackupError):
            restore(path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_restore__refuses_a_journal_that_is_damaged_as_it_was_backed_up(published: Workspace, tmp_path: Path) -> None:
    with closing(sqlite3.connect(published.journal)) as direct, direct:
        direct.execute("DROP TRIGGER decisions_no_UPDATE")
    back_up(published, tmp_path / "backup.tar")
    with pytest.raises(BackupError, match="decisions_no_UPDATE is missing"):
        restore(tmp_path / "backup.tar", tmp_path / "new")


def test_restore__into_a_new_or_empty_folder_only(published: Workspace, tmp_path: Path) -> None:
    back_up(published, tmp_path / "backup.tar")
    with pytest.raises(BackupError, match="not an empty folder"):
        restore(tmp_path / "backup.tar", published.root)
    (tmp_path / "empty").mkdir()
    assert restore(tmp_path / "backup.tar", tmp_path / "empty").root == tmp_path / "empty"


def test_restore__says_what_the_configuration_misses_here(published: Workspace, tmp_path: Path) -> None:
    published.config_file.write_text(
        "[embedding]\nencoder = 'timm/resnet18@/far/away.safetensors'\n[nightly]\ntrain = ['rm']\n"
    )
    back_up(published, tmp_path / "1.tar")
    notes = " ".join(restore(tmp_path / "1.tar", tmp_path / "1").notes)
    assert "/far/away.safetensors" in notes and "names commands" in notes
    published.config_file.write_text("[scorring]\n")
    back_up(published, tmp_path / "2.tar")
    assert any("scorring" in note for note in restore(tmp_path / "2.tar", tmp_path / "2").notes)


def test_commands__backup_and_restore_with_ingest(decided: Workspace, tmp_path: Path) -> None:
    run = CliRunner().invoke
    file, root = str(tmp_path / "backup.tar"), tmp_path / "new"
    assert run(app, ["backup", str(decided.root), file]).exit_code == 0
    assert isinstance(run(app, ["backup", str(decided.root), file]).exception, BackupError)
    assert json.loads(run(app, ["backup", str(decided.root), file, "--overwrite", "--json"]).stdout)["sources"] == 3
    told = run(app, ["restore", file, str(root)])
    assert told.exit_code == 0 and told.stdout.count("curate ingest") == 3 and "curate run" in told.stdout
    shutil.rmtree(root)
    done = json.loads(run(app, ["restore", file, str(root), "--ingest", "--json"]).stdout)
    assert [report["added"] > 0 for report in done["ingested"]] == [True] * 3

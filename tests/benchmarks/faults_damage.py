"""Bits that flip and files that are cut short: found, said, and made good by what the message says."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from curation.errors import CurationError
from curation.export.reading import check_export, read_export
from curation.history.keeping import read_history
from curation.report.record import read_record
from curation.store.connection import catalog
from curation.store.runs import start_run
from curation.workspace import Workspace
from tests.benchmarks.faults_world import (
    Command,
    FaultRow,
    World,
    assert_sound,
    curate,
    failed_in_words,
    succeed,
)

_MOVE_AWAY = "move it away"  # what the message on a catalogue says


def flip_bit(path: Path, place: int, bit: int = 0) -> None:
    """Let one bit of a file be another."""
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << bit)]))


def places_of(path: Path, times: int, chance: random.Random) -> Iterator[int]:
    """Places all over a file: its first bytes, its last, and others at random."""
    size = path.stat().st_size
    fixed = [8, size - 1, size // 2, 0]  # of a safetensors file: in the header, in the last array
    yield from (*fixed[:times], *(chance.randrange(size) for _ in range(times - len(fixed))))


def flip_in_shards(world: World, times: int, *, seed: int = 0) -> FaultRow:
    """Flip a bit of a shard: no stage takes its vectors, and the next night embeds those images again."""
    chance = random.Random(seed)
    said = ""
    workspace = world.copy(world.finished, f"shard-{seed}")
    for number in range(times):
        path = chance.choice(sorted(workspace.embeddings.glob("*/*.safetensors")))
        place = list(places_of(path, number + 1, chance))[-1]
        flip_bit(path, place, chance.randrange(8))
        found = curate("score", str(workspace.root))
        if found.status != 0:  # else it held none of the images that are scored
            said = failed_in_words(found)
            assert "put aside" in said, said
        assert not path.exists(), f"{path} is damaged and was used"
        succeed(curate("nightly", str(workspace.root)))
        for aside in workspace.embeddings.glob("*/*.damaged"):
            aside.unlink()  # of which the doctor tells, and which it removes
        assert_sound(workspace, world.expected)
    shutil.rmtree(workspace.root)
    return FaultRow(
        "a flipped bit in a shard",
        "header, ids, vectors; then `curate score`",
        times,
        said,
        "never used; the next night embeds its images again and ends as undisturbed",
    )


def flip_in_models(world: World, times: int, *, seed: int = 0) -> FaultRow:
    """Flip a bit of what was learned: it is never used, and learned again."""
    chance = random.Random(seed)
    said = ""
    workspace = world.copy(world.finished, f"model-{seed}")
    for number in range(times):
        path, verb = ((workspace.network, "score"), (workspace.noise_model, "noise"))[number % 2]
        flip_bit(path, chance.randrange(path.stat().st_size), chance.randrange(8))
        said = failed_in_words(curate(verb, str(workspace.root)))
        succeed(curate("nightly", str(workspace.root)))
        assert_sound(workspace, world.expected)
    shutil.rmtree(workspace.root)
    return FaultRow(
        "a flipped bit in a model",
        "similarity network, noise model; then the stage that reads it",
        times,
        said,
        "never used; the next night learns it again and ends as undisturbed",
    )


def flip_in_snapshots(world: World, times: int, *, seed: int = 0) -> FaultRow:
    """Flip a bit of the published snapshot: readers get what is right or an error, and the next run publishes anew."""
    chance = random.Random(seed)
    workspace = world.copy(world.finished, f"snapshot-{seed}")
    right = _scores(workspace)
    said, refused = "", 0
    for number in range(times):
        path = max(workspace.snapshots.glob("*.duckdb"))
        flip_bit(path, list(places_of(path, number + 1, chance))[-1], chance.randrange(8))
        found = curate("scores", str(workspace.root), "--out", str(workspace.root / "scores.csv"))
        if found.status == 0:
            assert (workspace.root / "scores.csv").read_bytes() == right, "readers got wrong scores"
        else:
            said, refused = failed_in_words(found), refused + 1
        succeed(curate("nightly", str(workspace.root)))
        assert max(workspace.snapshots.glob("*.duckdb")) != path, "no new snapshot was published"
        assert _scores(workspace) == right
    assert_sound(workspace, world.expected)
    shutil.rmtree(workspace.root)
    return FaultRow(
        "a flipped bit in a snapshot",
        "anywhere; then `curate scores`",
        times,
        said,
        f"readers got the right scores or an error ({refused} times); the next run published a new one",
    )


def _scores(workspace: Workspace) -> bytes:
    file = workspace.root / "scores.csv"
    succeed(curate("scores", str(workspace.root), "--out", str(file)))
    data = file.read_bytes()
    file.unlink()
    return data


def flip_elsewhere(world: World, times: int, *, seed: int = 0) -> FaultRow:
    """Flip a bit of the index, of a report's record, of a night of the history, or of an export."""
    chance = random.Random(seed)
    workspace = world.copy(world.finished, f"elsewhere-{seed}")
    picture = min(Path(world.config.nightly.sources[1].path).rglob("0*.jpg"))
    search = ["search", str(workspace.root), "--image", str(picture), "--json"]
    nearest = _found(succeed(curate(*search)))
    said = ""
    for number in range(times):
        kind = number % 4
        if kind == 0:
            path = chance.choice(sorted(path for path in workspace.indexes.glob("*/*") if path.stat().st_size))
            flip_bit(path, chance.randrange(path.stat().st_size), chance.randrange(8))
            assert _found(succeed(curate(*search))) == nearest
        elif kind == 1:
            path = max(workspace.runs.glob("*/report.json"))
            before = read_record(path)
            flip_bit(path, chance.randrange(path.stat().st_size), chance.randrange(8))
            try:
                assert read_record(path) == before, "a changed record passes"
            except ValueError as error:
                said = said or f"{path.name} is damaged: {error}"
            succeed(curate("report", str(workspace.root), "--out", str(workspace.root / "r.html")))
            (workspace.root / "r.html").unlink()
        elif kind == 2:
            path = chance.choice(sorted(workspace.history.glob("*.json")))
            whole = path.read_bytes()
            before = read_history(workspace)
            flip_bit(path, chance.randrange(len(whole)), chance.randrange(8))
            if (after := read_history(workspace)) != before:  # else the bit was of the digest's name
                assert str(path) in after.damaged, f"{path} has changed and passes"
                said = failed_in_words(curate("nightly", str(workspace.root)))
                assert path.name in said
            path.write_bytes(whole)  # from the backup
        else:
            path = chance.choice(sorted(path for path in workspace.exports.rglob("*") if path.is_file()))
            whole = path.read_bytes()
            flip_bit(path, chance.randrange(len(whole)), chance.randrange(8))
            folder = workspace.exports / path.relative_to(workspace.exports).parts[0]
            try:
                check_export(read_export(folder))
            except CurationError as error:
                said = said or str(error)
            else:
                raise AssertionError(f"a flipped bit in {path} passes for the export")
            path.write_bytes(whole)
        succeed(curate("nightly", str(workspace.root)))
        assert_sound(workspace, world.expected)
    shutil.rmtree(workspace.root)
    return FaultRow(
        "a flipped bit elsewhere",
        "index, report's record, history, export",
        times,
        said,
        "the index is built anew; a damaged record or night is named and left out; an export does not pass its check",
    )


def _found(command: Command) -> list[object]:
    rows = json.loads(command.output)
    return [row["sample_id"] for row in (rows["samples"] if isinstance(rows, dict) else rows)]


def cut_catalogue(world: World, times: int, *, seed: int = 0) -> FaultRow:
    """Cut the catalogue short: it is refused, and ingesting again, as the message says, brings everything back."""
    chance = random.Random(seed)
    said = ""
    for number in range(times):
        workspace = world.copy(world.finished, f"cut-{seed}-{number}")
        size = workspace.catalog.stat().st_size
        length = (size // 2, size - 1, 4096, 1, 0)[number] if number < 5 else chance.randrange(size)
        os.truncate(workspace.catalog, length)
        first = curate("nightly", str(workspace.root))
        if first.status != 0:
            said = failed_in_words(first)
            assert _MOVE_AWAY in said, said
            assert curate("doctor", str(workspace.root)).status == 1
            workspace.catalog.rename(workspace.root / "away.duckdb")
            succeed(curate("nightly", str(workspace.root)))
        assert_sound(workspace, world.expected)
        shutil.rmtree(workspace.root)
    return FaultRow(
        "a catalogue cut short",
        "at any length, then moved away as the message says",
        times,
        said,
        "refused; a night then ends as undisturbed, decisions included",
    )


def cut_log_of_catalogue(world: World, times: int, *, seed: int = 0) -> FaultRow:
    """Cut the write-ahead log that a killed command left: what was committed before the cut counts."""
    chance = random.Random(seed)
    said = ""
    for number in range(times):
        workspace = world.copy(world.finished, f"log-{seed}-{number}")
        log = workspace.catalog.with_name(f"{workspace.catalog.name}.wal")
        _leave_log(workspace)
        size = log.stat().st_size
        os.truncate(log, size - 1 if number == 0 else chance.randrange(size))
        first = curate("nightly", str(workspace.root))
        if first.status != 0:
            said = failed_in_words(first)
            assert _MOVE_AWAY in said, said
            workspace.catalog.rename(workspace.root / "away.duckdb")
            if log.exists():
                log.rename(workspace.root / "away.duckdb.wal")
            succeed(curate("nightly", str(workspace.root)))
        assert_sound(workspace, world.expected)
        shutil.rmtree(workspace.root)
    return FaultRow(
        "its write-ahead log cut short",
        "as a killed command left it, cut at any length",
        times,
        said,
        "the next night ends as undisturbed",
    )


def _leave_log(workspace: Workspace) -> None:
    """Die with transactions in the log: a stage's evidence taken away, runs begun."""
    child = os.fork()
    if child == 0:
        with catalog(workspace) as connection:
            for number in range(20):
                start_run(connection, f"20260101T000000-{number:06x}", "run", workspace.config())
            connection.execute("DELETE FROM stages WHERE stage = 'flag'")
            connection.execute("COMMIT")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

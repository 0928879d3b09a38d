"""Nights on drawn images: what is new is taken up, what has vanished is said, and a killed night costs nothing."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.export.reading import check_export, read_export
from curation.flow import STAGES, run_stages
from curation.history.keeping import read_history
from curation.nightly_config import NightlyConfig
from curation.run_lock import run_lock
from curation.store.connection import catalog
from curation.store.decisions import append_decision
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.images import read_image_facts
from curation.store.journal import journal
from curation.store.noise import read_noise_estimates
from curation.store.samples import read_samples
from curation.values import Decision, DecisionAction, Role
from curation.workspace import Workspace, create_workspace
from pipelines.nightly.flow import STEPS, Step, nightly
from pipelines.nightly.night import Night
from pipelines.nightly.plan import plan_night
from tests.night_factory import FirstNight, events, files_of, more_images, with_settings, with_source

INGEST_ONLY = STEPS[:2]
AFTER_RUN = STEPS[3:]


def outcome(workspace: Workspace) -> dict[str, Any]:
    """Everything that the stages decide."""
    with catalog(workspace) as connection:
        return {
            "samples": [sample.sample_id for sample in read_samples(connection)],
            "evidence": read_evidence(connection),
            "estimates": read_noise_estimates(connection),
            "flags": read_flags(connection),
        }


def test_nightly__the_first_takes_everything_up(first_night: FirstNight) -> None:
    result = first_night.result
    assert (result.status, result.problems, result.alarms) == ("done", (), ())
    assert all(result.stages.values()) and [source.role for source in result.sources] == ["base", "novel"]
    assert result.exported and result.export is not None and result.promise is not None and result.promise.held
    check_export(read_export(result.export))
    latest = first_night.workspace.exports / "nightly-latest"
    assert latest.is_symlink() and latest.resolve() == result.export.resolve()
    (night,) = read_history(first_night.workspace).nights
    assert night.night_id == result.night_id and night.promise == result.promise
    assert night.images == sum(source.listed for source in result.sources if source.role == "novel")
    assert sum(item.kept or 0 for item in night.categories) == result.promise.kept


def test_nightly__its_log_is_a_line_an_event(first_night: FirstNight) -> None:
    lines = events(first_night.result.folder)
    assert {line["night_id"] for line in lines} == {first_night.result.night_id}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert lines[0]["event"] == "started" and lines[-1]["event"] == "finished" and lines[-1]["status"] == "done"
    assert [line["ran"] for line in lines if line["event"] == "stage"] == [True] * 6
    assert list(lines[-1]["durations_s"]) == [step.name for step in STEPS]
    human = (first_night.result.folder / "nightly.log").read_text().splitlines()
    assert [line["said"] for line in lines] == [line.partition("  ")[2] for line in human]


def test_nightly__where_nothing_is_new_nothing_is_done(first_night: FirstNight, morning: Workspace) -> None:
    snapshots = sorted(path.name for path in morning.snapshots.iterdir())
    result = nightly(morning, first_night.config)
    assert not any(result.stages.values()) and sum(source.read for source in result.sources) == 0
    assert result.status == "done" and not result.exported  # the cleaned set is still that of the first export
    assert result.export is not None and result.export.name == first_night.result.export.name  # type: ignore[union-attr]
    assert sorted(path.name for path in morning.snapshots.iterdir()) == snapshots
    assert len(read_history(morning).nights) == 2


def test_nightly__dry_run_says_what_the_night_then_does(
    first_night: FirstNight, morning: Workspace, tmp_path: Path
) -> None:
    config = with_source(first_night.config, more_images(first_night, tmp_path))
    before = files_of(morning.root)
    plan = plan_night(morning, config)
    assert files_of(morning.root) == before
    assert plan.possible and [source.read for source in plan.sources] == [0, 0, 3]
    result = nightly(morning, config)
    assert [(source.listed, source.read, source.gone) for source in plan.sources] == [
        (source.listed, source.read, source.gone) for source in result.sources
    ]
    assert {name for name, state in plan.stages.items() if state == "expected"} == {"embed", "score", "noise", "flag"}
    assert all(result.stages[name] for name, state in plan.stages.items() if state == "expected")
    assert not any(result.stages[name] for name, state in plan.stages.items() if state == "up to date")
    assert result.exported and result.export is not None and result.export != first_night.result.export
    assert (morning.exports / "nightly-latest").resolve() == result.export.resolve()
    newest = read_history(morning).nights[-1]
    assert newest.new is not None and newest.new.images == 3
    idle = plan_night(morning, config)
    assert set(idle.stages.values()) == {"up to date"} and sum(source.read for source in idle.sources) == 0
    with catalog(morning) as to_catalogue:
        one_novel = read_samples(to_catalogue, Role.NOVEL)[0]
    with journal(morning.journal) as connection:
        append_decision(connection, Decision(one_novel.sample_id, DecisionAction.DROP, "ada"))
    decided = plan_night(morning, config)
    assert (decided.stages["noise"], decided.stages["flag"]) == ("out of date", "expected")
    ran = nightly(morning, config).stages
    assert {name for name, did in ran.items() if did} == {"noise", "flag"}


def test_plan__of_an_empty_workspace_writes_nothing(tmp_path: Path, first_night: FirstNight) -> None:
    workspace = create_workspace(tmp_path / "empty", first_night.config)
    before = files_of(workspace.root)
    plan = plan_night(workspace, first_night.config)
    assert files_of(workspace.root) == before
    assert [source.read for source in plan.sources] == [source.read for source in first_night.result.sources]
    assert set(plan.stages.values()) == {"out of date"}


def test_plan__says_who_is_busy_and_what_has_vanished(
    first_night: FirstNight, morning: Workspace, tmp_path: Path
) -> None:
    with run_lock(morning, "run"):
        plan = plan_night(morning, with_source(first_night.config, tmp_path / "nowhere"))
    assert "`curate run`" in plan.busy and "does not exist" in plan.sources[-1].problem and not plan.possible


def test_nightly__a_source_that_vanished_is_a_problem_and_not_the_end(
    first_night: FirstNight, morning: Workspace, tmp_path: Path
) -> None:
    more = more_images(first_night, tmp_path)
    config = with_settings(with_source(first_night.config, more), remove_gone=True, most_gone=0.5)
    nightly(morning, config, steps=INGEST_ONLY)
    before = outcome(morning)["samples"]
    shutil.rmtree(more)
    result = nightly(morning, config, steps=INGEST_ONLY)
    assert result.status == "problems" and "does not exist" in result.problems[0]
    assert len(result.sources) == 2 and outcome(morning)["samples"] == before
    finished = events(result.folder)[-1]
    assert finished["status"] == "problems" and finished["problems"] == list(result.problems)


def test_nightly__images_that_are_gone_are_removed_when_asked_unless_too_many_are(
    first_night: FirstNight, morning: Workspace, tmp_path: Path
) -> None:
    more = more_images(first_night, tmp_path)
    config = with_settings(with_source(first_night.config, more), most_gone=0.4)
    removing = with_settings(config, remove_gone=True)
    nightly(morning, config, steps=INGEST_ONLY)
    files = sorted(path for path in more.rglob("*") if path.is_file())
    all_samples = len(outcome(morning)["samples"])
    files[0].unlink()
    assert nightly(morning, config, steps=INGEST_ONLY).sources[-1].gone == 1
    assert len(outcome(morning)["samples"]) == all_samples  # off by default
    assert plan_night(morning, removing).sources[-1].removed == 1
    assert nightly(morning, removing, steps=INGEST_ONLY).sources[-1].removed == 1
    assert len(outcome(morning)["samples"]) == all_samples - 1
    files[1].unlink()  # one of two: more than 0.4
    plan = plan_night(morning, removing)
    result = nightly(morning, removing, steps=INGEST_ONLY)
    assert result.sources[-1].removed == plan.sources[-1].removed == 0
    assert result.problems == (plan.sources[-1].problem,) and "counts as vanished" in result.problems[0]
    assert len(outcome(morning)["samples"]) == all_samples - 1


def test_nightly__embeddings_of_removed_images_go(first_night: FirstNight, morning: Workspace, tmp_path: Path) -> None:
    more = more_images(first_night, tmp_path)
    config = with_settings(with_source(first_night.config, more), most_gone=0.9)
    nightly(morning, config, steps=STEPS[:3])
    next(path for path in more.rglob("*") if path.is_file()).unlink()
    result = nightly(morning, with_settings(config, remove_gone=True), steps=(*INGEST_ONLY, STEPS[-1]))
    assert next(line for line in events(result.folder) if line["event"] == "retention")["embeddings"] == 1
    rest = nightly(morning, with_settings(config, remove_gone=True), steps=STEPS[:3])
    assert not rest.stages["train-similarity"] and rest.stages["score"]
    with catalog(morning) as connection:
        assert len(read_evidence(connection)) == len(read_samples(connection, Role.NOVEL))


def test_nightly__a_promise_that_cannot_be_kept_is_no_export_and_no_problem(
    first_night: FirstNight, morning: Workspace
) -> None:
    exports = sorted(morning.exports.iterdir())
    result = nightly(morning, with_settings(first_night.config, promise=0.0001), steps=AFTER_RUN)
    assert result.status == "done" and not result.exported and result.export is None
    assert result.promise is not None and not result.promise.held and "cannot be promised" in result.promise.reason
    assert sorted(morning.exports.iterdir()) == exports  # the link leads to what kept its promise
    assert any("cannot be promised" in line["said"] for line in events(result.folder))
    assert read_history(morning).nights[-1].promise == result.promise


def test_nightly__exports_everything_in_parts_and_again_only_where_that_changes(
    first_night: FirstNight, morning: Workspace
) -> None:
    config = with_settings(first_night.config, promise=0.3, everything=True, split="train=0.7, val=0.3")
    result = nightly(morning, config, steps=AFTER_RUN)
    assert result.exported and result.export is not None
    counts = read_export(result.export).manifest.counts
    marked = sum(counts.marked_by_reason.values())
    assert set(counts.kept_by_split) == {"train", "val"} and marked > 0
    told = read_history(morning).nights[-1].categories  # what is marked is not of the cleaned set
    assert sum(category.kept or 0 for category in told) == counts.kept - marked
    assert not nightly(morning, config, steps=AFTER_RUN).exported
    assert nightly(morning, with_settings(config, split="train=0.6,val=0.4"), steps=AFTER_RUN).exported


def test_settings__a_split_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"a split has two parts or more.*got train=1"):
        NightlyConfig(split="train=1")


def test_nightly__an_export_that_cannot_be_written_is_a_problem(first_night: FirstNight, morning: Workspace) -> None:
    config = with_settings(first_night.config, export_name="mine")
    (morning.exports / "mine-latest").mkdir()
    result = nightly(morning, config, steps=AFTER_RUN)
    assert result.status == "problems" and "is in the way of the link" in result.problems[0]


def test_nightly__trains_on_each_export_once(first_night: FirstNight, morning: Workspace, tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"import sys; open({str(told)!r}, 'a').write(sys.argv[1] + chr(10)); print('trained')"
    config = with_settings(first_night.config, train=(sys.executable, "-c", script, "{export}"))
    failing = with_settings(config, train=(sys.executable, "-c", "raise SystemExit(3)"))
    assert "ended with status 3" in nightly(morning, failing, steps=AFTER_RUN).problems[0]
    trained = nightly(morning, config, steps=AFTER_RUN)  # the export of a night whose training failed
    assert trained.status == "done" and told.read_text() == f"{trained.export}\n"
    assert (trained.folder / "train.log").read_text() == "trained\n"
    nightly(morning, config, steps=AFTER_RUN)
    assert len(told.read_text().splitlines()) == 1


def test_nightly__keeps_the_newest_runs_and_exports(first_night: FirstNight, morning: Workspace) -> None:
    config = with_settings(first_night.config, keep_runs=2, keep_exports=2)
    for number, name in enumerate(("20260101T020000-00000a", "20260102T020000-00000b", "20260103T020000-00000c")):
        (morning.runs / name).mkdir()
        shutil.copytree(first_night.result.export, morning.exports / f"nightly-{name}")  # type: ignore[arg-type]
        (morning.exports / f".nightly-{name}.{99990 + number}.partial").mkdir()
    (morning.runs / "mine").mkdir()
    shutil.copytree(first_night.result.export, morning.exports / "nightly-mine")  # type: ignore[arg-type]
    plan = plan_night(morning, config)
    result = nightly(morning, config, steps=AFTER_RUN)
    (retention,) = (line for line in events(result.folder) if line["event"] == "retention")
    assert len(retention["runs"]) == plan.runs_removed
    assert {path.name for path in morning.runs.iterdir()} == {
        "mine",
        first_night.result.night_id,
        result.night_id,
    }
    assert {path.name for path in morning.exports.iterdir()} == {
        "nightly-mine",
        "nightly-latest",
        "nightly-20260103T020000-00000c",
        f"nightly-{first_night.result.night_id}",
    }


def dying(step: Step) -> Step:
    """A step whose process is killed right after it."""

    def do(night: Night) -> None:
        step.do(night)
        os.kill(os.getpid(), signal.SIGKILL)

    return Step(step.name, do, step.essential)


def in_child(work: Callable[[], object]) -> int:
    """Do `work` in a forked process; the signal that ended it, else 0."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def test_nightly__killed_after_any_step_the_next_one_ends_as_if_undisturbed(
    first_night: FirstNight, tmp_path: Path
) -> None:
    workspace = create_workspace(tmp_path / "ws", first_night.config)
    for number in range(len(STEPS)):
        steps = (*STEPS[:number], dying(STEPS[number]), *STEPS[number + 1 :])
        assert in_child(lambda steps=steps: nightly(workspace, first_night.config, steps=steps)) == signal.SIGKILL
    result = nightly(workspace, first_night.config)
    assert result.status == "done" and outcome(workspace) == outcome(first_night.workspace)
    assert not any(result.stages.values())  # what the killed nights had done was done
    took_over = [line for line in events(result.folder) if line["event"] == "took over"]
    assert len(took_over) == 1 and took_over[0]["command"] == "nightly"
    exported, undisturbed = read_export(result.export), read_export(first_night.result.export)  # type: ignore[arg-type]
    assert exported.manifest.content_hash == undisturbed.manifest.content_hash
    assert (workspace.exports / "nightly-latest").resolve() == result.export.resolve()  # type: ignore[union-attr]
    assert len([path for path in workspace.exports.iterdir() if not path.is_symlink()]) == 1


def test_nightly__a_source_that_vanished_between_ingest_and_embedding_is_made_good(
    first_night: FirstNight, morning: Workspace, tmp_path: Path
) -> None:
    more = more_images(first_night, tmp_path)
    for number, path in enumerate(path for path in more.rglob("*") if path.is_file()):
        path.write_bytes(path.read_bytes() + bytes([number]))  # known by no content yet
    config = with_source(first_night.config, more)
    nightly(morning, config, steps=INGEST_ONLY)
    more.rename(tmp_path / "away")
    (embedded,) = run_stages(morning, config, command="embed", stages=STAGES[:1])
    assert embedded.ran and embedded.summary["unreadable"] == 3
    assert not run_stages(morning, config, command="embed", stages=STAGES[:1])[0].ran  # still away
    (tmp_path / "away").rename(more)
    (embedded,) = run_stages(morning, config, command="embed", stages=STAGES[:1])
    assert embedded.ran and embedded.summary["embedded"] == 3
    with catalog(morning) as connection:
        assert all(fact.reason is None for fact in read_image_facts(connection).values())

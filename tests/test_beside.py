"""What people do while a run is under way: nothing of it waits for the run, or shows half of what it will find."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from curation.current_set import read_facts
from curation.flow import run_stages
from curation.run_lock import run_lock
from curation.stages.export import export
from curation.stages.ingest import ingest
from curation.stages.search import search
from curation.status import workspace_status
from curation.store.connection import catalog
from curation.store.samples import read_samples, samples_checksum
from curation.store.snapshot import snapshot
from curation.values import Role
from curation.workspace import Workspace
from tests.night_factory import FirstNight, more_images


def published_samples(workspace: Workspace) -> set[str]:
    with snapshot(workspace) as connection:
        return {sample.sample_id for sample in read_samples(connection)}


def test_export__goes_on_without_new_images_until_they_are_scored(
    first_night: FirstNight, morning: Workspace, tmp_path: Path
) -> None:
    before = published_samples(morning)
    report = ingest(morning, more_images(first_night, tmp_path, 3), Role.NOVEL)
    assert report.added == 3
    assert published_samples(morning) == before
    export(morning, first_night.config, export_format="csv", out=tmp_path / "meanwhile")
    run_stages(morning, first_night.config, command="run")
    assert len(published_samples(morning) - before) == 3
    assert len(read_facts(morning).evidence) == 3 + len(read_facts(first_night.workspace).evidence)


def test_run__publishes_new_places_of_images_though_no_stage_is_out_of_date(
    first_night: FirstNight, tmp_path: Path, morning: Workspace
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(first_night.images / "novel", elsewhere)
    ingest(morning, more_images(first_night, tmp_path, 1), Role.NOVEL)  # nothing is published until it is scored
    report = ingest(morning, elsewhere, Role.NOVEL)
    assert report.moved == report.listed > 0
    run_stages(morning, first_night.config, command="run")
    with snapshot(morning) as connection:
        assert sum(elsewhere.as_uri() in sample.uri for sample in read_samples(connection)) == report.moved
        published = samples_checksum(connection)
    with catalog(morning) as connection:
        assert samples_checksum(connection) == published


def test_export_search_and_status__do_not_wait_for_the_catalogue(
    first_night: FirstNight, morning: Workspace, tmp_path: Path
) -> None:
    """Another process holds it, as a stage does that writes a million rows; nobody here asks for it at all."""
    program = (
        "import sys, time; from pathlib import Path; from curation.workspace import open_workspace\n"
        "from curation.run_lock import run_lock; from curation.store.connection import catalog\n"
        "workspace = open_workspace(Path(sys.argv[1]))\n"
        "with run_lock(workspace, 'nightly'), catalog(workspace): print('held', flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(morning.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as night:
        try:
            assert night.stdout is not None and night.stdout.readline() == "held\n"
            receipt = export(morning, first_night.config, export_format="csv", out=tmp_path / "out").receipt
            assert receipt.kept > 0
            state = workspace_status(morning, first_night.config)
            assert f"`curate nightly` (process {night.pid}" in state.busy
            assert {stage.state for stage in state.stages} == {"published"} and state.samples["novel"]["samples"] == 48
            picture = next((first_night.images / "novel").rglob("*.jpg"))
            assert search(morning, first_night.config, picture, count=3).samples[0].rank == 1
        finally:
            night.kill()


def test_status__tells_the_newest_where_nothing_runs(first_night: FirstNight, morning: Workspace) -> None:
    state = workspace_status(morning, first_night.config)
    assert state.busy == "" and {stage.state for stage in state.stages} == {"up to date"}
    with run_lock(morning, "run"):  # by this process itself, as a night asks
        assert "`curate run`" in workspace_status(morning, first_night.config).busy

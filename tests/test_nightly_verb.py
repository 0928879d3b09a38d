"""`curate nightly` as a timer starts it: exit codes, signals, a second start, what is printed where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.config import Config, write_config
from curation.workspace import Workspace
from tests.night_factory import FirstNight, events, with_settings, with_source

ROOT = Path(__file__).parent.parent


def start(workspace: Workspace, config: Config, *options: str) -> subprocess.Popen[str]:
    write_config(config, workspace.config_file)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "app.cli", "nightly", str(workspace.root), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",  # relative paths of the configuration begin at the workspace
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def begun(process: subprocess.Popen[str], workspace: Workspace, first_night: FirstNight) -> Path:
    """Wait until a night that trains for a minute has come so far; the folder of its run."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for log in workspace.runs.glob("*/train.log"):
            if log.parent.name != first_night.result.night_id:
                return log.parent
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("the night has not begun to train")


def test_verb__a_night_prints_figures_and_says_its_lines_beside(first_night: FirstNight, morning: Workspace) -> None:
    process = start(morning, first_night.config, "--json")
    figures, said = process.communicate()
    assert process.returncode == 0, said
    result = json.loads(figures)
    assert result["status"] == "done" and not any(result["stages"].values())
    human = Path(result["folder"], "nightly.log").read_text()
    assert said == human and "up to date" in human


def test_verb__a_source_that_has_vanished_ends_with_1_in_a_dry_run_too(
    first_night: FirstNight, morning: Workspace
) -> None:
    config = with_source(first_night.config, Path("gone"))
    dry = start(morning, config, "--dry-run", "--json")
    plan = json.loads(dry.communicate()[0])
    assert dry.returncode == 1 and not plan["possible"]
    assert plan["sources"][-1]["path"] == str(morning.root / "gone")
    process = start(morning, config)
    table, said = process.communicate()
    assert process.returncode == 1 and "PROBLEM" in said and "does not exist" in said and "problems" in table


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_verb__a_signal_ends_it_with_a_clean_log(
    first_night: FirstNight, morning: Workspace, number: signal.Signals, status: int
) -> None:
    config = with_settings(first_night.config, train=("sleep", "60"))
    process = start(morning, config)
    folder = begun(process, morning, first_night)
    second = start(morning, config)
    _, said = second.communicate()
    assert second.returncode == 1
    assert said.startswith("error: ") and f"(process {process.pid} on " in said and "has been running since" in said
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in said
    assert [line["event"] for line in events(folder)[-2:]] == ["interrupted", "finished"]
    assert events(folder)[-1]["status"] == "interrupted"
    others = [path for path in morning.runs.iterdir() if path.name != first_night.result.night_id]
    assert others == [folder]  # the second start has left no trace

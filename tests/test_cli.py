"""The `curate` command as a person meets it: real processes, exit codes, what is printed where."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest

ROOT = Path(__file__).parent.parent
VERBS = (
    "init",
    "ingest",
    "embed",
    "train-similarity",
    "score",
    "train-noise",
    "noise",
    "flag",
    "run",
    "scores",
    "export",
    "diff",
    "train",
    "predict",
    "audit",
    "search",
    "report",
    "review",
    "nightly",
    "doctor",
    "backup",
    "restore",
    "status",
    "demo",
)


def curate(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "app.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


@pytest.mark.parametrize("verb", VERBS)
def test_help__every_verb_has_an_example(verb: str) -> None:
    done = curate(verb, "--help")
    assert done.returncode == 0 and "Example: curate" in done.stdout


def test_help__lists_every_verb_and_loads_nothing_heavy() -> None:
    done = curate("--help")
    assert set(re.findall(r"^  ([a-z-]+)  ", done.stdout, re.MULTILINE)) >= set(VERBS)
    heavy = ("torch", "numpy", "duckdb", "rich", "pydantic")
    look = f"import app.cli, sys; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, cwd=ROOT, check=True)
    assert loaded.stdout.strip() == "[]"


def test_readme__tells_of_every_verb() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"curate {verb}" not in readme] == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["status", "nowhere"], 1, "nowhere is not a workspace"),
        (["init", "new", "--encoder", "resnet"], 1, "unknown encoder 'resnet'"),
        (["ingest", "ws", "nothing-here", "--role", "base"], 1, "nothing-here"),
        (["run", "ws"], 1, "no images"),
        (["export", "ws", "--format", "csv", "--out", "out"], 1, "nothing has been scored"),
        (["scores", "ws", "--out", "scores.csv"], 1, "nothing has been scored"),
        (["export", "ws", "--format", "csv", "--out", "out", "--promise", "clean"], 1, "looks like noise<=0.02"),
        (["audit", "ws"], 1, "no audit has been drawn"),
        (["audit", "ws", "--n", "200"], 1, "nothing has been scored"),
        (["audit", "ws", "--seed", "1"], 2, "--n"),
        (["train-similarity", "ws"], 1, "no embeddings yet"),
        (["ingest", "ws", ".", "--role", "new"], 2, "novel"),
        (["ingest", "ws"], 2, "SOURCE"),
        (["search", "ws", "--text", "a bird"], 1, "nothing published yet"),
        (["search", "ws"], 2, "--image, --text"),
        (["predict", "ws", "."], 1, "there is no classifier at ws/model.safetensors"),
        (["predict", "ws", ".", "--out", "found.txt"], 1, ".csv or .json"),
        (["report", "ws", "--out", "missing/report.html"], 1, "cannot be written"),
        (["search", "ws", "--image", "a.jpg", "--text", "a bird"], 2, "not both"),
        (["fly"], 2, "fly"),
        (["export", "ws", "--format", "zip", "--out", "out"], 2, "imagefolder"),
    ],
)
def test_errors__one_sentence_and_the_right_exit_status(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    if "ws" in arguments:
        assert curate("init", "ws", cwd=tmp_path).returncode == 0
    done = curate(*arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    if status == 1:
        assert done.stderr.startswith("error: ") and "\nhint:  " in done.stderr


def test_configuration__an_unknown_key_stops_every_verb(tmp_path: Path) -> None:
    curate("init", "ws", cwd=tmp_path)
    with (tmp_path / "ws" / "curate.toml").open("a") as file:
        file.write("\n[scorring]\n")
    done = curate("run", "ws", cwd=tmp_path)
    assert done.returncode == 1 and "Did you mean 'scoring'?" in done.stderr


def test_interrupt__exits_with_130(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "demo", str(tmp_path / "demo")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "demo" / "images" / "base").is_dir():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        _, errors = _interrupt(process)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


def _interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C, and again where nothing happens: a library that is being imported may swallow the first."""
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            continue
    return process.communicate(timeout=15)


def test_version__is_that_of_the_distribution() -> None:
    from curation import __version__

    assert curate("--version").stdout.strip() == f"curate {__version__}"


def test_formats__the_command_knows_those_of_the_library() -> None:
    from app.verbs.export import FormatName
    from app.verbs.options import RoleName
    from curation.export.formats import FORMATS
    from curation.nightly_config import NightlyConfig
    from curation.values import Role

    assert {name.value for name in FormatName} == set(FORMATS)
    assert set(get_args(NightlyConfig.model_fields["export_format"].annotation)) == {"", *FORMATS}
    assert {name.value for name in RoleName} == {role.value for role in Role}


def test_main_job__from_folders_to_an_export(small_demo: Path, tmp_path: Path) -> None:
    ws = tmp_path / "ws"
    assert curate("init", ws).returncode == 0
    for role in ("base", "novel", "test"):
        done = curate("ingest", ws, small_demo / role, "--role", role, "--json")
        report = json.loads(done.stdout)
        assert done.returncode == 0 and report["added"] == report["listed"] > 0
    first = curate("run", ws, "--json")
    assert first.returncode == 0, first.stderr
    assert [stage["ran"] for stage in json.loads(first.stdout)] == [True] * 6
    again = curate("run", ws, "--json")
    assert [stage["ran"] for stage in json.loads(again.stdout)] == [False] * 6
    state = json.loads(curate("status", ws, "--json").stdout)
    assert {stage["state"] for stage in state["stages"]} == {"up to date"}
    scores = curate("scores", ws, "--out", tmp_path / "scores.csv", "--sheets", tmp_path / "sheets")
    assert scores.returncode == 0, scores.stderr
    header, *rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert header.replace('"', "") == (
        "sample_id,image_id,uri,web_category,weight,noise_probability,suggested_category,flags"
    )
    assert len(rows) == state["samples"]["novel"]["samples"]
    assert list((tmp_path / "sheets").glob("*.png"))
    done = curate("export", ws, "--format", "imagefolder", "--out", tmp_path / "out", "--json")
    receipt = json.loads(done.stdout)
    assert done.returncode == 0 and receipt["kept"] + receipt["set_aside"] == len(rows)
    refused = curate("export", ws, "--format", "imagefolder", "--out", small_demo)
    assert refused.returncode == 1 and "is not an export" in refused.stderr

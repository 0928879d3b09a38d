"""`kill -9` at random moments of a run: the workspace stays whole, a rerun gives the scores of an undisturbed one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.config import Config, EmbeddingConfig, SimilarityConfig, parse_config
from curation.demo.images import make_demo_images
from curation.flow import run_stages
from curation.stages.ingest import ingest
from curation.store.connection import catalog
from curation.store.decisions import append_decision, latest_decisions
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.images import read_image_facts
from curation.store.journal import journal
from curation.values import Decision, DecisionAction, Role
from curation.workspace import Workspace, create_workspace

# Small shards and few batches: every stage has many moments to be killed at, and a run lasts seconds.
CONFIG = Config(
    embedding=EmbeddingConfig(shard_size=16),
    similarity=SimilarityConfig(batches=60, batch_size=32, categories_per_batch=4, held_out=0.4),
)


@dataclass(frozen=True, slots=True)
class KillReport:
    """`kills` runs were ended by a signal, `finished` came to their end first; every one of `cycles` ended alike."""

    cycles: int
    kills: int
    finished: int
    undisturbed_s: float


def kill_runs(folder: Path, *, kills: int, seed: int = 0) -> KillReport:
    """Kill runs on copies of one small workspace until `kills` have died; raises where a cycle ends differently."""
    chance = random.Random(seed)
    template = _template(folder / "template")
    undisturbed = _copy(template, folder / "undisturbed")
    started = time.monotonic()
    _run_in_child(undisturbed, kill_after_s=None)
    duration_s = time.monotonic() - started
    expected = _outcome(undisturbed)
    cycles = died = finished = 0
    while died < kills:
        workspace = _copy(template, folder / f"cycle{cycles}")
        while _run_in_child(workspace, kill_after_s=chance.uniform(0, duration_s)):
            died += 1
        finished += 1
        if (found := _outcome(workspace)) != expected:
            raise AssertionError(f"{workspace.root} ended differently: {_difference(found, expected)}")
        shutil.rmtree(workspace.root)
        cycles += 1
    return KillReport(cycles, died, finished, duration_s)


def run() -> dict[str, Any]:
    """The benchmark: forty kills."""
    with tempfile.TemporaryDirectory() as folder:
        report = kill_runs(Path(folder), kills=40)
    return {
        "kills": report.kills,
        "workspaces": report.cycles,
        "undisturbed run, seconds": report.undisturbed_s,
        "ended with the scores of an undisturbed run": report.finished,
    }


def _template(folder: Path) -> Workspace:
    """A small ingested workspace with one decision, on which no stage has run."""
    make_demo_images(
        folder / "images",
        base_categories=8,
        novel_categories=3,
        base_images=12,
        novel_images=12,
        test_images=2,
        workers=1,
    )
    category = next((folder / "images" / "novel").iterdir())
    (category / "broken.jpg").write_bytes(b"<html>no image here</html>")
    workspace = create_workspace(folder / "ws", CONFIG)
    for role in (Role.BASE, Role.NOVEL):
        ingest(workspace, folder / "images" / role.value, role)
    with journal(workspace.journal) as connection:
        append_decision(connection, Decision("a-sample", DecisionAction.DROP, "first"))
    return workspace


def _copy(template: Workspace, root: Path) -> Workspace:
    shutil.copytree(template.root, root)
    return Workspace(root)


def _run_in_child(workspace: Workspace, kill_after_s: float | None) -> bool:
    """`curate run` in a forked process that has everything imported; True when it died of our signal."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run_stages(workspace, parse_config(CONFIG.model_dump(), "kills"), command="run")
            status = 0
        finally:
            os._exit(status)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if os.waitstatus_to_exitcode(status) != 0:
        raise AssertionError(f"a run failed with status {os.waitstatus_to_exitcode(status)} in {workspace.root}")
    return False


def _outcome(workspace: Workspace) -> dict[str, Any]:
    """Everything a run decides, bit for bit, and what people decided before it."""
    with catalog(workspace) as connection:
        outcome = {
            "evidence": read_evidence(connection),
            "flags": read_flags(connection),
            "images": read_image_facts(connection),
        }
    with journal(workspace.journal) as connection_to_journal:
        return {**outcome, "decisions": latest_decisions(connection_to_journal)}


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    for part, values in expected.items():
        for key in values.keys() | found[part].keys():
            if values.get(key) != found[part].get(key):
                return f"{part} of {key}: {found[part].get(key)} instead of {values.get(key)}"
    return "no difference"

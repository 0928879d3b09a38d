"""A workspace with pictures and the review app served from it, for tests in a real browser."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from curation.store.connection import catalog
from curation.store.decisions import latest_decisions
from curation.store.images import put_image_facts
from curation.store.journal import journal
from curation.store.samples import put_samples
from curation.store.snapshot import publish_snapshot
from curation.values import CrawlFacts, Decision, ImageFacts, Sample
from curation.workspace import Workspace
from tests.review_factory import publish

ROOT = Path(__file__).parent.parent
HOSTILE = '<img src=x onerror="window.hacked=1">'
CATEGORIES = {"Evening_Grosbeak": 1400, "wren": 500, HOSTILE: 100}
HOSTILE_RUN = f"20260105T070000-{HOSTILE}"
HOSTILE_SITE = "hostile.example"
_ADDRESSES = ("javascript:window.hacked=1", f"https://{HOSTILE_SITE}/{HOSTILE}")
_PICTURES = 20


def make_review_workspace(workspace: Workspace) -> list[Sample]:
    """2,000 novel samples of three categories, one with a hostile name, that share a few pictures; published."""
    chances = {
        name: [round(0.99 - 0.98 * place / number, 4) for place in range(number)] for name, number in CATEGORIES.items()
    }
    suggested = {f"wren-{place:05d}": "Evening_Grosbeak" for place in range(30)}
    samples = publish(workspace, chances, suggested=suggested, run_id=HOSTILE_RUN)
    pictures = [_draw(workspace.root.parent / "pictures" / f"{place}.jpg", place) for place in range(_PICTURES)]
    shown = [
        replace(
            sample,
            uri=pictures[place % _PICTURES].as_uri(),
            sha256=sha256(pictures[place % _PICTURES].read_bytes()).hexdigest(),
            crawl=CrawlFacts(source_url=_ADDRESSES[place % 2], query=HOSTILE, rank=place, title=HOSTILE),
        )
        for place, sample in enumerate(samples)
    ]
    with catalog(workspace) as connection:
        put_samples(connection, shown)
        put_image_facts(
            connection, [ImageFacts(digest, width_px=40, height_px=30) for digest in {str(one.sha256) for one in shown}]
        )
    publish_snapshot(workspace)
    return shown


def _draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((320, 240)).save(path)
    return path


class ReviewServer:
    """`curate review WS` in a process of its own, at a free port that it keeps over restarts."""

    def __init__(self, workspace: Workspace, *arguments: str) -> None:
        self.workspace, self.arguments = workspace, arguments
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = workspace.root.parent / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        verb = ["review", str(self.workspace.root), "--port", str(self.port), *self.arguments]
        command = [sys.executable, "-m", "app.cli", *verb]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.log.parent, env=environment)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline and self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """As a power failure would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)

    def ask(self, method: str, path: str) -> tuple[int, bytes]:
        """(status, body) of a request whose path is sent as it is."""
        with closing(http.client.HTTPConnection("localhost", self.port, timeout=10)) as connection:
            connection.putrequest(method, path)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "/_stcore/health")[0] == 200
        except OSError:
            return False


def decisions_of(workspace: Workspace) -> dict[str, Decision]:
    """What counts now, by sample."""
    with journal(workspace.journal) as connection:
        return latest_decisions(connection)


def actions_of(workspace: Workspace, sample_ids: Sequence[str]) -> list[str | None]:
    """What counts now of these samples, in this order."""
    decided = decisions_of(workspace)
    return [decided[name].action.value if name in decided else None for name in sample_ids]


def records_of(workspace: Workspace, annotator: str) -> list[tuple[str, str]]:
    """(sample, action) of all that is written of an annotator, in its order: what was taken back, and that it was."""
    with journal(workspace.journal) as connection:
        query = "SELECT sample_id, action FROM decisions WHERE annotator = ? ORDER BY decision_id"
        return connection.execute(query, (annotator,)).fetchall()

"""What a night does when a step fails, what it says to whom, and the small parts of it."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from curation.embedding_shards import drop_images, listed_digests, read_embeddings, shards_of, write_shard
from curation.errors import ExportError, NightlyError
from curation.export.formats import FORMATS
from curation.history.alarm import Alarm
from curation.nightly_config import NightlyConfig, NotifyConfig
from curation.workspace import Workspace
from pipelines.nightly import flow, notify
from pipelines.nightly.exports import point_to
from pipelines.nightly.flow import STEPS, Step, nightly
from pipelines.nightly.night import Night
from tests.night_factory import events, night_config


def fails(error: BaseException) -> Step:
    def do(night: Night) -> None:
        raise error

    return Step("fails", do)


def alarmed(night: Night) -> None:
    night.alarms = (Alarm("new images", None, "10", "900", 0.001, "The new images: 900."),)


@dataclass
class Received:
    """What a server has got: (path, headers, document) of every request; it answers with `answers`, in turn."""

    address: str = ""
    answers: list[int] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)


@contextmanager
def server(*answers: int) -> Iterator[Received]:
    """A local HTTP server; after `answers` it answers 200."""
    received = Received(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.requests.append((self.path, dict(self.headers), document))
            self.send_response(received.answers.pop(0) if received.answers else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the name is the library's

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        received.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield received
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "_PAUSES_S", (0.0, 0.0))


def test_steps__one_that_fails_is_a_problem_and_the_others_go_on(workspace: Workspace) -> None:
    done: list[str] = []
    after = Step("after", lambda night: done.append(night.night_id))
    result = nightly(workspace, night_config(), steps=(fails(ExportError("no", hint="Do.")), after))
    assert result.problems == ("fails: no Do.",) and result.status == "problems" and done == [result.night_id]


def test_steps__an_essential_one_that_fails_ends_the_night(workspace: Workspace) -> None:
    step = Step("fails", fails(ExportError("no", hint="Do.")).do, essential=True)
    with pytest.raises(ExportError):
        nightly(workspace, night_config(), steps=(step,))
    (folder,) = workspace.runs.iterdir()
    assert [line["event"] for line in events(folder)] == ["started", "failed", "finished"]
    assert events(folder)[-1]["status"] == "failed"


def test_steps__a_failing_disk_is_one_sentence(workspace: Workspace) -> None:
    step = Step("run", fails(OSError(28, "No space left on device", "/data/x")).do, essential=True)
    with pytest.raises(NightlyError, match=r"/data/x: No space left on device.*Check the disk"):
        nightly(workspace, night_config(), steps=(step,))


def test_steps__a_defect_leaves_its_traceback_in_the_log(workspace: Workspace) -> None:
    with pytest.raises(ZeroDivisionError):
        nightly(workspace, night_config(), steps=(fails(ZeroDivisionError()),))
    (folder,) = workspace.runs.iterdir()
    (failed,) = (line for line in events(folder) if line["event"] == "failed")
    assert "ZeroDivisionError" in failed["traceback"]


def test_space__too_little_ends_the_night_before_any_work(workspace: Workspace) -> None:
    with pytest.raises(NightlyError, match=r"GB free, a night needs 1000000000\.0 GB.*least_free_gb"):
        nightly(workspace, night_config(("nowhere", "novel"), least_free_gb=1e9))
    (folder,) = workspace.runs.iterdir()
    assert "source" not in {line["event"] for line in events(folder)}


def test_notify__a_webhook_gets_the_document_with_the_token(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "s3cret")
    monkeypatch.setenv("HOOK_PATH", "team/a")
    with server() as received:
        to = NotifyConfig(webhook=f"{received.address}/$HOOK_PATH", token_env="HOOK_TOKEN")  # noqa: S106 - a name
        nightly(workspace, night_config(notify=to), steps=())
        assert received.requests == []  # nothing to tell
        result = nightly(workspace, night_config(notify=to), steps=(fails(ExportError("no")),))
        alarm = nightly(workspace, night_config(notify=to), steps=(Step("history", alarmed),))
    (path, headers, news), (_, _, drifted) = received.requests
    assert path == "/team/a" and headers["Authorization"] == "Bearer s3cret"
    assert (news["status"], news["problems"], news["night_id"]) == ("problems", ["fails: no"], result.night_id)
    assert "fails: no" in news["text"]
    assert alarm.status == "done" and drifted["alarms"][0]["sentence"] == "The new images: 900."
    assert b"s3cret" not in b"".join(path.read_bytes() for path in workspace.root.rglob("*") if path.is_file())


def test_notify__a_failed_night_is_told_too(workspace: Workspace) -> None:
    step = Step("run", fails(ExportError("no")).do, essential=True)
    with server() as received, pytest.raises(ExportError):
        nightly(workspace, night_config(notify=NotifyConfig(webhook=received.address)), steps=(step,))
    assert [news["status"] for _, _, news in received.requests] == ["failed"]


def test_notify__a_server_that_restarts_is_tried_again(workspace: Workspace) -> None:
    with server(503, 502) as received:
        to = NotifyConfig(webhook=received.address)
        result = nightly(workspace, night_config(notify=to), steps=(fails(ExportError("no")),))
    assert len(received.requests) == 3 and len(result.problems) == 1


@pytest.mark.parametrize(("answer", "requests"), [(403, 1), (302, 1)])
def test_notify__a_refusal_and_a_redirection_are_problems(workspace: Workspace, answer: int, requests: int) -> None:
    with server(answer) as received:
        to = NotifyConfig(webhook=received.address)
        result = nightly(workspace, night_config(notify=to), steps=(Step("history", alarmed),))
    assert len(received.requests) == requests and f"answered {answer}" in result.problems[0]
    assert result.status == "problems"  # an alarm that reached nobody


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"webhook": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"webhook": "https://$NOBODY_SET_THIS/x"}, "NOBODY_SET_THIS"),
        ({"webhook": "file:///etc/passwd"}, "no http or https address"),
        ({"webhook": "http://127.0.0.1:9", "token_env": "NOBODY_SET_THIS"}, "NOBODY_SET_THIS, which is not set"),
        ({"command": ("/no/such/command",)}, "did not run to its end"),
        ({"command": (sys.executable, "-c", "raise SystemExit('not today')")}, "status 1: not today"),
    ],
)
def test_notify__who_cannot_be_told_is_a_problem(workspace: Workspace, settings: dict[str, Any], said: str) -> None:
    result = nightly(workspace, night_config(notify=NotifyConfig(**settings)), steps=(Step("history", alarmed),))
    assert len(result.problems) == 1 and said in result.problems[0]


def test_notify__a_command_gets_the_document_on_its_input(workspace: Workspace, tmp_path: Path) -> None:
    script = f"import sys; open({str(tmp_path / 'news')!r}, 'w').write(sys.stdin.read())"
    to = NotifyConfig(command=(sys.executable, "-c", script))
    result = nightly(workspace, night_config(notify=to), steps=(Step("history", alarmed),))
    assert json.loads((tmp_path / "news").read_text())["night_id"] == result.night_id


def test_log__a_full_disk_does_not_silence_the_night(workspace: Workspace) -> None:
    heard: list[str] = []

    def full(night: Night) -> None:
        for file in night.log._files:
            os.dup2(os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC), file.fileno())
        night.log.say("stage", "embed: ran")

    assert nightly(workspace, night_config(), steps=(Step("full", full),), echo=heard.append).status == "done"
    assert any(line.endswith("embed: ran") for line in heard) and any("No space left" in line for line in heard)


def test_latest__is_swapped_whole_and_never_replaces_a_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        point_to(tmp_path / "latest", tmp_path / name)
        assert (tmp_path / "latest").resolve() == tmp_path / name
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "latest"}
    with pytest.raises(NightlyError, match="in the way"):
        point_to(tmp_path / "one", tmp_path / "two")


def test_formats__the_configuration_knows_those_of_the_library() -> None:
    known = NightlyConfig.model_json_schema()["properties"]["export_format"]["enum"]
    assert set(known) - {""} == set(FORMATS)


def test_steps__have_names_of_their_own() -> None:
    assert len({step.name for step in flow.STEPS}) == len(STEPS)


def test_drop_images__keeps_the_others_bit_for_bit(tmp_path: Path) -> None:
    import numpy as np

    shards = shards_of(tmp_path, "encoder")
    digests = [f"{number:064x}" for number in range(6)]
    rows = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    write_shard(shards, digests[:3], rows[:3])
    untouched = write_shard(shards, digests[3:5], rows[3:5])
    write_shard(shards, digests[5:], rows[5:])
    kept = digests[1:5]
    before = read_embeddings(shards, kept)
    assert drop_images(shards, set(kept)) == 2
    assert listed_digests(shards) == set(kept) and untouched.exists() and len(shards.paths) == 2
    assert np.array_equal(read_embeddings(shards, kept), before)
    assert drop_images(shards, set(kept)) == 0

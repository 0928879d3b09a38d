"""The lock of a workspace: one command at a time, named to whoever comes second, free when its holder is dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from curation.errors import WorkspaceBusyError, WorkspaceError
from curation.run_lock import refuse_if_busy, run_lock
from curation.workspace import Workspace

ROOT = Path(__file__).parent.parent
HOLD = """
import sys
from pathlib import Path
from curation.run_lock import run_lock
from curation.workspace import Workspace
with run_lock(Workspace(Path(sys.argv[1])), "run"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder_of(workspace: Workspace) -> subprocess.Popen[str]:
    """Another process that holds the workspace until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_run_lock__who_comes_second_hears_who_runs_since_when(workspace: Workspace) -> None:
    with holder_of(workspace) as process:
        said = rf"`curate run` \(process {process.pid} on .*\) has been running since 20\d\d-.*T.*\+00:00"
        with pytest.raises(WorkspaceBusyError, match=said), run_lock(workspace, "nightly"):
            pass
        with pytest.raises(WorkspaceBusyError, match=said):
            refuse_if_busy(workspace)
        process.communicate("")
    with run_lock(workspace, "nightly") as dead:
        assert dead is None  # it let go by itself


def test_run_lock__that_of_a_killed_process_is_taken_over(workspace: Workspace) -> None:
    with holder_of(workspace) as process:
        process.kill()
        process.wait()
        refuse_if_busy(workspace)
        with run_lock(workspace, "nightly") as dead:
            assert dead is not None and dead.pid == process.pid and dead.command == "run"


def test_run_lock__whoever_holds_it_may_take_it_again(workspace: Workspace) -> None:
    with run_lock(workspace, "nightly"):
        with run_lock(workspace, "ingest") as dead:
            assert dead is None
        with pytest.raises(WorkspaceBusyError, match="curate nightly"):
            refuse_if_busy(workspace)  # the inner one has not let go of it


def test_run_lock__another_thread_is_another_command(workspace: Workspace) -> None:
    met: list[Exception] = []

    def take() -> None:
        try:
            with run_lock(workspace, "ingest"):
                pass
        except WorkspaceBusyError as error:
            met.append(error)

    with run_lock(workspace, "nightly"):
        other = threading.Thread(target=take)
        other.start()
        other.join()
    assert len(met) == 1


def test_run_lock__is_let_go_when_the_command_fails(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="no"), run_lock(workspace, "run"):
        raise ValueError("no")
    refuse_if_busy(workspace)
    assert workspace.run_lock.read_bytes() == b""


def test_run_lock__a_child_that_outlives_its_parent_does_not_keep_it(workspace: Workspace) -> None:
    with run_lock(workspace, "run"):
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        refuse_if_busy(workspace)
    finally:
        child.communicate(b"")


def test_run_lock__a_half_written_name_is_nobody(workspace: Workspace) -> None:
    workspace.run_lock.write_text('{"pid": 12, "ho')
    with run_lock(workspace, "run") as dead:
        assert dead is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_run_lock__a_workspace_that_cannot_be_written_says_so(workspace: Workspace) -> None:
    workspace.root.chmod(0o500)
    try:
        with pytest.raises(WorkspaceError, match="cannot be opened"), run_lock(workspace, "run"):
            pass
    finally:
        workspace.root.chmod(0o700)


def test_run_lock__a_folder_in_its_place_says_so(workspace: Workspace) -> None:
    workspace.run_lock.mkdir()
    with pytest.raises(WorkspaceError, match="cannot be opened"), run_lock(workspace, "run"):
        pass

"""A night is this readable list of steps. It can be killed at any moment; the next one goes on where it was."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from curation.config import Config
from curation.errors import CurationError, NightlyError
from curation.flow import StageResult, new_run_id, run_stages
from curation.history.alarm import alarms
from curation.history.gathering import night_facts
from curation.history.keeping import read_history, write_night
from curation.progress import Progress, silent
from curation.run_lock import run_lock
from curation.stages.report import report
from curation.workspace import Workspace
from pipelines.nightly.exports import export_if_promised, train_on_export
from pipelines.nightly.log import Echo, NightLog, unheard
from pipelines.nightly.night import Night, NightResult, result_of
from pipelines.nightly.notify import news_of, notify
from pipelines.nightly.retention import remove_what_is_old
from pipelines.nightly.sources import ingest_sources
from pipelines.nightly.space import check_space


def run_out_of_date(night: Night) -> None:
    """Run every stage whose inputs have changed."""
    last = time.perf_counter()

    def told(result: StageResult) -> None:
        nonlocal last
        seconds, last = round(time.perf_counter() - last, 3), time.perf_counter()
        said = f"{result.stage}: {f'ran, {seconds:.1f} s' if result.ran else 'up to date'}"
        night.log.say("stage", said, stage=result.stage, ran=result.ran, seconds=seconds, summary=result.summary)

    night.stages = run_stages(
        night.workspace,
        night.config,
        command="nightly",
        progress=night.progress,
        told=told,
        run_id=night.night_id,
    )


def remember(night: Night) -> None:
    """Add the night to the history, and raise an alarm where it departs from it."""
    gathered = night_facts(
        night.workspace,
        night_id=night.night_id,
        started_at=night.started_at,
        finished_at=datetime.now(UTC),
        status="problems" if night.problems else "done",
        durations_s=night.durations_s,
        promise=night.promise,
        kept=night.kept,
    )
    history = read_history(night.workspace)
    write_night(night.workspace, gathered.facts, gathered.novel_ids)
    night.alarms = alarms(history.before(night.night_id), gathered.facts)
    for alarm in night.alarms:
        night.log.say("alarm", f"ALARM: {alarm.sentence}", **asdict(alarm))
    for path in history.damaged:
        night.problem(f"{path} is damaged; that night is left out of the history.")


def write_report(night: Night) -> None:
    """Write `report.html` beside the log."""
    if not night.config.nightly.report:
        return
    written = report(night.workspace, night.config, night.log.folder / "report.html", night.progress)
    night.log.say("report", f"report: {written.path}", path=written.path, size_bytes=written.size_bytes)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a night. Without an `essential` one the others make no sense; any other that fails is a problem."""

    name: str
    do: Callable[[Night], None]
    essential: bool = False


STEPS: tuple[Step, ...] = (
    Step("space", check_space, essential=True),
    Step("ingest", ingest_sources, essential=True),
    Step("run", run_out_of_date, essential=True),
    Step("export", export_if_promised),
    Step("history", remember),
    Step("report", write_report),
    Step("train", train_on_export),
    Step("retention", remove_what_is_old),
)


def nightly(
    workspace: Workspace,
    config: Config,
    *,
    progress: Progress = silent,
    echo: Echo = unheard,
    steps: tuple[Step, ...] = STEPS,
) -> NightResult:
    """Do one night; `echo` hears every line of its log, which is in `runs/<night id>/`.

    Raises `WorkspaceBusyError` while another command changes the workspace, and what an essential step raised, after
    it has been written down and told. Everybody who is configured is told of failures, problems and alarms.
    """
    with run_lock(workspace, "nightly") as dead:
        night_id = new_run_id(workspace)
        log = NightLog(workspace.runs / night_id, night_id, echo)
        night = Night(workspace, config, night_id, datetime.now(UTC), log, progress)
        try:
            log.say("started", f"night {night_id} of {workspace.root}", workspace=workspace.root)
            if dead is not None:
                log.say("took over", f"{dead} was ended before it could finish; this night goes on", **asdict(dead))
            for step in steps:
                _do(step, night)
            _finish(night, "problems" if night.problems else "done")
        except BaseException:
            _finish_early(night)
            raise
        finally:
            log.close()
    return result_of(night)


def _do(step: Step, night: Night) -> None:
    started = time.perf_counter()
    try:
        step.do(night)
    except OSError as error:
        _failed(
            step, night, NightlyError(f"{error.filename or step.name}: {error.strerror or error}.", hint=_DISK), error
        )
    except CurationError as error:
        _failed(step, night, error, error)
    finally:
        night.durations_s[step.name] = round(time.perf_counter() - started, 3)


_DISK = "Check the disk and the permissions, then run the night again: it goes on where it was."


def _failed(step: Step, night: Night, error: CurationError, cause: Exception) -> None:
    if step.essential:
        raise error from cause
    night.problem(f"{step.name}: {error}")


def _finish_early(night: Night) -> None:
    """Write down why the night is over; who ended it by hand knows, everybody else is told."""
    error = sys.exc_info()[1]
    if isinstance(error, KeyboardInterrupt | SystemExit):
        night.log.say("interrupted", "the night was interrupted; the next one goes on where it was")
        status = "interrupted"
    elif isinstance(error, CurationError):
        night.log.say("failed", f"FAILED: {error}", error=error.message, hint=error.hint)
        night.problems.append(str(error))
        status = "failed"
    else:
        night.log.say("failed", f"FAILED, a defect: {error!r}", error=repr(error), traceback=traceback.format_exc())
        night.problems.append(repr(error))
        status = "failed"
    _finish(night, status, tell=not isinstance(error, KeyboardInterrupt))


def _finish(night: Night, status: str, *, tell: bool = True) -> None:
    """Tell who is to be told, then write the last line; telling nobody because it failed is a problem too."""
    if tell and (status != "done" or night.alarms):
        for sentence in notify(night.config.nightly.notify, news_of(night, status)):
            night.problem(sentence)
        status = "problems" if status == "done" and night.problems else status
    night.log.say(
        "finished",
        f"night {night.night_id}: {status}, {sum(night.durations_s.values()):.1f} s",
        status=status,
        problems=night.problems,
        durations_s=night.durations_s,
    )

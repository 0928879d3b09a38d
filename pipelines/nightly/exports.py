"""The nightly export: written when its promise holds and the cleaned set has changed; a link leads to the newest."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from curation.current_set import CurrentSet, current_set, read_facts
from curation.errors import ExportError, NightlyError, PromiseError
from curation.export.manifest import is_export, read_manifest
from curation.files import replace_text
from curation.flow import RUN_ID
from curation.history.night import NoiseLevel, PromiseNight
from curation.nightly_config import NightlyConfig
from curation.promise import PromiseStatement
from curation.stages.export import export
from curation.values import Role
from curation.workspace import Workspace
from pipelines.nightly.night import Night

TRAINING_LOG = "train.log"
_LAST_WORDS_S = 10.0  # for a training that is ended to write what it has


def export_if_promised(night: Night) -> None:
    """Write `exports/NAME-NIGHT` and let `exports/NAME-latest` lead there.

    Nothing is written where the promise cannot be kept, which is no problem, nor where the cleaned set is that of the
    newest export.
    """
    settings = night.config.nightly
    if not settings.export_format:
        night.log.say("export", "no export: nightly.export_format is empty")
        return
    asked = settings.promise or None
    try:
        facts = read_facts(night.workspace, with_base=settings.with_base)
        found = current_set(facts, night.config, asked, everything=settings.everything)
    except PromiseError as error:
        night.promise = PromiseNight(settings.promise, held=False, reason=str(error))
        night.log.say("export", f"no export: {error}", promise=settings.promise, held=False)
        return
    unmarked = (sample for sample in found.cleaned_set.kept if sample.set_aside is None)
    night.kept = Counter(sample.web_category for sample in unmarked if sample.role is Role.NOVEL)
    night.promise = None if found.promise is None else _held(found.promise)
    before = newest_export(night.workspace, settings)
    if before is not None and _is_that_of(before, found, settings):
        night.export = before
        point_to(latest_link(night.workspace, settings), before)
        night.log.say("export", f"no export: the cleaned set is that of {before}", export=before, changed=False)
        return
    out = night.workspace.exports / f"{settings.export_name}-{night.night_id}"
    result = export(
        night.workspace,
        night.config,
        export_format=settings.export_format,
        out=out,
        promise=asked,
        with_base=settings.with_base,
        everything=settings.everything,
        split=settings.shares(),
        progress=night.progress,
    )
    point_to(latest_link(night.workspace, settings), out)
    night.export, night.exported = out, True
    receipt = result.receipt
    night.log.say("export", f"exported {receipt.kept:,} samples to {out}", changed=True, **asdict(receipt))


def train_on_export(night: Night) -> None:
    """Run the command on the newest export, unless it has been trained on; what it prints goes beside the log."""
    command, export_folder = night.config.nightly.train, night.export
    trained = night.workspace.exports / f".{night.config.nightly.export_name}-trained"
    if not command or export_folder is None or _text(trained) == export_folder.name:
        return
    log = night.log.folder / TRAINING_LOG
    words = [word.replace("{export}", str(export_folder)) for word in command]
    status = _run(words, log)
    if status:
        raise NightlyError(
            f"the training command {words[0]} ended with status {status}.", hint=f"What it said is in {log}."
        )
    replace_text(trained, export_folder.name)
    night.log.say("train", f"trained on {export_folder}", command=words, log=log)


def _run(words: Sequence[str], log: Path) -> int:
    """The exit status of a command; where the night is ended meanwhile, the command ends before it."""
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own command
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise NightlyError(
                f"the training command {words[0]} cannot be run: {error.strerror}.", hint="Check nightly.train."
            ) from error
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_LAST_WORDS_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def latest_link(workspace: Workspace, settings: NightlyConfig) -> Path:
    return workspace.exports / f"{settings.export_name}-latest"


def nightly_exports(workspace: Workspace, settings: NightlyConfig) -> list[Path]:
    """The finished exports of all nights so far, oldest first."""
    name = re.compile(rf"{re.escape(settings.export_name)}-{RUN_ID.pattern}")
    folders = (path for path in workspace.exports.glob(f"{settings.export_name}-*") if name.fullmatch(path.name))
    return sorted(path for path in folders if not path.is_symlink() and is_export(path))


def newest_export(workspace: Workspace, settings: NightlyConfig) -> Path | None:
    return next(reversed(nightly_exports(workspace, settings)), None)


def point_to(link: Path, folder: Path) -> None:
    """Let `link` lead to its neighbour `folder`: who follows it meets the old export or the new one, never none."""
    if link.exists() and not link.is_symlink():
        raise NightlyError(
            f"{link} is in the way of the link to the newest export.", hint="Rename it, or change nightly.export_name."
        )
    partial = link.with_name(f".{link.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(folder.name)
    partial.replace(link)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _is_that_of(folder: Path, found: CurrentSet, settings: NightlyConfig) -> bool:
    """Whether the export holds this very set, whole, under the same promise, in the same format and the same parts."""
    try:
        manifest = read_manifest(folder)
    except ExportError:  # damaged: another one is made
        return False
    promised = (manifest.provenance.get("promise") or {}).get("promise")
    written = (manifest.format, promised, manifest.provenance.get("split"))
    hashes = {manifest.content_hash, manifest.cleaned_set_hash, found.cleaned_set.content_hash}
    return len(hashes) == 1 and written == (settings.export_format, settings.promise or None, settings.shares())


def _held(statement: PromiseStatement) -> PromiseNight:
    noise = statement.noise
    return PromiseNight(
        asked=statement.promise, held=True, kept=statement.kept, noise=NoiseLevel(noise.expected, noise.low, noise.high)
    )

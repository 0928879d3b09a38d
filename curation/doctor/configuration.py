"""`configuration`: curate.toml can be read, and asks for nothing that cannot be."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from curation.config import Config
from curation.doctor.finding import Finding, ok, problem, warning
from curation.doctor.inputs import DoctorInputs
from curation.errors import CurationError
from curation.workspace import Workspace


def find(inputs: DoctorInputs) -> list[Finding]:
    """What is wrong with the file, or every doubt about what it says."""
    if isinstance(inputs.config_or_error, CurationError):
        return [problem(inputs.config_or_error.message, inputs.config_or_error.hint)]
    doubts = [*_doubts(inputs.config, inputs.workspace), *_secrets(inputs.workspace)]
    return doubts or [ok(f"{inputs.workspace.config_file} can be read.")]


def _doubts(config: Config, workspace: Workspace) -> Iterator[Finding]:
    nightly = config.nightly
    for source in nightly.sources:
        if not (workspace.root / source.path).exists():
            yield problem(
                f"nightly.sources names {source.path}, which is not there.", "Correct the path, or mount the disk."
            )
    if nightly.promise and not config.noise.enabled:
        yield warning(
            "nightly.promise is set and noise.enabled is false: without noise probabilities nothing can be promised.",
            "Set noise.enabled to true, or nightly.promise to 0.",
        )
    if nightly.promise and not nightly.export_format:
        yield warning(
            "nightly.promise is set and there is no nightly.export_format: nothing is exported.",
            "Name a format, as in export_format = 'imagefolder'.",
        )
    if nightly.notify.webhook.startswith("http://") and nightly.notify.token_env:
        yield warning("the token of nightly.notify.webhook travels unencrypted.", "Use an https address.")


def _secrets(workspace: Workspace) -> Iterator[Finding]:
    path: Path = workspace.root / "secrets.toml"
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield warning(f"{path} can be read by others on this machine.", f"chmod 600 {path}")

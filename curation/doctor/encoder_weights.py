"""`encoder`: the weights of the configured encoder are on this machine; nothing is loaded or downloaded."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from curation.doctor.finding import Finding, ok, problem, warning
from curation.doctor.inputs import DoctorInputs
from curation.encoders import find_weights
from curation.errors import EncoderError


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding."""
    name = inputs.config.embedding.encoder
    try:
        path = find_weights(name)
    except EncoderError as error:
        return [problem(f"{name}: {error.message}", error.hint)]
    if path is None:
        return [
            warning(
                f"the weights of {name} are not on this machine; the next `curate embed` downloads them.",
                f"Run that with network access, or name a file: {name.rpartition('/')[0] or name}@FILE.",
            )
        ]
    if path.suffix == ".safetensors" and (reason := _damage(path)):
        return [problem(f"the weights of {name} in {path} are damaged: {reason}.", "Get the file again.")]
    return [ok(f"the weights of {name} are in {path} ({path.stat().st_size / 1e6:.1f} MB).")]


def _damage(path: Path) -> str:
    """Why the file is no whole safetensors file, by its header and length; empty where it is."""
    try:
        with safe_open(path, framework="np"):
            return ""
    except (SafetensorError, OSError) as error:
        return str(error)

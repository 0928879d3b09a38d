"""One file that holds a noise model: safetensors with JSON in its metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from curation.errors import NoiseModelError
from curation.files import replace_bytes
from curation.noise.evidence_table import COLUMNS
from curation.noise.kinship import TaskGeometry
from curation.noise.logistic import Logistic
from curation.noise.model import NoiseCalibration, NoiseModel, ReliabilityBin
from curation.noise.whitened import BaseView
from curation.values import FloatArray

_SCHEMA_VERSION = 1
_KEY = "noise_model"  # all of the metadata is JSON under this one key
_HINT = "Learn it again: `curate train-noise`."


def save_noise_model(path: Path, model: NoiseModel, *, encoder_identity: str) -> str:
    """Write the model to `path` and return its identity, a digest of everything in it. Replaced in one step."""
    tensors = {
        "view.centre": model.view.centre,
        "view.whitening": model.view.whitening,
        "view.contrast": model.view.contrast,
    }
    for name, logistic in (("wrong", model.wrong), ("other_right", model.other_right)):
        for part in ("mean", "scale", "coefficients"):
            tensors[f"{name}.{part}"] = getattr(logistic, part)
    facts: dict[str, Any] = {
        "schema_version": _SCHEMA_VERSION,
        "encoder_identity": encoder_identity,
        "columns": list(COLUMNS),
        "intercepts": {"wrong": model.wrong.intercept, "other_right": model.other_right.intercept},
        "neighbours": model.neighbours,
        "geometry": asdict(model.geometry),
        "calibration": asdict(model.calibration),
    }
    tensors = {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
    facts["identity"] = _identity(tensors, facts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, save(tensors, metadata={_KEY: json.dumps(facts, sort_keys=True)}))
    except OSError as error:
        raise NoiseModelError(
            f"{path} cannot be written: {error.strerror}.", hint="Check space and permissions."
        ) from error
    return str(facts["identity"])


def read_noise_calibration(path: Path) -> NoiseCalibration:
    """What the model at `path` knows of its own errors; raises like `load_noise_model`, but loads no numbers."""
    try:
        return _calibration(_facts(path))
    except (KeyError, TypeError) as error:
        raise NoiseModelError(f"{path} is damaged ({error}).", hint=f"Delete it. {_HINT}") from error


def load_noise_model(path: Path, *, encoder_identity: str) -> NoiseModel:
    """Read a model back; `NoiseModelError` where it is missing, damaged, or of another encoder or version."""
    facts = _facts(path)
    if facts.get("schema_version") != _SCHEMA_VERSION or facts.get("columns") != list(COLUMNS):
        raise NoiseModelError(f"{path} is of another version of this tool.", hint=_HINT)
    if facts.get("encoder_identity") != encoder_identity:
        raise NoiseModelError(
            f"the noise model in {path} was learned on embeddings of {facts.get('encoder_identity')}, these are of "
            f"{encoder_identity}.",
            hint=_HINT,
        )
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        stated = facts.pop("identity")
        if stated != _identity(tensors, facts):
            raise ValueError("its numbers do not belong to its description")
        return NoiseModel(
            view=BaseView(tensors["view.centre"], tensors["view.whitening"], tensors["view.contrast"]),
            wrong=_logistic("wrong", tensors, facts),
            other_right=_logistic("other_right", tensors, facts),
            neighbours=int(facts["neighbours"]),
            geometry=TaskGeometry(**facts["geometry"]),
            calibration=_calibration(facts),
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise NoiseModelError(f"{path} is damaged ({error}).", hint=f"Delete it. {_HINT}") from error


def _calibration(facts: dict[str, Any]) -> NoiseCalibration:
    stored = dict(facts["calibration"])
    bins = tuple(ReliabilityBin(**item) for item in stored.pop("bins"))
    return NoiseCalibration(**stored, bins=bins)


def _logistic(name: str, tensors: dict[str, FloatArray], facts: dict[str, Any]) -> Logistic:
    mean, scale, coefficients = (tensors[f"{name}.{part}"] for part in ("mean", "scale", "coefficients"))
    return Logistic(mean, scale, coefficients, float(facts["intercepts"][name]))


def _facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NoiseModelError(f"there is no noise model at {path}.", hint="Learn it first: `curate train-noise`.")
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise NoiseModelError(f"{path} is damaged or no noise model ({error}).", hint=f"Delete it. {_HINT}") from error
    if not isinstance(facts, dict):
        raise NoiseModelError(f"{path} holds no description of a noise model.", hint=f"Delete it. {_HINT}")
    return facts


def _identity(tensors: dict[str, FloatArray], facts: dict[str, Any]) -> str:
    digest = sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()[:16]

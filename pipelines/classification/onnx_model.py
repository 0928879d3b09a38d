"""A classifier as one ONNX file, backbone and temperature included, checked against PyTorch: onnx's door.

    input   `images`         uint8 (batch, input_px, input_px, 3): upright RGB squares, 0 to 255, not normalised
    output  `probabilities`  float32 (batch, C): calibrated, rows sum to 1

The file's metadata tells the rest (`describe`): category names by column, how the square is cut, what made it.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from curation.errors import TrainingError
from curation.files import flush_folder
from curation.images import PixelArray, shorter_side_px
from curation.values import FloatArray
from pipelines.classification.checkpoint import ClassifierFacts, LoadedClassifier
from pipelines.classification.prediction import pixel_probabilities

LARGEST_DIFFERENCE = 1e-3  # of a probability: kernels differ in the last bits, which deep networks blow up to 1e-5
_OPSET = 18  # of 2022: every runtime in use reads it, and it has all that the networks need
_CHECKED_BATCHES = (1, 3)  # the axis of the batch is free, which one size alone would not show


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A written file; `difference` is the largest of any probability to PyTorch's, on the images that were compared."""

    path: Path
    size_bytes: int
    difference: float
    images: int


def write_onnx(path: Path, loaded: LoadedClassifier, pixels: PixelArray | None = None) -> OnnxModel:
    """Write the classifier to `path` in one step, once it has been found to agree with PyTorch.

    It is made on the CPU, wherever the classifier is, and compared there on made images and on `pixels`, uint8 (B,
    input_px, input_px, 3), where given. Raises `TrainingError` where the packages of the extra `onnx` are missing, the
    network cannot be expressed, or the outputs differ by more than 1e-3; nothing is left at `path` then.
    """
    require_onnx()
    loaded = LoadedClassifier(copy.deepcopy(loaded.classifier).cpu(), loaded.facts, torch.device("cpu"))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()  # a folder that cannot be written to is told before the work
        _export(partial, loaded)
        shown = _made_pixels(loaded.facts.input_px)
        if pixels is not None and len(pixels):
            shown = np.concatenate([shown, pixels])
        difference = _difference(partial, loaded, shown)
        if not difference <= LARGEST_DIFFERENCE:
            raise TrainingError(
                f"the ONNX model differs from PyTorch by {difference:.2g} in a probability, more than "
                f"{LARGEST_DIFFERENCE:g}; it was not kept.",
                hint="Update the packages of the extra: pip install -U 'webnoise-curation[onnx]'.",
            )
        partial.replace(path)
        flush_folder(path.parent)
        return OnnxModel(path, path.stat().st_size, difference, len(shown))
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written: {error.strerror}.", hint="Check space and permissions."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def onnx_probabilities(path: Path, pixels: PixelArray) -> FloatArray:
    """Probabilities (B, C) by onnxruntime on a CPU, of uint8 squares (B, input_px, input_px, 3)."""
    require_onnx()
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    probabilities: FloatArray = session.run(["probabilities"], {"images": pixels})[0]
    return probabilities


def describe(facts: ClassifierFacts) -> dict[str, str]:
    """The metadata of the file, all of it text."""
    side, shorter = facts.input_px, shorter_side_px(facts.input_px, facts.crop_share)
    return {
        "categories": json.dumps(facts.categories, ensure_ascii=False),
        "input": f"images: uint8 (batch, {side}, {side}, 3), upright RGB, 0 to 255, not normalised",
        "preprocessing": f"bicubic resize of the shorter side to {shorter} px, then the centre square of {side} px",
        "output": "probabilities: float32 (batch, categories), calibrated by a temperature, rows sum to 1",
        "encoder": facts.encoder_identity,
        "method": facts.config.method,
        "cleaned_set_hash": facts.cleaned_set_hash,
        "tool": f"webnoise-curation {facts.tool_version}",
    }


class _Calibrated(nn.Module):
    """Pixels (B, H, W, 3) to probabilities (B, C)."""

    def __init__(self, loaded: LoadedClassifier) -> None:
        super().__init__()
        self.classifier = loaded.classifier
        self.temperature = loaded.facts.temperature

    def forward(self, images: Tensor) -> Tensor:
        logits, _ = self.classifier(images.permute(0, 3, 1, 2))
        return torch.softmax(logits.float() / self.temperature, dim=1)


def _export(path: Path, loaded: LoadedClassifier) -> None:
    side = loaded.facts.input_px
    # Two images: a batch of one is taken for a constant.
    example = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    try:
        with _quiet_exporter(), torch.inference_mode():
            program = torch.onnx.export(
                _Calibrated(loaded).eval(),
                (example,),
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
            assert program is not None  # noqa: S101 - it is where no file is given
            program.model.metadata_props.update(describe(loaded.facts))
            program.save(path, external_data=False)
    except (torch.onnx.OnnxExporterError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"the backbone {loaded.facts.encoder} cannot be written as ONNX: {str(error).splitlines()[0]}",
            hint="Use another backbone, or leave --onnx out.",
        ) from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """torch's exporter tells of its own deprecations and of passes it skips; none of it is for whoever exports."""
    names = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def _difference(path: Path, loaded: LoadedClassifier, pixels: PixelArray) -> float:
    ours = pixel_probabilities(loaded, pixels)
    found = []
    done = 0
    for size in (*_CHECKED_BATCHES, len(pixels)):
        part = slice(done, done + size) if size < len(pixels) else slice(None)
        found.append(float(np.abs(onnx_probabilities(path, pixels[part]) - ours[part]).max()))
        done += size
    return max(found)


def _made_pixels(side: int) -> PixelArray:
    """Noise, a slope and plain colours: uint8 (8, side, side, 3)."""
    noise = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), dtype=np.uint8)
    slope = np.broadcast_to(np.linspace(0, 255, side).astype(np.uint8)[:, None, None], (1, side, side, 3))
    plain = np.stack([np.full((side, side, 3), grey, dtype=np.uint8) for grey in (0, 128, 255)])
    return np.concatenate([noise, slope, plain])


def require_onnx() -> None:
    """Raise `TrainingError` where a package of the extra is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            f"ONNX needs the package {error.name}, which is not installed.",
            hint="Install it: pip install 'webnoise-curation[onnx]'. The trained classifier itself is kept.",
        ) from error

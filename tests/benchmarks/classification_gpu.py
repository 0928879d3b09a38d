"""From end to end on a GPU: birds through the tool's own stages, then the whole MobileNet fine-tuned by each method."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import torch

from curation.config import Config, Device, EmbeddingConfig
from curation.flow import run_stages
from curation.stages.export import export
from curation.stages.ingest import ingest
from curation.values import Role
from curation.workspace import create_workspace
from pipelines.classification.config import ClassificationConfig, MethodName
from pipelines.classification.flow import train_classification
from pipelines.classification.judging import read_history

METHODS: tuple[MethodName, ...] = ("plain", "weighted", "graph", "simtrans", "cleaned", "soft", "relabelled")
NOT_ASKED = "not run: it takes --device cuda"
NO_GPU = "not run: no GPU"


def figures(data: Path, folder: Path, device: str) -> str | list[dict[str, Any]]:
    """A row for every method, by one seed: accuracy on the test images, and images per second in training.

    Without a GPU, or where none was asked for, the reason why there are none.
    """
    if device != "cuda":
        return NOT_ASKED
    if not torch.cuda.is_available():
        return NO_GPU
    return [{"gpu": torch.cuda.get_device_name(), **row} for row in fine_tuned(data, folder, "cuda")]


def fine_tuned(
    data: Path, folder: Path, device: Device, methods: tuple[MethodName, ...] = METHODS, **options: Any
) -> list[dict[str, Any]]:
    """The same rows on any device, with more `options` of the training."""
    birds, weights = data / "data" / "birds", data / "weights" / "mobilenetv2_100_imagenet.safetensors"
    config = Config(embedding=EmbeddingConfig(encoder=f"timm/mobilenetv2_100@{weights}", device=device))
    workspace = create_workspace(folder / "birds-workspace", config)
    for role in Role:
        ingest(workspace, birds / role.value, role)
    run_stages(workspace, config, command="benchmark")
    export(workspace, config, export_format="csv", out=folder / "birds-export", everything=True)
    rows = []
    for method in methods:
        training = ClassificationConfig(method=method, finetune=True, device=device, **options)
        out = folder / f"birds-{method}"
        told = train_classification(folder / "birds-export", out, training, test=birds / Role.TEST.value)
        speeds = [float(row["images_per_s"] or 0) for row in read_history(out / "training.csv")]
        rows.append(
            {"method": method, "accuracy": told["test"]["accuracy"], "images per second": statistics.median(speeds)}
        )
    return rows

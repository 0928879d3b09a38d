"""`curate train classification`: from an exported cleaned set to a classifier, without a look at the test set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curation.config import ImagesConfig
from curation.devices import choose_device
from curation.encoders import Encoder, checked_name, load_backbone, load_encoder
from curation.encoders.torch_encoder import Backbone
from curation.errors import TrainingError
from curation.export.reading import ExportedSet
from curation.progress import Progress, silent
from curation.similarity.checkpoint import load_network
from curation.similarity.network import SimilarityNetwork
from curation.values import FloatArray, Role
from pipelines.classification.checkpoint import MODEL, ClassifierFacts, new_classifier, save_classifier
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.course import EpochFigures, Keeping
from pipelines.classification.embedding import embed_export
from pipelines.classification.fitting import Fitted, fit
from pipelines.classification.frozen import fit_head, graph_of
from pipelines.classification.hybrid import BaseKnowledge
from pipelines.classification.hybrid_fitting import fit_hybrid
from pipelines.classification.hybrid_knowledge import base_knowledge, check_hybrid
from pipelines.classification.images import ImageInputs
from pipelines.classification.methods import (
    METHODS,
    TrainingTargets,
    category_names,
    find_targets,
    learned_targets,
    read_columns,
)
from pipelines.classification.model import Classifier, ImageBackbone
from pipelines.classification.splitting import Validation, hold_out
from pipelines.training.batches import Rows

STATE = "state.pt"
# Options that change neither the steps nor the result (the device does in the last bits, so it must stay).
_MAY_DIFFER = ("workers", "save_every_s", "max_pixels", "backbone")
# Share of the classification loss that the graph loss may have at the start (A.6 e asks for 1 to 10 %).
_USUAL_SHARES = (0.001, 0.3)
_SCALED_ON = 256  # images whose features tell the scale of a backbone


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier on the CPU, in evaluation mode, and all that is to be told of it.

    `targets` are over all samples of the export, 0 where they were not trained on; `validation` were held out.
    """

    classifier: Classifier
    facts: ClassifierFacts
    history: tuple[EpochFigures, ...]
    targets: TrainingTargets
    validation: Validation


@dataclass(frozen=True)
class _Task:
    """What a training starts from, once the export has been read and checked."""

    exported: ExportedSet
    config: ClassificationConfig
    out: Path
    embeddings: Path
    targets: TrainingTargets
    validation: Validation
    progress: Progress

    @property
    def images(self) -> ImagesConfig:
        return ImagesConfig(max_pixels=self.config.max_pixels)


def train(
    exported: ExportedSet,
    config: ClassificationConfig,
    out: Path,
    *,
    embeddings: Path | None = None,
    progress: Progress = silent,
) -> TrainedClassifier:
    """Train a classifier and write `out/model.safetensors`; with `out/state.pt` there, go on where that training was.

    The state is left for the caller to remove, when nothing is to be done any more that may be interrupted.
    `embeddings` is where embeddings by frozen encoders are kept, `out/embeddings` by default. Raises `TrainingError`
    where the export lacks what the method needs, `EncoderError` where the backbone cannot be had.
    """
    check_hybrid(config)
    encoder_name = checked_name(config.backbone or _encoder_of(exported))
    names = category_names(exported.samples, generalized=config.generalized)
    if len(names) < 2:
        raise TrainingError(
            f"a classifier needs two categories, and {exported.folder} has {len(names)}.",
            hint="Export novel samples of more categories; base ones count with --generalized.",
        )
    columns = read_columns(exported, names)
    targets = find_targets(config.method, columns)
    validation, allowed = hold_out(exported.samples, columns, targets.used, config.validation)
    targets = targets.restricted(allowed)
    task = _Task(exported, config, out, embeddings or out / "embeddings", targets, validation, progress)
    network = load_backbone(encoder_name) if config.finetune else load_encoder(encoder_name, config.device)
    facts = ClassifierFacts(
        categories=names,
        novel=tuple(sorted({sample.web_category for sample in exported.samples if sample.role is Role.NOVEL})),
        encoder=encoder_name,
        encoder_identity=network.identity,
        architecture=dict(network.architecture) if isinstance(network, Backbone) else None,
        dimension=network.dimension,
        input_px=network.input_px,
        crop_share=network.crop_share,
        cleaned_set_hash=exported.manifest.content_hash,
        config=config,
    )
    keeping = Keeping(out / STATE, out, _origin(task, facts))
    if isinstance(network, Backbone):
        fitted = _fine_tune(task, network, facts, keeping)
    elif config.method == "hybrid":
        fitted = _fit_hybrid(task, network, base_knowledge(exported, names, columns, allowed, network, config), keeping)
    else:
        fitted = _fit_frozen(task, network, keeping)
    facts = facts.model_copy(update={"temperature": fitted.temperature, "figures": _figures(task, fitted)})
    save_classifier(out / MODEL, fitted.classifier, facts)
    return TrainedClassifier(fitted.classifier, facts, fitted.history, targets, validation)


def _fit_frozen(task: _Task, encoder: Encoder, keeping: Keeping) -> Fitted:
    """All images are embedded once; the head is trained on their embeddings."""
    embeddings = embed_export(task.exported, encoder, task.embeddings, task.images, task.progress)
    network, network_embeddings = _similarity(task, embeddings, encoder.identity)
    return fit_head(
        embeddings,
        task.targets,
        task.config,
        validation=task.validation,
        network=network,
        network_embeddings=network_embeddings,
        keeping=keeping,
        progress=task.progress,
    )


def _fit_hybrid(task: _Task, encoder: Encoder, knowledge: BaseKnowledge, keeping: Keeping) -> Fitted:
    """A linear head is learned from the web, and by category vectors from base samples."""
    embeddings = embed_export(task.exported, encoder, task.embeddings, task.images, task.progress)
    origin = {**keeping.origin, "category vectors": knowledge.digest}
    fitted = fit_hybrid(
        embeddings,
        task.targets,
        knowledge,
        task.config,
        validation=task.validation,
        keeping=replace(keeping, origin=origin),
        progress=task.progress,
    )
    return replace(fitted, figures={**fitted.figures, **knowledge.figures})


def _fine_tune(task: _Task, backbone: Backbone, facts: ClassifierFacts, keeping: Keeping) -> Fitted:
    """Backbone and head are trained together on augmented images."""
    config, device = task.config, choose_device(task.config.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        updates = config.batch_statistics == "updated"
        classifier = new_classifier(facts, ImageBackbone(backbone, frozen=False, updates_statistics=updates))
    inputs = ImageInputs(
        task.exported,
        config,
        input_px=facts.input_px,
        crop_share=facts.crop_share,
        on_gpu=device.type == "cuda",
    )
    rows = np.flatnonzero(task.targets.used)
    _set_scale(classifier, inputs, rows[:: max(1, len(rows) // _SCALED_ON)][:_SCALED_ON], device)
    network, network_embeddings = _similarity(task, None, None)
    graph = None
    if METHODS[config.method].graph:
        graph = graph_of(classifier, network, network_embeddings, task.targets, config)
    return fit(
        classifier,
        inputs,
        task.targets,
        rows,
        config,
        device=device,
        validation=task.validation,
        graph=graph,
        keeping=keeping,
        progress=task.progress,
    )


@torch.no_grad()
def _set_scale(classifier: Classifier, inputs: ImageInputs, rows: Rows, device: torch.device) -> None:
    """A component of the backbone's features has a mean square of 1 at the start, whatever the backbone."""
    backbone = classifier.to(device).eval().backbone
    if backbone is None:
        return
    squares = torch.cat([backbone(shown.to(device)).float().square().mean(dim=1) for shown in inputs.plain(rows)])
    classifier.scale.fill_(float(squares.mean().clamp(min=1e-12).rsqrt()))


def _similarity(
    task: _Task, embeddings: FloatArray | None, encoder_identity: str | None
) -> tuple[SimilarityNetwork | None, FloatArray | None]:
    """The similarity network of the export and embeddings by its own encoder, where the method has a graph.

    `embeddings` are taken where they are by that encoder already.
    """
    path = task.exported.similarity_network
    if not METHODS[task.config.method].graph or path is None:
        return None, None
    loaded = load_network(path)
    if embeddings is not None and loaded.metadata.encoder_identity == encoder_identity:
        return loaded.network, embeddings
    encoder = load_encoder(_encoder_of(task.exported), task.config.device)
    if encoder.identity != loaded.metadata.encoder_identity:
        raise TrainingError(
            f"the similarity network of the export belongs to {loaded.metadata.encoder_identity}, the encoder found is "
            f"{encoder.identity}.",
            hint="Install the weights the export was made with, or choose a method without a graph.",
        )
    return loaded.network, embed_export(task.exported, encoder, task.embeddings, task.images, task.progress)


def _encoder_of(exported: ExportedSet) -> str:
    if exported.encoder is None:
        raise TrainingError(
            f"the export {exported.folder} does not say by which encoder it was made.",
            hint="Name one: --backbone timm/resnet50.a1_in1k, or builtin.",
        )
    return exported.encoder


def _figures(task: _Task, fitted: Fitted) -> dict[str, Any]:
    """What is told of a training beside its course."""
    targets, names = task.targets, category_names(task.exported.samples, generalized=task.config.generalized)
    used, base = int(learned_targets(targets, task.config).used.sum()), fitted.figures.get("base_samples", 0)
    empty = ", ".join(name for name, mass in zip(names, targets.targets.sum(axis=0), strict=True) if mass == 0)
    return {
        "samples": len(task.exported),
        "used": used,
        "held_out": len(task.validation.rows),
        "left_out": len(task.exported) - used - len(task.validation.rows) - base,
        "categories": len(names),
        **({"categories_without_samples": empty} if empty else {}),
        "epochs": len(fitted.history),
        **fitted.figures,
        **_warning(fitted.figures.get("graph_share_at_start")),
    }


def _warning(graph_share: float | None) -> dict[str, str]:
    low, high = _USUAL_SHARES
    if graph_share is None or low <= graph_share <= high:
        return {}
    told = f"alpha * L_reg was {graph_share:.2%} of the classification loss at the start: 1 to 10 % is usual"
    return {"warning": f"{told}; leave alpha out, and it is chosen so."}


def _origin(task: _Task, facts: ClassifierFacts) -> dict[str, Any]:
    """What an unfinished training must have in common with the one that goes on with it."""
    options = task.config.model_dump(mode="json", exclude=set(_MAY_DIFFER))
    return {
        **options,
        "encoder": facts.encoder_identity,
        "cleaned set": facts.cleaned_set_hash,
        "the state is chosen by": "refinement loss",
    }

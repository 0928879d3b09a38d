"""`curate demo`: the whole flow on an image set drawn for it, judged against the truth that only the demo knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from curation.config import Config
from curation.demo.images import CLEAN, LABEL_FLIP, OUT_OF_DOMAIN, DemoTruth, make_demo_images
from curation.errors import WorkspaceError
from curation.flow import run_stages
from curation.progress import Progress, silent
from curation.stages.export import export
from curation.stages.ingest import ingest
from curation.stages.scores import draw_weight_sheets, write_score_table
from curation.store.connection import catalog
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.noise import read_noise_estimates
from curation.store.samples import read_samples
from curation.values import Evidence, FlagName, Role, Sample
from curation.workspace import Workspace, create_workspace

_KINDS = {CLEAN: "right", LABEL_FLIP: "label flips", OUT_OF_DOMAIN: "outliers"}
_SUSPICIONS = {FlagName.OUTLIER, FlagName.LABEL_FLIP}


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made and found.

    `auroc`: method -> area under the ROC curve for telling wrong images from right ones. `weights`: kind of image ->
    (number, mean weight). `flagged`: precision and recall of the outlier and label-flip flags. `places`: what -> path.
    """

    images: dict[str, int | float]
    auroc: dict[str, float]
    weights: dict[str, tuple[int, float]]
    flagged: dict[str, int | float]
    places: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One scored novel sample beside the truth about it."""

    evidence: Evidence
    noise_probability: float
    noise: str
    suspected: bool

    @property
    def wrong(self) -> bool:
        return self.noise != CLEAN


def run_demo(folder: Path, *, seed: int = 0, progress: Progress = silent) -> DemoResult:
    """Draw images into `folder`, run every stage on them offline, write scores, contact sheets and two exports."""
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkspaceError(f"{folder} exists and is not an empty folder.", hint="Name another: curate demo FOLDER.")
    progress("drawing images", 0, 1)
    truth = make_demo_images(folder / "images", seed=seed)
    progress("drawing images", 1, 1)
    config = Config()
    workspace = create_workspace(folder / "workspace", config)
    for role in Role:
        ingest(workspace, folder / "images" / role.value, role, progress)
    run_stages(workspace, config, command="demo", progress=progress)
    scores = folder / "scores.csv"
    write_score_table(workspace, scores)
    sheets = draw_weight_sheets(workspace, folder / "sheets", progress)
    places = {
        "contact sheets": ", ".join(str(path) for path in sheets),
        "scores": str(scores),
        "truth": str(folder / "images" / "truth.csv"),
        "workspace": str(workspace.root),
    }
    for name in ("imagefolder", "parquet"):
        exported = export(workspace, config, export_format=name, out=workspace.exports / name, progress=progress)
        places[f"export ({name})"] = str(exported.receipt.folder)
    judged = _judge(workspace, truth)
    return DemoResult(_images(truth), _auroc(judged), _weights(judged), _flagged(judged), places)


def _judge(workspace: Workspace, truth: DemoTruth) -> list[_Judged]:
    noise = {row.image.removeprefix("novel/"): row.noise for row in truth.rows}
    with catalog(workspace) as connection:
        samples: list[Sample] = read_samples(connection, Role.NOVEL)
        evidence, flags = read_evidence(connection), read_flags(connection)
        estimates = read_noise_estimates(connection)
    return [
        _Judged(
            evidence[sample.sample_id],
            estimates[sample.sample_id].noise_probability,
            noise[sample.image_id],
            bool(_SUSPICIONS & {flag.name for flag in flags.get(sample.sample_id, ())}),
        )
        for sample in samples
        if sample.sample_id in evidence
    ]


def _images(truth: DemoTruth) -> dict[str, int | float]:
    wrong = sum(row.noise != CLEAN for row in truth.rows)
    return {
        "base categories": len(truth.base_categories),
        "novel categories": len(truth.novel_categories),
        "novel images": len(truth.rows),
        "wrong among them": wrong,
        "share wrong": wrong / len(truth.rows),
    }


def _auroc(judged: list[_Judged]) -> dict[str, float]:
    """Low cosine, low weight, or a high noise probability should mean wrong."""
    wrong = [item.wrong for item in judged]
    suspicion = {
        "mean cosine to the category": [-(item.evidence.own_cosine or 0.0) for item in judged],
        "similarity network (1 - weight)": [1 - item.evidence.weight for item in judged],
        "noise model (noise probability)": [item.noise_probability for item in judged],
    }
    return {method: float(roc_auc_score(wrong, values)) for method, values in suspicion.items()}


def _weights(judged: list[_Judged]) -> dict[str, tuple[int, float]]:
    groups = {kind: [item for item in judged if item.noise == kind] for kind in sorted({item.noise for item in judged})}
    return {
        _KINDS[kind]: (len(items), float(np.mean([item.evidence.weight for item in items])))
        for kind, items in groups.items()
    }


def _flagged(judged: list[_Judged]) -> dict[str, int | float]:
    suspected = sum(item.suspected for item in judged)
    hits = sum(item.suspected and item.wrong for item in judged)
    return {
        "share predicted to be wrong": float(np.mean([item.noise_probability for item in judged])),
        "flagged": suspected,
        "of them wrong (precision)": hits / max(suspected, 1),
        "of the wrong ones flagged (recall)": hits / max(sum(item.wrong for item in judged), 1),
    }

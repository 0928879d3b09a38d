"""What is believed of the novel images: by the tool's own stages, by cleanlab, and by somebody who knows the truth.

Whoever judges gives the columns of an export of everything; the tool's methods then train on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from curation.cleaned_set import build_cleaned_set
from curation.config import Config
from curation.evidence import find_evidence
from curation.evidence_columns import EvidenceColumns
from curation.export.manifest import count, new_manifest
from curation.export.reading import ExportedSet
from curation.flags import label_flip, outlier
from curation.flags.inputs import FlagInputs
from curation.noise.estimation import estimate_noise
from curation.noise.model import NoiseModel
from curation.noise.tasks import task_shape
from curation.noise.training import train_noise_model
from curation.similarity.network import SimilarityNetwork
from curation.similarity.training import train_network
from curation.values import CleanedSample, Decision, Flag, FloatArray, NoiseEstimate, Role, Sample
from pipelines.classification.methods import Codes, Columns, Mask, category_names, read_columns
from pipelines.training.batches import Rows
from tests.benchmarks.noise_methods import METHODS
from tests.benchmarks.noise_problem import CLASSIFIERS, Probabilities, cross_validated, problem_of
from tests.benchmarks.noise_sets import NoiseTask

CONFIG = Config()  # the tool as it comes
CLEANLAB = ("cleanlab default filter", "cleanlab best filter")


@dataclass(frozen=True, slots=True)
class Judge:
    """What `train-similarity`, `score` and `train-noise` make of a task: the noise model has judged nothing yet."""

    network: SimilarityNetwork
    model: NoiseModel
    evidence: EvidenceColumns


@dataclass(frozen=True, slots=True)
class Believed:
    """N samples as an export of everything holds them, their `rows` (N,) in the task, and their columns."""

    samples: tuple[CleanedSample, ...]
    rows: Rows
    columns: Columns


def learn(task: NoiseTask, config: Config = CONFIG) -> Judge:
    """The tool's own stages on the base images of a task, and the evidence about its novel ones."""
    network = train_network(task.base, task.base_categories.tolist(), config.similarity).network
    sizes = [
        np.unique(categories, return_counts=True)[1].tolist() for categories in (task.listed, task.base_categories)
    ]
    return Judge(
        network=network,
        model=train_noise_model(task.base, task.base_categories.tolist(), task_shape(*sizes), config),
        evidence=find_evidence(
            network, ids_of(task), task.listed.tolist(), task.novel, scoring=config.scoring, weights=config.weights
        ),
    )


def estimates_of(task: NoiseTask, judge: Judge, decisions: Mapping[str, Decision]) -> list[NoiseEstimate]:
    """What the noise model says of every novel image (N,) once these decisions are known."""
    ids = ids_of(task)
    return estimate_noise(judge.model, ids, task.listed.tolist(), task.novel, judge.evidence, decisions).estimates


def ours(task: NoiseTask, judge: Judge, decisions: Mapping[str, Decision] | None = None) -> Believed:
    """What `curate export --everything` would hold after these decisions; of all flags those of the noise model."""
    decisions = decisions or {}
    estimates = {item.sample_id: item for item in estimates_of(task, judge, decisions)}
    samples = tuple(
        _sample(name, category, embedding)
        for name, category, embedding in zip(ids_of(task), task.listed.tolist(), task.novel, strict=True)
    )
    inputs = FlagInputs(samples, {}, estimates, suspected_at=CONFIG.flags.noise_probability)
    flags: dict[str, list[Flag]] = {}
    for flag in (*label_flip.find(inputs), *outlier.find(inputs)):
        flags.setdefault(flag.sample_id, []).append(flag)
    cleaned = build_cleaned_set(
        samples,
        evidence={item.sample_id: item for item in judge.evidence.rows()},
        estimates=estimates,
        flags=flags,
        decisions=decisions,
        categories={name: code for code, name in enumerate(np.unique(task.listed).tolist())},
        set_aside_flags=CONFIG.cleaned_set.set_aside,
        provenance={},
        everything=True,
    )
    manifest = new_manifest(
        export_format="csv",
        content_hash=cleaned.content_hash,
        cleaned_set_hash=cleaned.content_hash,
        counts=count(cleaned.kept, cleaned.set_aside, considered=len(samples)),
        notes=(),
        files=(),
        folders=(),
        provenance={},
    )
    exported = ExportedSet(Path(), manifest, cleaned.kept, (), dict(cleaned.categories))
    columns = read_columns(exported, category_names(cleaned.kept, generalized=False))
    return Believed(cleaned.kept, np.array([int(sample.sample_id) for sample in cleaned.kept]), columns)


def told_wrong(believed: Believed, wrong: Mask, true: Codes | None = None) -> Believed:
    """The same images, but of a judge who says of each whether it is `wrong` (N,), and perhaps what it is (-1 = none of
    the categories)."""
    suggested = np.full(len(wrong), -1, dtype=np.int64) if true is None else true
    columns = replace(
        believed.columns,
        noise_probability=wrong.astype(np.float32),
        suggested=suggested,
        suggested_probability=(suggested >= 0).astype(np.float32),
        kept=~wrong,
    )
    return replace(believed, columns=columns)


def truth(believed: Believed, task: NoiseTask) -> Believed:
    """What somebody believes who knows the truth."""
    names = {name: code for code, name in enumerate(np.unique(task.listed).tolist())}
    true = np.array([names.get(name, -1) for name in task.true.tolist()], dtype=np.int64)
    return told_wrong(believed, task.wrong, true)


def cleanlab(believed: Believed, task: NoiseTask, probabilities: Probabilities) -> dict[str, Believed]:
    """What cleanlab's filters believe: of their variants the one that finds most errors, chosen with the truth."""
    problem = problem_of(task, probabilities)
    judged: dict[str, Believed] = {}
    for name in CLEANLAB:
        verdicts = [variant.judge(problem).flagged for variant in METHODS[name].variants.values()]
        flags = [np.asarray(flagged, dtype=np.bool_) for flagged in verdicts if flagged is not None]
        judged[name] = told_wrong(believed, max(flags, key=lambda flagged: f1(flagged, task.wrong)))
    return judged


def probabilities_of(task: NoiseTask) -> Probabilities:
    """Cross-validated probabilities of every logistic regression that cleanlab's filters are tried with."""
    return {name: cross_validated(task, name) for name in CLASSIFIERS}


def f1(flagged: Mask, wrong: Mask) -> float:
    """2 TP / (flagged + wrong), 0 where both are empty."""
    return 2 * float((flagged & wrong).sum()) / max(1.0, float(flagged.sum() + wrong.sum()))


def ids_of(task: NoiseTask) -> list[str]:
    """The sample ids of the novel images: their rows."""
    return [f"{row:06}" for row in range(len(task.listed))]


def _sample(name: str, category: str, embedding: FloatArray) -> Sample:
    """The digest, which decides about the validation part, is that of the embedding: as good as that of the image."""
    digest = sha256(embedding.tobytes()).hexdigest()
    return Sample(name, name, Role.NOVEL, category, "", "", digest, None, "benchmark")

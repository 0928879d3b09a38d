"""Learning the noise model: made tasks of base categories, seen through networks that do not know these categories."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from curation.bands import one_thread
from curation.config import Config
from curation.errors import NoiseModelError
from curation.evidence import find_evidence
from curation.nearest import find_nearest
from curation.noise.calibration import measure_calibration
from curation.noise.evidence_table import EvidenceTable, evidence_table, similarity_evidence
from curation.noise.kinship import TaskGeometry, task_geometry, typical_geometry
from curation.noise.logistic import Logistic, fit_logistic, sigmoid
from curation.noise.model import NoiseModel
from curation.noise.suggestion import other_category
from curation.noise.tasks import HABITS, PseudoTask, TaskShape, category_affinity, make_task
from curation.noise.whitened import base_view
from curation.progress import Progress, silent
from curation.similarity.split import CategorisedImages, sorted_images
from curation.similarity.training import train_network
from curation.values import FloatArray

FEWEST_CATEGORIES = 6
_FOLDS = len(
    HABITS
)  # a third of the categories stands in for novel ones; their network learns from the other two thirds
_NOISE_RATES = (0.03, 0.6)  # from the cleanest to the noisiest task
_FEWEST_TASKS, _MOST_TASKS = 6, 60  # in a fold
_FEWEST_IMAGES = 2  # a single image has no others to be compared with


@dataclass(frozen=True, slots=True)
class SolvedTask:
    """A made task with its evidence, and the fold of base categories that it was made from."""

    task: PseudoTask
    table: EvidenceTable
    geometry: TaskGeometry
    fold: int


@one_thread()
def train_noise_model(
    embeddings: FloatArray,
    categories: Sequence[str],
    shape: TaskShape,
    config: Config,
    *,
    progress: Progress = silent,
) -> NoiseModel:
    """Learn from base images, `embeddings` unit-norm float32 (N, D) and their `categories`, how noise looks.

    In each of three folds a third of the base categories is kept apart. A similarity network and a whitening learn from
    the others, then tasks shaped like the novel images are made from the third and their evidence is found exactly as
    it is for novel images. One logistic regression learns from all of them; the errors of three, each of which has not
    seen the categories of one fold nor the way its noise came about, say how far it can be trusted. Raises
    `NoiseModelError` for fewer than six usable categories.
    """
    base = _usable(sorted_images(embeddings, categories))
    solved = list(_solve_folds(base, shape, config, progress))
    generator = np.random.default_rng(config.noise.seed)
    return NoiseModel(
        view=base_view(base, config.noise.contrast, generator),
        wrong=fit_wrong(solved),
        other_right=fit_other_right(solved),
        neighbours=config.noise.neighbours,
        geometry=typical_geometry([item.geometry for item in solved]),
        calibration=measure_calibration([item.task for item in solved], _cross_validated(solved)),
    )


def fit_wrong(solved: Sequence[SolvedTask]) -> Logistic:
    """Evidence -> is the web category wrong; every task weighs the same."""
    columns = np.concatenate([item.table.columns for item in solved])
    target = np.concatenate([item.task.wrong for item in solved])
    weights = np.concatenate([np.full(len(item.task.codes), 1 / len(item.task.codes)) for item in solved])
    return fit_logistic(columns, target, weights)


def fit_other_right(solved: Sequence[SolvedTask]) -> Logistic:
    """The probe's posterior -> is the best other category the right one, learned from images that are wrong."""
    columns, target = [np.zeros((0, 3), dtype=np.float32)], [np.zeros(0, dtype=bool)]
    for item in solved:
        other = other_category(item.table.posterior, item.task.codes)
        columns.append(other.columns[item.task.wrong])
        target.append((other.best == item.task.true)[item.task.wrong])
    together = np.concatenate(columns)
    return fit_logistic(together, np.concatenate(target), np.ones(len(together)))


def _usable(base: CategorisedImages) -> CategorisedImages:
    sizes = np.bincount(base.codes, minlength=len(base.names))
    names = [name for name, size in zip(base.names, sizes, strict=True) if size >= 2]
    if len(names) < FEWEST_CATEGORIES:
        raise NoiseModelError(
            f"expected at least {FEWEST_CATEGORIES} base categories with 2 or more images to learn noise from, got "
            f"{len(names)} of {len(base.names)}.",
            hint="Ingest more base categories; or set noise.enabled = false in curate.toml: weights, near duplicates, "
            "label conflicts, leaks, quality flags, scores and exports still work, but no image is judged wrong.",
        )
    return base.only(names)


def _solve_folds(base: CategorisedImages, shape: TaskShape, config: Config, progress: Progress) -> Iterator[SolvedTask]:
    generator = np.random.default_rng(config.noise.seed)
    order = generator.permutation(len(base.names))
    affinity = category_affinity(base.embeddings, base.codes)
    for fold in range(_FOLDS):
        kept_apart = order[fold::_FOLDS]
        known = base.only([name for code, name in enumerate(base.names) if code not in set(kept_apart.tolist())])
        told = partial(_told_training, progress, fold)
        network = train_network(
            known.embeddings, [known.names[code] for code in known.codes], config.similarity, progress=told
        ).network
        view = base_view(known, config.noise.contrast, generator)
        rates = _noise_rates(_task_count(base, kept_apart, shape, config.noise.made_images), generator)
        for number, rate in enumerate(rates, start=1):
            task = make_task(base.codes, kept_apart.tolist(), affinity, shape, rate, HABITS[fold], generator)
            if len(task.rows) < _FEWEST_IMAGES:
                continue
            images = base.embeddings[task.rows]
            names = [str(code) for code in task.codes]
            evidence = find_evidence(network, names, names, images, scoring=config.scoring, weights=config.weights)
            rows = view.rows(images)
            table = evidence_table(
                rows,
                task.codes,
                task.categories,
                view.contrast,
                similarity_evidence(evidence, names),
                find_nearest([""] * len(rows), rows, config.noise.neighbours),
            )
            progress(f"made noise {fold + 1}/{_FOLDS}", number, len(rates))
            geometry = task_geometry(rows, task.codes, task.categories, view.contrast)
            yield SolvedTask(task, table, geometry, fold)


def _told_training(progress: Progress, fold: int, done: int, total: int, _: dict[str, float]) -> None:
    progress(f"network {fold + 1}/{_FOLDS}", done, total)


def _task_count(base: CategorisedImages, kept_apart: NDArray[np.int64], shape: TaskShape, images: int) -> int:
    """Enough tasks for about this many images: small ones are made more often."""
    categories = max(1, min(shape.categories, len(kept_apart) * 3 // 4))
    size = min(float(np.mean(shape.sizes)), len(base.codes) / len(base.names))
    return int(np.clip(math.ceil(images / (categories * size)), _FEWEST_TASKS, _MOST_TASKS))


def _noise_rates(count: int, generator: np.random.Generator) -> list[float]:
    """Rates that cover the range evenly, in random order."""
    lowest, highest = _NOISE_RATES
    steps = (np.arange(count) + generator.uniform(size=count)) / count
    return list(generator.permutation(lowest + (highest - lowest) * steps))


def _cross_validated(solved: Sequence[SolvedTask]) -> list[FloatArray]:
    """The probabilities of every task by a model that has not seen its fold."""
    models = [fit_wrong([item for item in solved if item.fold != fold]) for fold in range(_FOLDS)]
    return [sigmoid(models[item.fold].log_odds(item.table.columns)) for item in solved]

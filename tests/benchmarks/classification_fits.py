"""One set, and what is trained on it: the accuracy of a head by one judge's belief, one method and one seed."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curation.values import Decision, FloatArray
from pipelines.classification.config import ClassificationConfig, MethodName
from pipelines.classification.frozen import fit_head
from pipelines.classification.methods import METHODS, Codes, find_targets
from pipelines.classification.splitting import hold_out
from tests.benchmarks.classification_judges import Believed, Judge, ours
from tests.benchmarks.classification_review import Order, decide, order_of
from tests.benchmarks.noise_sets import NoiseTask


@dataclass(frozen=True)
class Setup:
    """A set with what was judged of it, by judge; `test` (T, D) are clean images, `codes` (T,) what they show.

    `options` go to every training.
    """

    name: str
    task: NoiseTask
    test: FloatArray
    codes: Codes
    judge: Judge
    believed: Mapping[str, Believed]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A row of the table: whose belief is trained on, and how.

    `shuffled`: the graph compares other images than those of the batch, so it knows nothing of them; what is left of
    its effect is that features are pulled together.
    """

    judge: str
    method: MethodName
    shuffled: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


OURS, TRUTH = "ours", "truth"
ORACLE = "oracle"
SHUFFLED = "simtrans, shuffled graph"
RECIPES: dict[str, Recipe] = {
    "plain": Recipe(OURS, "plain"),
    "plain, last epoch": Recipe(OURS, "plain", options={"validation": 0}),
    "weighted": Recipe(OURS, "weighted"),
    "graph": Recipe(OURS, "graph"),
    "simtrans": Recipe(OURS, "simtrans"),
    SHUFFLED: Recipe(OURS, "simtrans", shuffled=True),
    "cleaned": Recipe(OURS, "cleaned"),
    "soft": Recipe(OURS, "soft"),
    "relabelled": Recipe(OURS, "relabelled"),
    "cleanlab default filter": Recipe("cleanlab default filter", "cleaned"),
    "cleanlab best filter": Recipe("cleanlab best filter", "cleaned"),
    ORACLE: Recipe(TRUTH, "cleaned"),
    "oracle, flips corrected": Recipe(TRUTH, "relabelled"),
}


def accuracy(setup: Setup, recipe: Recipe, seed: int) -> float:
    """Accuracy on the test images after a training as `curate train classification` does it, [0, 1]."""
    return fitted_accuracy(setup, setup.believed[recipe.judge], recipe, seed)


def reviewed_accuracy(setup: Setup, order: Order, reviews: int, method: MethodName, seed: int) -> tuple[float, int]:
    """The same after a simulated annotator has looked at `reviews` images, and how many of these were wrong."""
    probability = setup.believed[OURS].columns.noise_probability
    rows = order_of(order, probability, setup.task, seed)[:reviews]
    decisions: dict[str, Decision] = decide(rows, setup.task, seed)
    believed = ours(setup.task, setup.judge, decisions)
    return fitted_accuracy(setup, believed, Recipe(OURS, method), seed), int(setup.task.wrong[rows].sum())


def fitted_accuracy(setup: Setup, believed: Believed, recipe: Recipe, seed: int) -> float:
    """The validation part is held out as the tool does, and selects the state; the test images do not."""
    options = {**setup.options, **recipe.options}
    config = ClassificationConfig(method=recipe.method, seed=seed, device="cpu", **options)
    targets = find_targets(recipe.method, believed.columns)
    validation, allowed = hold_out(believed.samples, believed.columns, targets.used, config.validation)
    embeddings = setup.task.novel[believed.rows]
    compared = embeddings
    if recipe.shuffled:
        compared = embeddings[np.random.default_rng(seed).permutation(len(embeddings))]
    graph = METHODS[recipe.method].graph
    fitted = fit_head(
        embeddings,
        targets.restricted(allowed),
        config,
        validation=validation,
        network=setup.judge.network if graph else None,
        network_embeddings=compared if graph else None,
    )
    with torch.inference_mode():
        told = fitted.classifier(torch.from_numpy(setup.test))[0].argmax(dim=1).numpy()
    return float((told == setup.codes).mean())


_setup: Setup | None = None  # of a worker process: sent once, not with every training


def begin_worker(path: Path) -> None:
    """Let this process work on the setup that is pickled at `path`."""
    global _setup  # a process pool has no other place for what all its work shares
    _setup = pickle.loads(path.read_bytes())  # noqa: S301 - written by the process that started this one
    torch.set_num_threads(1)


def work(name: str, *arguments: Any) -> Any:
    """The function of this module called `name`, on the setup of this process."""
    return {"accuracy": accuracy, "reviewed_accuracy": reviewed_accuracy}[name](_given(), *arguments)  # type: ignore[operator]


def _given() -> Setup:
    if _setup is None:
        raise RuntimeError("begin_worker has not been called in this process")
    return _setup

"""One set, and what is trained on it: the accuracy of a head by one judge's belief, one method and one seed."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from curation.similarity.network import SimilarityNetwork
from curation.values import Decision, FloatArray
from pipelines.classification.config import ClassificationConfig, MethodName
from pipelines.classification.frozen import fit_head
from pipelines.classification.methods import METHODS, Codes, find_targets
from pipelines.classification.splitting import hold_out
from tests.benchmarks.classification_judges import Believed, Judge, ours
from tests.benchmarks.classification_review import Changes, Order, changes, decide, order_of
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

    `graph` is by whose affinity: "own" of the images; "shuffled", of other images than those of the batch, so that it
    knows nothing of them; "mean", one for all pairs. What is left of the graph's effect by the last two is that
    features are pulled together.
    """

    judge: str
    method: MethodName
    graph: Literal["own", "shuffled", "mean"] = "own"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reviewed:
    """Accuracy on the test images after reviews, [0, 1], wrong images among those looked at, and what they changed."""

    accuracy: float
    wrong: int
    changes: Changes


OURS, TRUTH = "ours", "truth"
ORACLE = "oracle"
SHUFFLED, MEAN = "simtrans, shuffled graph", "simtrans, mean affinity"
CALIBRATED, CALIBRATED_SHUFFLED = "simtrans, calibrated", "simtrans, calibrated, shuffled graph"
_CALIBRATED = {"affinity": "calibrated"}
RECIPES: dict[str, Recipe] = {
    "plain": Recipe(OURS, "plain"),
    "weighted": Recipe(OURS, "weighted"),
    "graph": Recipe(OURS, "graph"),
    "simtrans": Recipe(OURS, "simtrans"),
    SHUFFLED: Recipe(OURS, "simtrans", "shuffled"),
    CALIBRATED: Recipe(OURS, "simtrans", options=_CALIBRATED),
    "cleaned": Recipe(OURS, "cleaned"),
    "soft": Recipe(OURS, "soft"),
    "relabelled": Recipe(OURS, "relabelled"),
    "cleanlab default filter": Recipe("cleanlab default filter", "cleaned"),
    "cleanlab best filter": Recipe("cleanlab best filter", "cleaned"),
    ORACLE: Recipe(TRUTH, "cleaned"),
    "oracle, flips corrected": Recipe(TRUTH, "relabelled"),
}
_LAST = {"validation": 0}
# With nothing held out the state is that of the last epoch; a graph that knows nothing beside each one that does.
LAST_EPOCH: dict[str, Recipe] = {
    **{row: replace(RECIPES[row], options=_LAST) for row in ("plain", "weighted", "graph", "simtrans", SHUFFLED)},
    MEAN: Recipe(OURS, "simtrans", "mean", _LAST),
    CALIBRATED: Recipe(OURS, "simtrans", options=_LAST | _CALIBRATED),
    CALIBRATED_SHUFFLED: Recipe(OURS, "simtrans", "shuffled", _LAST | _CALIBRATED),
    **{row: replace(RECIPES[row], options=_LAST) for row in ("cleaned", "soft", "relabelled", ORACLE)},
}


def accuracy(setup: Setup, recipe: Recipe, seed: int) -> float:
    """Accuracy on the test images after a training as `curate train classification` does it, [0, 1]."""
    return fitted_accuracy(setup, setup.believed[recipe.judge], recipe, seed)


def reviewed_accuracy(setup: Setup, order: Order, reviews: int, method: MethodName, seed: int) -> Reviewed:
    """The same after a simulated annotator has looked at `reviews` images."""
    before = setup.believed[OURS]
    rows = order_of(order, before.columns, setup.task, seed)[:reviews]
    decisions: dict[str, Decision] = decide(rows, setup.task, seed)
    after = ours(setup.task, setup.judge, decisions)
    return Reviewed(
        accuracy=fitted_accuracy(setup, after, Recipe(OURS, method), seed),
        wrong=int(setup.task.wrong[rows].sum()),
        changes=changes(method, before, after, len(setup.task.listed)),
    )


def fitted_accuracy(setup: Setup, believed: Believed, recipe: Recipe, seed: int) -> float:
    """The validation part is held out as the tool does, and selects the state; the test images do not."""
    options = {**setup.options, **recipe.options}
    config = ClassificationConfig(method=recipe.method, seed=seed, device="cpu", **options)
    targets = find_targets(recipe.method, believed.columns)
    validation, allowed = hold_out(believed.samples, believed.columns, targets.used, config.validation)
    embeddings = setup.task.novel[believed.rows]
    compared = embeddings
    if recipe.graph == "shuffled":
        compared = embeddings[np.random.default_rng(seed).permutation(len(embeddings))]
    network = without_opinion(setup.judge.network) if recipe.graph == "mean" else setup.judge.network
    graph = METHODS[recipe.method].graph
    fitted = fit_head(
        embeddings,
        targets.restricted(allowed),
        config,
        validation=validation,
        network=network if graph else None,
        network_embeddings=compared if graph else None,
    )
    with torch.inference_mode():
        told = fitted.classifier(torch.from_numpy(setup.test))[0].argmax(dim=1).numpy()
    return float((told == setup.codes).mean())


def without_opinion(network: SimilarityNetwork) -> SimilarityNetwork:
    """A network of the metric head that finds all pairs equally alike; how much so makes no difference to a graph loss
    whose weight is such that it starts at a share of the other loss."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        network.log_scale.fill_(-math.inf)  # cosines times exp(-inf) = 0
    return network


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

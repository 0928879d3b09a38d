"""The hybrid of CVPR 2018 in a small known world: how much web data it takes until category vectors stop helping.

The world of `tests.toy_world` (methods A.6): 40 base and 10 novel categories, half of the web images wrong (half of
these flips, half outliers). A category vector is its prototype with noise. V alone is zero-shot, h alone learns from
the web only; tested on clean images of the novel categories. Figures are means over five worlds with Student's 95 %
interval; the gain, both - h, is paired by world. The crossover is the number of web images a category from which on
the interval of the gain reaches down to 0.

    OMP_NUM_THREADS=1 python -m tests.benchmarks hybrid
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, get_args

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from pipelines.classification.config import ClassificationConfig
from pipelines.classification.hybrid import BaseKnowledge, HybridParts
from pipelines.classification.hybrid_fitting import fit_hybrid
from pipelines.classification.methods import make_targets, one_hot
from pipelines.training.metrics import Interval
from tests.toy_world import BASE, NOVEL, make_world

SIZES = (5, 10, 20, 40, 80, 160)  # web images of a category
NOISE = 0.5
VECTOR_NOISE = 1.0  # as large as the prototype itself: a word says about as much as it misleads (V alone then has .78)
SEEDS = 5
PARTS: tuple[HybridParts, ...] = get_args(HybridParts)


def run(seeds: int = SEEDS) -> dict[str, Any]:
    """All figures: a row for every number of web images, with an interval for each part and for the gain."""
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        accuracies = [accuracies_of(size, seed) for seed in range(seeds)]
        rows.append({"web images a category": size, **figures_of(accuracies), "by seed": accuracies})
    return {
        "command": "python -m tests.benchmarks hybrid",
        "noise": NOISE,
        "vector_noise": VECTOR_NOISE,
        "seeds": seeds,
        "chance": 1 / NOVEL,
        "crossover": crossover([(row["web images a category"], row["gain"]) for row in rows]),
        "rows": [
            {name: asdict(value) if isinstance(value, Interval) else value for name, value in row.items()}
            for row in rows
        ],
    }


def accuracies_of(
    size: int, seed: int, *, noise: float = NOISE, vector_noise: float = VECTOR_NOISE, **options: Any
) -> dict[str, float]:
    """Test accuracy of each part in one world with `size` web images a category; all see the same images."""
    world, generator = make_world(seed), np.random.default_rng((seed, size))
    base, web, test = world.base(), world.web(size, noise, generator), world.test()
    vectors = world.category_vectors(vector_noise, np.random.default_rng(seed))
    embeddings = np.concatenate([web.embeddings, base.embeddings])
    codes = np.concatenate([web.listed, np.full(len(base.true), -1)])
    targets = make_targets(one_hot(codes, NOVEL), np.ones(len(codes), dtype=np.float32))
    knowledge = BaseKnowledge(len(web.listed) + np.arange(len(base.true)), base.true, *vectors)
    accuracies = {}
    for parts in PARTS:
        config = ClassificationConfig(method="hybrid", hybrid_parts=parts, device="cpu", **options)
        classifier = fit_hybrid(embeddings, targets, knowledge, config).classifier
        with torch.inference_mode():
            told = classifier(torch.from_numpy(test.embeddings))[0].argmax(dim=1).numpy()
        accuracies[parts] = float((told == test.true).mean())
    return accuracies


def figures_of(accuracies: Sequence[dict[str, float]]) -> dict[str, Interval]:
    """Means over the worlds, no accuracy beyond 0 or 1; the gain of both over h is paired."""
    columns = {parts: np.array([found[parts] for found in accuracies]) for parts in PARTS}
    means = {parts: mean_interval(values) for parts, values in columns.items()}
    shares = {parts: Interval(mean.value, max(0.0, mean.low), min(1.0, mean.high)) for parts, mean in means.items()}
    return {**shares, "gain": mean_interval(columns["both"] - columns["h"])}


def mean_interval(values: np.ndarray[Any, np.dtype[np.float64]]) -> Interval:
    """Mean with Student's 95 % interval: a bootstrap of five values would be too narrow by a third."""
    mean, reach = float(values.mean()), 1.0  # of one value: shares differ by no more
    if len(values) > 1:
        reach = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return Interval(mean, mean - reach, mean + reach)


def crossover(gains: Sequence[tuple[int, Interval]]) -> int | None:
    """The smallest size from which on no gain is above 0 beyond its interval; `None` where the largest still is."""
    found = None
    for size, gain in sorted(gains, key=lambda pair: pair[0], reverse=True):
        if gain.low > 0:
            break
        found = size
    return found


def print_table(figures: dict[str, Any]) -> None:
    """One table for people, accuracies in percent."""
    console = Console(width=120, highlight=False)
    facts = {key: value for key, value in figures.items() if key not in ("rows", "command")}
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()))
    table = Table(
        "web images a category", "V alone (zero-shot)", "h alone (web)", "both", "gain: both - h",
        title=f"hybrid: accuracy on the {NOVEL} novel categories in percent, beside {BASE} base categories",
    )  # fmt: skip
    for row in figures["rows"]:
        table.add_row(str(row["web images a category"]), *(_percent(**row[name]) for name in (*PARTS, "gain")))
    console.print(table)


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"

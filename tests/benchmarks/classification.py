"""What a cleaned set is worth: the classifier that each method trains, between plain training and the truth.

Sets: birds (27 novel categories) and CIFAR (human errors and outliers) of the real data, embedded by an ImageNet
MobileNet that stays frozen; a head of one hidden layer is trained on the novel images and tested on the clean `test`
role. Every method of `curate train classification` with its defaults, on what the tool's own stages say of the images
(`classification_judges`); cleanlab's filters, each in the variant that finds most errors, chosen with the truth, and
then plain training; and the oracle, who knows which images are wrong. The same validation part selects the state, by
what the judge in question believes of it; a second table has the published methods by the last epoch, nothing held
out. Figures are means over five seeds with Student's 95 % interval; gains are paired by seed.

Then a simulated annotator who is right in 95 % of the answers reviews some images (`classification_review`), the
published method in a small known world (`classification_toy`), and, with `--device cuda`, a fine-tuning on birds
(`classification_gpu`). `--cache` keeps embeddings and judgements; after a change of the stages that judge give another.

    OMP_NUM_THREADS=1 python -m tests.benchmarks classification --cache ~/classification-cache
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks import classification_gpu
from tests.benchmarks.classification_figures import Row, last_rows, notes_of, reviewed_rows, rows_of
from tests.benchmarks.classification_fits import (
    LAST_EPOCH,
    OURS,
    RECIPES,
    TRUTH,
    Recipe,
    Reviewed,
    Setup,
    begin_worker,
    work,
)
from tests.benchmarks.classification_judges import cleanlab, learn, ours, probabilities_of, truth
from tests.benchmarks.classification_review import ORDERS
from tests.benchmarks.classification_toy import SEEDS as TOY_SEEDS
from tests.benchmarks.classification_toy import criteria, toy_figures, toy_rows
from tests.benchmarks.noise import commit, version_of
from tests.benchmarks.noise_sets import load_images
from tests.benchmarks.noise_settings import natural

T = TypeVar("T")

SETS = ("birds", "cifar")
SEEDS = 5
REVIEWS = (100, 300)
REVIEWED = "cleaned"  # the method that the tool takes by default
_PACKAGES = ("webnoise-curation", "cleanlab", "scikit-learn", "numpy", "torch")


def run(cache: Path | None = None, device: str = "cpu", seeds: int = SEEDS) -> dict[str, Any]:
    """All figures; `cache` keeps what takes long, `device` is that of the fine-tuning, `seeds` of every mean."""
    data = Path(os.environ.get("CURATION_DATA", Path(__file__).parents[3] / "shared"))
    if not all((data / "data" / name).is_dir() for name in SETS):
        raise SystemExit(f"skipped: no real data at {data}; set CURATION_DATA to the folder that holds `data`.")
    if version_of("cleanlab") is None:
        raise SystemExit("skipped: cleanlab is not installed; `pip install --editable .[bench]` does it.")
    rows: list[Row] = []
    last: list[Row] = []
    reviewed: list[Row] = []
    notes: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in SETS:
            setup = setup_of(name, data, cache or folder)
            accuracies, by_last_epoch, reviews = _measure(setup, seeds, folder)
            rows += rows_of(name, accuracies, len(setup.task.listed), float(setup.task.wrong.mean()))
            last += last_rows(name, by_last_epoch)
            reviewed += reviewed_rows(name, accuracies, reviews)
            notes += notes_of(name, accuracies, by_last_epoch)
        worlds = []
        for seed in range(TOY_SEEDS):
            _tell(f"world {seed}")
            worlds.append(toy_figures(seed))
        fine_tuned = classification_gpu.figures(data, folder, device)
    return {
        "command": "python -m tests.benchmarks classification",
        "commit": commit(),
        "seeds": seeds,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "python": platform.python_version(),
        "versions": {package: version_of(package) for package in _PACKAGES},
        "rows": rows,
        "last epoch": last,
        "reviewed": reviewed,
        "world": {"rows": toy_rows(worlds), "criteria": criteria(worlds)},
        "fine-tuning": fine_tuned,
        "notes": notes,
    }


def setup_of(name: str, data: Path, cache: Path) -> Setup:
    """The set with all that is judged of it; the dear parts are kept in `cache`, by what they are made from."""
    _tell(f"{name}: embeddings")
    images = load_images(name, data, cache)
    task, test = natural(images), images.only(images.roles == "test")
    digest = sha256(task.base.tobytes() + task.novel.tobytes() + "\0".join(task.listed).encode()).hexdigest()[:12]
    _tell(f"{name}: the tool's stages")
    judge = _kept(cache / f"{name}-{digest}-judge.pickle", lambda: learn(task))
    _tell(f"{name}: logistic regressions for cleanlab")
    probabilities = _kept(cache / f"{name}-{digest}-probabilities.pickle", lambda: probabilities_of(task))
    believed = ours(task, judge)
    return Setup(
        name=name,
        task=task,
        test=test.embeddings,
        codes=np.searchsorted(np.unique(task.listed), test.listed),
        judge=judge,
        believed={OURS: believed, TRUTH: truth(believed, task), **cleanlab(believed, task, probabilities)},
    )


def _kept(path: Path, make: Callable[[], T]) -> T:
    if path.exists():
        found: T = pickle.loads(path.read_bytes())  # noqa: S301 - the cache is the caller's own
        return found
    made = make()
    path.write_bytes(pickle.dumps(made))
    return made


def _measure(
    setup: Setup, seeds: int, folder: Path
) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[tuple[str, str, int], list[Reviewed]]]:
    """Row -> accuracy by seed in both tables, and (method, order, reviews) -> what they gave; a core a training."""
    shared = folder / f"{setup.name}.pickle"
    shared.write_bytes(pickle.dumps(setup))
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, get_context("spawn"), begin_worker, (shared,)) as pool:

        def trained(recipes: Mapping[str, Recipe]) -> dict[str, list[Future[Any]]]:
            return {
                row: [pool.submit(work, "accuracy", recipe, seed) for seed in range(seeds)]
                for row, recipe in recipes.items()
            }

        selected, last = trained(RECIPES), trained(LAST_EPOCH)
        reviewed = {
            (REVIEWED, order, reviews): [
                pool.submit(work, "reviewed_accuracy", order, reviews, REVIEWED, seed) for seed in range(seeds)
            ]
            for order in ORDERS
            for reviews in REVIEWS
        }
        return (
            {row: _results(f"{setup.name}: {row}", futures) for row, futures in selected.items()},
            {row: _results(f"{setup.name}, last epoch: {row}", futures) for row, futures in last.items()},
            {key: _results(f"{setup.name}: {' '.join(map(str, key))}", futures) for key, futures in reviewed.items()},
        )


def _results(what: str, futures: Sequence[Future[Any]]) -> list[Any]:
    found = [future.result() for future in futures]
    _tell(f"{what}: {found}")
    return found


def print_table(figures: dict[str, Any]) -> None:
    """Tables for people, 120 columns wide, the notes below them; accuracies and gains in percent."""
    console = Console(width=120, highlight=False)
    apart = ("rows", "last epoch", "reviewed", "world", "fine-tuning", "notes")
    console.print(", ".join(f"{key} {value}" for key, value in figures.items() if key not in apart))
    table = Table("method", "accuracy", "gain over plain", "gap closed", title="a head on frozen embeddings")
    for name, group in groupby(figures["rows"], key=lambda row: row["set"]):
        first, *_ = rows = list(group)
        table.add_section()
        table.add_row(f"[bold]{name}[/bold]", f"{first['images']:,} images, {first['wrong']:.0%} wrong")
        for row in rows:
            table.add_row(
                row["method"], _percent(row["accuracy"]), _percent(row["gain over plain"]), f"{row['gap closed']:.0%}"
            )
    console.print(table)
    table = Table("method", "accuracy", "gain over plain", "gain over weighted", title="last epoch, nothing held out")
    for name, group in groupby(figures["last epoch"], key=lambda row: row["set"]):
        table.add_section()
        table.add_row(f"[bold]{name}[/bold]")
        for row in group:
            table.add_row(
                row["method"], _percent(row["accuracy"]), _percent(row["gain over plain"]),
                _percent(row["gain over weighted"]),
            )  # fmt: skip
    console.print(table)
    table = Table(
        "order", "reviews", "wrong", "in", "out", "moved", "accuracy", "gain by the reviews", "more than at random",
        title=f"{REVIEWED}, after reviews; training samples that came in, went out, moved to another category",
    )  # fmt: skip
    for name, group in groupby(figures["reviewed"], key=lambda row: row["set"]):
        table.add_section()
        table.add_row(f"[bold]{name}[/bold]")
        for row in group:
            table.add_row(
                row["order"], str(row["reviews"]), f"{row['wrong seen']:.0f}",
                *(f"{row[key]:.0f}" for key in ("added", "removed", "relabelled")),
                f"{100 * row['accuracy']['value']:.1f}", _percent(row["gain"]), _percent(row["more than at random"]),
            )  # fmt: skip
    console.print(table)
    table = Table("figure", "mean", title=f"a small known world, {TOY_SEEDS} seeds")
    for row in figures["world"]["rows"]:
        table.add_row(row["figure"], f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})")
    console.print(table)
    for criterion, met in figures["world"]["criteria"].items():
        console.print(f"{criterion}: {'met' if met else 'NOT met'}", soft_wrap=True)
    console.print(f"fine-tuning on birds: {figures['fine-tuning']}", soft_wrap=True)
    for note in figures["notes"]:
        console.print(note, soft_wrap=True)


def _percent(interval: dict[str, float]) -> str:
    return f"{100 * interval['value']:.1f} ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})"


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)

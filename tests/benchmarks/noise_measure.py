"""One method on one task, in a process of its own: its verdict, the seconds it took, and its peak memory."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from tests.benchmarks.noise_figures import figures_of
from tests.benchmarks.noise_methods import METHODS
from tests.benchmarks.noise_problem import CLASSIFIERS, Probabilities, cross_validated, problem_of
from tests.benchmarks.noise_sets import load_task


@dataclass(frozen=True, slots=True)
class Measured:
    """One variant of a method: its figures on the task, what else it tells, and what it cost.

    `loaded_mib` is the part of `peak_mib` that was reached before the method began, by libraries and the task.
    """

    variant: str
    figures: dict[str, float | None]
    remarks: dict[str, Any]
    seconds: float
    peak_mib: float
    loaded_mib: float


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """`work` in a fresh process, so that peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def measure_probabilities(task_file: Path, to: Path) -> dict[str, float]:
    """Cross-validated probabilities into the file `to`; classifier -> seconds, and the peak memory as `peak_mib`."""
    task = load_task(task_file)
    costs: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    for classifier in CLASSIFIERS:
        started = perf_counter()
        arrays[classifier] = cross_validated(task, classifier)
        costs[classifier] = perf_counter() - started
    np.savez(to, **arrays)
    return {**costs, "peak_mib": peak_mib()}


def measure_method(name: str, task_file: Path, probabilities_file: Path, costs: dict[str, float]) -> list[Measured]:
    """Every variant of a method. `costs` of the probabilities are added to those of the methods that use them."""
    method, task = METHODS[name], load_task(task_file)
    probabilities: Probabilities = {}
    if any(variant.classifier for variant in method.variants.values()):
        import_module("cleanlab")  # here, so that no variant is charged for it
        with np.load(probabilities_file) as arrays:
            probabilities = {classifier: arrays[classifier] for classifier in arrays.files}
    measured, problem, loaded = [], problem_of(task, probabilities), peak_mib()
    for name_of_variant, variant in method.variants.items():
        started = perf_counter()
        verdict = variant.judge(problem)
        seconds, peak = perf_counter() - started, peak_mib()
        if variant.classifier is not None:
            seconds += costs[variant.classifier]
            peak = max(peak, costs["peak_mib"])
        figures = figures_of(verdict, task.listed, task.true)
        measured.append(Measured(name_of_variant, figures, verdict.remarks or {}, seconds, peak, loaded))
    return measured


def peak_mib() -> float:
    """The most memory this process has held so far, in MiB, libraries and data included.

    `ru_maxrss` would count the parent's pages that a new process holds until it starts its own program.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except FileNotFoundError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 2**10

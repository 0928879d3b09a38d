"""Who finds wrong categories best: the published peers and ours, on the same embeddings and the same five folds.

Sets: birds and CIFAR of the real data, embedded by an ImageNet MobileNet; `--settings all` adds other noise rates drawn
in base categories and base and novel exchanged (`noise_settings`). Methods: `noise_methods`; a peer is shown in the
variant that is best for it, ours as `curate run` does it. Figures: `noise_figures`. Seconds are the method's own (with
the logistic regressions it rests on, without embedding); memory is the peak of its process, libraries and data
included. The JSON also has every variant, and what ours knows of its own errors. Threads are those of OMP_NUM_THREADS.

    OMP_NUM_THREADS=1 python -m tests.benchmarks noise --settings all --cache ~/noise-cache
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.noise_measure import Measured, alone, measure_method, measure_probabilities
from tests.benchmarks.noise_methods import METHODS
from tests.benchmarks.noise_notes import notes_of
from tests.benchmarks.noise_problem import CLASSIFIERS, FOLDS
from tests.benchmarks.noise_sets import NoiseTask, load_images
from tests.benchmarks.noise_settings import SEED, SETTINGS

_SETS = ("birds", "cifar")
_PACKAGES = ("webnoise-curation", "cleanlab", "scikit-learn", "numpy", "torch", "faiss-cpu")

# Heading -> key of a row and how it is written.
_COLUMNS = {
    "AUROC": ("auroc", ".3f"),
    "AP": ("average_precision", ".3f"),
    "F1 own": ("f1_own", ".3f"),
    "F1 best": ("f1_best", ".3f"),
    "F1 n": ("f1_as_many", ".3f"),
    "see 80 %": ("open_for_80%", ".3f"),
    "90 %": ("open_for_90%", ".3f"),
    "95 %": ("open_for_95%", ".3f"),
    "ECE": ("ece", ".3f"),
    "rate": ("predicted_noise_rate", ".3f"),
    "flips": ("suggestion_accuracy_on_flips", ".3f"),
    "s": ("seconds", ".1f"),
    "MiB": ("peak_mib", ".0f"),
}
_LEGEND = (
    "base: learns from base images too (the peers see the novel ones alone) | own: at the method's own threshold | "
    "n: flagging as many as are wrong | see: share of images to open to see so many of the errors | rate: predicted "
    "noise rate, or the share flagged | flips: right suggestions on flips | ECE: of the methods that give probabilities"
)


def run(settings: str = "natural", cache: Path | None = None) -> dict[str, Any]:
    """Figures of every method; `settings` is `natural` or `all`, `cache` keeps embeddings for the next time."""
    data = Path(os.environ.get("CURATION_DATA", Path(__file__).parents[3] / "shared"))
    if not all((data / "data" / name).is_dir() for name in _SETS):
        raise SystemExit(f"skipped: no real data at {data}; set CURATION_DATA to the folder that holds `data`.")
    if version_of("cleanlab") is None:
        raise SystemExit("skipped: cleanlab is not installed; `pip install --editable .[bench]` does it.")
    chosen = list(SETTINGS) if settings == "all" else ["natural"]
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        encoder = ""
        for name in _SETS:
            images = load_images(name, data, cache or folder)
            encoder = images.encoder
            for setting in chosen:
                rows += _measure(name, setting, SETTINGS[setting](images), folder)
    return {
        "command": f"python -m tests.benchmarks noise --settings {settings}",
        "commit": commit(),
        "encoder": encoder,
        "folds": FOLDS,
        "logistic_regressions": list(CLASSIFIERS),
        "seed_of_settings": SEED,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "python": platform.pythonversion_of(),
        "versions": {package: version_of(package) for package in _PACKAGES},
        "memory": "peak resident memory of the method's process, libraries and data included",
        "rows": rows,
        "notes": notes_of(rows),
    }


def _measure(name: str, setting: str, task: NoiseTask, folder: Path) -> list[dict[str, Any]]:
    """A row for every method on one task."""
    task_file, probabilities_file = folder / "task.npz", folder / "probabilities.npz"
    task.save(task_file)
    _tell(f"{name}, {setting}: logistic regressions")
    costs = alone(measure_probabilities, task_file, probabilities_file)
    facts = {"set": name, "setting": setting, **_facts(task)}
    rows = []
    for method, described in METHODS.items():
        _tell(f"{name}, {setting}: {method}")
        variants = [_flat(item) for item in alone(measure_method, method, task_file, probabilities_file, costs)]
        shown = best_variant(variants, described.chosen_by)
        rows.append({**facts, "method": method, "uses_base": described.uses_base, **shown, "variants": variants})
    return rows


def _facts(task: NoiseTask) -> dict[str, Any]:
    names, counts = np.unique(task.listed, return_counts=True)
    return {
        "images": int(counts.sum()),
        "categories": len(names),
        "noise_rate_of_the_noisiest_category": max(float(task.wrong[task.listed == name].mean()) for name in names),
        "base_images": len(task.base),
        "base_categories": len(np.unique(task.base_categories)),
    }


def _flat(measured: Measured) -> dict[str, Any]:
    values = asdict(measured)
    return {**values.pop("figures"), **values}


def best_variant(variants: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    """The variant that is shown: the one with the highest `figure`, chosen with the truth at hand."""
    return max(variants, key=lambda variant: float(variant[figure]))


def print_table(figures: dict[str, Any]) -> None:
    """One table for people, 160 columns wide, the notes below it."""
    console = Console(width=160, highlight=False)
    facts = {key: value for key, value in figures.items() if key not in ("rows", "notes")}
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()))
    table = Table("method", "base", *_COLUMNS, padding=(0, 1), caption=_LEGEND, caption_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for _, group in groupby(figures["rows"], key=lambda row: (row["set"], row["setting"])):
        first, *_ = rows = list(group)
        table.add_section()
        table.add_row(f"[bold]{first['set']}, {first['setting']}[/bold]")
        table.add_row(f"{first['images']:,} of {first['categories']}; {first['noise_rate']:.1%} wrong")
        table.add_row(f"base {first['base_images']:,} of {first['base_categories']}", end_section=True)
        for row in rows:
            name = f"{row['method']} ({row['variant']})" if row["variant"] else row["method"]
            cells = (_cell(row[key], how) for key, how in _COLUMNS.values())
            table.add_row(name, "yes" if row["uses_base"] else "", *cells)
    console.print(table)
    for note in figures["notes"]:
        console.print(note, soft_wrap=True)


def _cell(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)


def commit() -> str | None:
    """The commit that was measured, with `-dirty` where files differ from it; `None` outside a repository."""
    git = shutil.which("git")
    if git is None:
        return None
    asked = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or None


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)

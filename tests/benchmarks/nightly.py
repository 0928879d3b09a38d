"""A night with 1 % new images against a full run, and whether its scores equal those of a full rebuild.

Embeddings are given for drawn sets, so that all but reading, decoding and embedding is timed; on birds everything is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from curation.config import Config, EmbeddingConfig
from curation.flow import STAGES, StageResult, run_stages
from curation.nightly_config import NightlyConfig, NightlySource
from curation.store.connection import catalog
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.noise import read_noise_estimates
from curation.values import Role
from curation.workspace import Workspace, create_workspace
from pipelines.nightly.flow import STEPS, Step, nightly
from pipelines.nightly.night import Night
from tests.benchmarks.nightly_set import DrawnSet, add_images

_NEW = 0.01  # share of new images
_SIZES = (20_000, 100_000)
_WITH_GIVEN_EMBEDDINGS = STAGES[1:]


def run(samples: int | None = None) -> dict[str, Any]:
    """With `samples` one set of that size and no birds; else 20,000 and 100,000 samples, and birds."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = _SIZES if samples is None else (samples,)
        rows = [_drawn(Path(folder) / str(size), size) for size in sizes]
        birds = "left out" if samples is not None else "measured"
        data = Path(os.environ.get("CURATION_DATA", Path(__file__).parents[3] / "shared"))
        if samples is None and not (data / "data" / "birds").is_dir():
            birds = f"skipped: no birds at {data}; set CURATION_DATA to the folder that holds `data` and `weights`"
        elif samples is None:
            rows.append(_birds(Path(folder) / "birds", data))
    return {"new": f"{_NEW:.0%}", "birds": birds, "load": round(os.getloadavg()[0], 1), "rows": rows}


def _drawn(folder: Path, size: int) -> dict[str, Any]:
    drawn = DrawnSet(size)
    before = round(size * (1 - _NEW))
    workspace, config = create_workspace(folder / "night", Config()), Config()
    rebuilt = create_workspace(folder / "rebuilt", config)
    add_images(workspace, drawn, 0, before)
    run_stages(workspace, config, command="benchmark", stages=_WITH_GIVEN_EMBEDDINGS)
    nightly(workspace, config, steps=(_step("history"),))  # the night that tonight is compared with
    add_images(workspace, drawn, before, size)
    night = _timed(lambda parts: nightly(workspace, config, steps=(_given(parts), _noting(_step("history"), parts))))
    add_images(rebuilt, drawn, 0, size)
    full = _timed(lambda parts: _run_stages(rebuilt, config, parts))
    return _row(f"{size:,} samples, embeddings given", night, full, workspace, rebuilt)


def _birds(folder: Path, data: Path) -> dict[str, Any]:
    """Every hundredth novel image is new; base and novel images are read, decoded, embedded, scored and exported."""
    config = _config_of_birds(folder, data)
    held_back = _copy_but_new(data / "data" / "birds" / "novel", folder / "novel", folder / "new")
    workspace = create_workspace(folder / "night", config)
    rebuilt = create_workspace(folder / "rebuilt", config)
    nightly(workspace, config)
    for path in held_back:
        shutil.move(path, folder / "novel" / path.relative_to(folder / "new"))
    night = _timed(lambda parts: nightly(workspace, config, steps=tuple(_noting(step, parts) for step in STEPS)))
    full = _timed(lambda parts: nightly(rebuilt, config, steps=tuple(_noting(step, parts) for step in STEPS)))
    return _row(f"birds, {len(held_back)} new, with embedding, report and export", night, full, workspace, rebuilt)


def _config_of_birds(folder: Path, data: Path) -> Config:
    sources = (
        NightlySource(path=str(data / "data" / "birds" / "base"), role=Role.BASE),
        NightlySource(path=str(folder / "novel"), role=Role.NOVEL),
    )
    weights = data / "weights" / "mobilenetv2_100_imagenet.safetensors"
    return Config(
        embedding=EmbeddingConfig(encoder=f"timm/mobilenetv2_100@{weights}"),
        nightly=NightlyConfig(sources=sources, export_format="csv", promise=0.05),
    )


def _copy_but_new(source: Path, old: Path, new: Path) -> list[Path]:
    """Copy every hundredth image to `new`, the others to `old`; returns the new ones."""
    held_back = []
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        is_new = number % round(1 / _NEW) == 0
        target = (new if is_new else old) / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        held_back += [target] if is_new else []
    return held_back


Seconds = dict[str, float]


def _timed(work: Callable[[Seconds], object]) -> Seconds:
    """Seconds by stage or step, and of all; `work` fills in the parts."""
    parts: Seconds = {}
    started = time.perf_counter()
    work(parts)
    return {**parts, "all": time.perf_counter() - started}


def _given(seconds: Seconds) -> Step:
    """The step that runs what is out of date, but for the embeddings."""

    def do(night: Night) -> None:
        _run_stages(night.workspace, night.config, seconds, night.night_id)

    return Step("run", do, essential=True)


def _run_stages(workspace: Workspace, config: Config, seconds: Seconds, run_id: str | None = None) -> None:
    last = time.perf_counter()

    def told(result: StageResult) -> None:
        nonlocal last
        seconds[result.stage] = time.perf_counter() - last
        last = time.perf_counter()

    run_stages(workspace, config, command="benchmark", stages=_WITH_GIVEN_EMBEDDINGS, told=told, run_id=run_id)
    seconds["publish"] = time.perf_counter() - last


def _step(name: str) -> Step:
    return next(step for step in STEPS if step.name == name)


def _noting(step: Step, seconds: Seconds) -> Step:
    """The step, with the seconds that it took noted."""

    def do(night: Night) -> None:
        started = time.perf_counter()
        step.do(night)
        seconds[step.name] = time.perf_counter() - started

    return Step(step.name, do, step.essential)


def _row(what: str, night: Seconds, full: Seconds, workspace: Workspace, rebuilt: Workspace) -> dict[str, Any]:
    """The measured seconds, their ratio, and how far the night's scores are from those of the rebuild."""
    return {
        "what": what,
        "full, seconds": full["all"],
        "night, seconds": night["all"],
        "night / full": night["all"] / full["all"],
        "full, by part": _rounded(full),
        "night, by part": _rounded(night),
        **_differences(_outcome(workspace), _outcome(rebuilt)),
    }


def _rounded(seconds: Seconds) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if name != "all")


Outcome = tuple[dict[str, float], dict[str, float], set[tuple[str, str]]]


def _outcome(workspace: Workspace) -> Outcome:
    """Weights and noise probabilities by sample id, and (sample id, flag) of every flag."""
    with catalog(workspace) as connection:
        evidence, estimates, flags = read_evidence(connection), read_noise_estimates(connection), read_flags(connection)
    return (
        {name: item.weight for name, item in evidence.items()},
        {name: item.noise_probability for name, item in estimates.items()},
        {(name, flag.name.value) for name, raised in flags.items() for flag in raised},
    )


def _differences(found: Outcome, expected: Outcome) -> dict[str, Any]:
    """The largest absolute ones, and the number of flags that only one of both has."""
    (weights, noise, flags), (true_weights, true_noise, true_flags) = found, expected
    if weights.keys() != true_weights.keys() or noise.keys() != true_noise.keys():
        raise AssertionError("the night and the rebuild have scores of different samples")
    return {
        "weights differ by": _largest(weights, true_weights),
        "noise probabilities differ by": _largest(noise, true_noise),
        "flags that differ": len(flags ^ true_flags),
        "flags": len(true_flags),
    }


def _largest(found: dict[str, float], expected: dict[str, float]) -> float:
    return float(np.max([abs(found[name] - expected[name]) for name in expected], initial=0.0))


def print_table(figures: dict[str, Any]) -> None:
    """One line a figure: there are more of them than a screen is wide."""
    print(f"nightly: {figures['new']} new, birds {figures['birds']}, load {figures['load']}")
    for row in figures["rows"]:
        print()
        for name, value in row.items():
            print(f"{name:>30}  {value:.4g}" if isinstance(value, float) else f"{name:>30}  {value}")

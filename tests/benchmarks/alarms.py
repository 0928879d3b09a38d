"""How often an alarm is false, and how surely a shift is told the same night.

*False*: nights of stationary worlds (`tests.history_worlds`), each judged by the 3, 5, 10, 20 or 60 before it, 400
each: 2,000 of every world. Every alarm is a false one, and at most one night in a hundred may have any. `high` is the
upper end of a 95 % interval.

*Caught*: a tenth of tonight's new images is moved by two standard deviations in one direction, the other nights are as
they always were. `total`: the standard deviation is that of embeddings, the root of their mean squared distance from
their mean; the direction is drawn. `main direction`: that along the direction in which they vary most. Embeddings are
20 categories in 512 dimensions with variances that fall as 1/rank, some with tails of a Student's t with three degrees
of freedom; 5,000 earlier images; the nights before are drawn from 40 that were not shifted. Takes about ten minutes on
one core.
"""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import beta

from curation.history.alarm import alarms
from curation.history.shift import Shift, embedding_shift
from curation.values import FloatArray
from tests.history_worlds import WORLDS, night_of, nights_of

_LENGTHS = (3, 5, 10, 20, 60)
_IN_A_ROW = 20  # nights judged of one world before another is drawn
_NEW = (50, 100, 200, 400, 1000)
_HISTORIES = (3, 10, 30)
_DIMENSION, _CATEGORIES, _EARLIER = 512, 20, 5_000
_QUIET, _SHIFTED = 40, 20

Row = dict[str, Any]


def run(nights: int = 400) -> dict[str, Any]:
    """`nights` for every world and length of history; see the module."""
    begun = perf_counter()
    rows = [_false_alarms(name, length, nights) for name in WORLDS for length in _LENGTHS]
    rows += [row for tails in (np.inf, 3.0) for how in ("total", "main direction") for row in _caught(tails, how)]
    false = [row for row in rows if row["kind"] == "false"]
    return {
        "nights": sum(row["nights"] for row in false),
        "false_alarms": sum(row["rate"] * row["nights"] for row in false) / sum(row["nights"] for row in false),
        "worst": max(row["rate"] for row in false),
        "seconds": perf_counter() - begun,
        "rows": rows,
    }


def _false_alarms(world: str, length: int, nights: int) -> Row:
    random = np.random.default_rng([length, list(WORLDS).index(world)])
    figures: Counter[str] = Counter()
    judged = wrong = 0
    while judged < nights:
        drawn = nights_of(WORLDS[world], length + _IN_A_ROW, random)
        for start in range(_IN_A_ROW):
            raised = alarms(drawn[start : start + length], drawn[start + length])
            judged, wrong = judged + 1, wrong + bool(raised)
            figures.update({alarm.name for alarm in raised})
    most = ", ".join(f"{name} {number}" for name, number in figures.most_common(2))
    return _row("false", world, length, judged, wrong, most)


def _caught(tails: float, how: str) -> list[Row]:
    rows = []
    for new in _NEW:
        random = np.random.default_rng([new, int(how == "total"), int(np.isfinite(tails))])
        quiet = [_shift(new, tails, None, random) for _ in range(_QUIET)]
        moved = [_shift(new, tails, how, random) for _ in range(_SHIFTED)]
        for length in _HISTORIES:
            told = tried = 0
            for shift in moved:
                for _ in range(5):
                    chosen = random.choice(_QUIET, size=length, replace=False)
                    before = [night_of(place, shift=quiet[number]) for place, number in enumerate(chosen)]
                    tried, told = tried + 1, told + bool(alarms(before, night_of(length, shift=shift)))
            excess = float(np.median([shift.mmd.excess for shift in moved]))
            name = f"{how}, {new:,} new{', heavy tails' if np.isfinite(tails) else ''}"
            rows.append(_row("caught", name, length, tried, told, f"MMD {excess:+.1f} sd"))
    return rows


def _shift(new: int, tails: float, how: str | None, random: np.random.Generator) -> Shift:
    scale = (1 + np.arange(_DIMENSION)) ** -0.5
    scale /= np.linalg.norm(scale)
    centres = random.normal(size=(_CATEGORIES, _DIMENSION)) * scale
    here, there = (random.integers(0, _CATEGORIES, size) for size in (new, _EARLIER))
    today, earlier = (_draw(centres[rows], scale, tails, random) for rows in (here, there))
    if how is not None:
        today[: new // 10] += 2 * _one_deviation(earlier, how, scale, random)
    found = embedding_shift(_unit(today), _unit(earlier), here, there, seed=int(random.integers(2**31)))
    assert found is not None
    return found


def _draw(centres: np.ndarray, scale: np.ndarray, tails: float, random: np.random.Generator) -> np.ndarray:
    spread = random.normal(size=centres.shape)
    if np.isfinite(tails):
        spread /= np.sqrt(random.chisquare(tails, size=(len(centres), 1)) / tails)
    return np.asarray(centres + spread * scale)


def _one_deviation(images: np.ndarray, how: str, scale: np.ndarray, random: np.random.Generator) -> np.ndarray:
    centred = images - images.mean(axis=0)
    if how == "total":
        direction = random.normal(size=_DIMENSION) * scale
        return np.asarray(direction / np.linalg.norm(direction) * np.sqrt(np.square(centred).sum(axis=1).mean()))
    main = np.linalg.svd(centred[:1000], full_matrices=False)[2][0]
    return np.asarray(main * (centred @ main).std())


def _unit(images: np.ndarray) -> FloatArray:
    return np.asarray(images / np.linalg.norm(images, axis=1, keepdims=True), dtype=np.float32)


def _row(kind: str, world: str, history: int, nights: int, raised: int, most: str) -> Row:
    return {
        "kind": kind,
        "world": world,
        "history": history,
        "nights": nights,
        "rate": raised / nights,
        "high": float(beta.ppf(0.975, raised + 1, nights - raised)) if raised < nights else 1.0,
        "most": most,
    }

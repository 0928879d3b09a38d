"""The markings of invented species: bands, spots, rings and the like, as functions of where on a part one looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.demo.species import Marking

Plane = NDArray[np.floating[Any]]  # one number for every pixel, shape (H, W)


@dataclass(frozen=True, slots=True)
class Skin:
    """Where on a part every pixel lies: `s` across and `t` along it, [-1, 1], `depth` from its edge, >= 0.

    `phase` shifts the markings of one individual, in repeats.
    """

    s: Plane
    t: Plane
    depth: Plane
    phase: float = 0.0


def pattern_mask(marking: Marking, skin: Skin) -> Plane:
    """How much a marking covers, [0, 1]."""
    value = _PATTERNS[marking.pattern](marking, skin)
    mask: Plane = np.clip(value / np.float32(0.05) + np.float32(0.5), 0, 1)
    return mask


def wave(u: Plane) -> Plane:
    """Triangle wave of period 1: 0 at whole numbers, 1 half way between."""
    return np.abs(u - np.round(u)) * 2


# Every pattern is a function that is positive where it covers and about as steep as a distance in body units.


def _bands(m: Marking, skin: Skin) -> Plane:
    return (m.cover - wave(skin.t * (m.repeats / 2) + skin.phase)) / m.repeats


def _stripes(m: Marking, skin: Skin) -> Plane:
    return (m.cover - wave(skin.s * (m.repeats / 2) + skin.phase * 0.5)) / m.repeats


def _chevrons(m: Marking, skin: Skin) -> Plane:
    return (m.cover - wave((skin.t - 0.9 * np.abs(skin.s)) * (m.repeats / 2) + skin.phase)) / m.repeats


def _rings(m: Marking, skin: Skin) -> Plane:
    return (m.cover - wave(np.hypot(skin.s, skin.t) * (m.repeats / 2) + skin.phase)) / m.repeats


def _net(m: Marking, skin: Skin) -> Plane:
    lines = np.minimum(
        wave((skin.t + skin.s) * (m.repeats / 2) + skin.phase), wave((skin.t - skin.s) * (m.repeats / 2) + skin.phase)
    )
    return (m.cover * 0.5 - lines) / m.repeats


def _spots(m: Marking, skin: Skin) -> Plane:
    row = np.round(skin.t * (m.repeats / 2) + skin.phase)
    column = skin.s * (m.repeats / 2) + 0.5 * (row % 2)
    radius = np.hypot(column - np.round(column), skin.t * (m.repeats / 2) + skin.phase - row)
    inside: Plane = (0.18 + 0.35 * m.cover - radius) / m.repeats * 2
    return inside


def _speckles(m: Marking, skin: Skin) -> Plane:
    u, v = skin.s * m.repeats, skin.t * m.repeats
    wobble = np.sin(2.3 * u + 1.7 * np.sin(1.9 * v + 9 * skin.phase)) + np.sin(
        2.7 * v + 1.3 * np.sin(2.1 * u - 7 * skin.phase)
    )
    inside: Plane = (wobble - 1.1 + m.cover) / (2 * m.repeats)
    return inside


def _saddle(m: Marking, skin: Skin) -> Plane:
    inside: Plane = 0.25 + 0.4 * m.cover - np.hypot(skin.s * 0.7, (skin.t - 0.05 - 0.5 * skin.phase) * 1.5)
    return inside


def _dip(m: Marking, skin: Skin) -> Plane:
    return skin.t - 0.55 + m.cover + skin.phase * 0.5 + 0.05 * np.sin(9 * skin.s)


def _rim(m: Marking, skin: Skin) -> Plane:
    return 0.03 + 0.14 * m.cover * (1 + skin.phase) - skin.depth


def _eyes(m: Marking, skin: Skin) -> Plane:
    radius = np.hypot(np.abs(skin.s) - 0.45, skin.t - 0.12 - 0.4 * skin.phase)
    size = 0.2 + 0.3 * m.cover
    inside: Plane = np.maximum(0.35 * size - radius, 0.16 * size - np.abs(radius - 0.8 * size))
    return inside


_PATTERNS: dict[str, Callable[[Marking, Skin], Plane]] = {
    "bands": _bands,
    "stripes": _stripes,
    "chevrons": _chevrons,
    "rings": _rings,
    "net": _net,
    "spots": _spots,
    "speckles": _speckles,
    "saddle": _saddle,
    "dip": _dip,
    "rim": _rim,
    "eyes": _eyes,
}

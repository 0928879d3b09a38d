"""The bodies of invented species: where each part lies, and what colour it has, as functions of body coordinates.

Body coordinates: x to the right, y down, a body spans about [-1, 1]. A distance is negative inside a part, in body
units, and only roughly Euclidean: enough for smooth edges and rounded shading.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.demo.markings import Plane, Skin, pattern_mask, wave
from curation.demo.species import Species

# RGB in [0, 1]: shape (3, 1, 1) for one colour, (3, H, W) for a painted skin. Channels first: NumPy is fastest so.
Paint = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a body, painted over the parts before it; `roundness` is the width of its rounded edge (0 = flat)."""

    distance: Plane
    paint: Paint
    roundness: float


@dataclass(frozen=True, slots=True)
class Individual:
    """What differs between two individuals of one species: colours, pattern phase, openness, bend (each a little)."""

    ground: Paint
    marking: Paint
    accent: Paint
    phase: float
    openness: float
    bend: float


def vary(species: Species, rng: np.random.Generator) -> Individual:
    """Draw one individual of a species."""
    genus = species.genus
    fade = rng.uniform(0.0, 0.16)
    tint = rng.normal(0.0, 0.035, 3)
    ground, marking, accent = (
        np.clip((1 - fade) * np.asarray(colour) + fade * 0.55 + tint, 0, 1).astype(np.float32).reshape(3, 1, 1)
        for colour in (genus.ground, genus.marking, genus.accent)
    )
    return Individual(
        ground,
        marking,
        accent,
        float(rng.normal(0.0, 0.07)),
        float(rng.uniform(0.72, 1.0)),
        float(rng.uniform(-0.12, 0.12)),
    )


def body_parts(species: Species, individual: Individual, x: Plane, y: Plane) -> list[Part]:
    """The parts of one individual, back to front, at body coordinates x and y, each of shape (H, W)."""
    return _BODIES[species.genus.kind](species, individual, x + individual.bend * y * y, y)


def _mark(species: Species, individual: Individual, s: Plane, t: Plane, distance: Plane) -> Paint:
    """The painted skin of a part: ground colour, main marking over it, accent marking over both."""
    skin = Skin(s, t, np.maximum(-distance, 0), individual.phase)
    paint = _mix(individual.ground, individual.marking, pattern_mask(species.main, skin))
    if species.accent is not None:
        paint = _mix(paint, individual.accent, pattern_mask(species.accent, skin))
    return paint


def _beetle(species: Species, individual: Individual, x: Plane, y: Plane) -> list[Part]:
    b = species.genus.build
    width, length = 0.36 + 0.2 * b[0], 0.68 + 0.1 * b[1]
    mirrored = np.abs(x)
    dark = individual.marking * 0.7
    legs = _segment(mirrored, y, (0.1, -0.85), (0.28 + 0.3 * b[2], -1.1 - 0.15 * b[3]), 0.022)
    for root, knee in ((-0.42, -0.62), (0.05, 0.05), (0.4, 0.62)):
        bent = (width + 0.24 + 0.1 * b[4], knee)
        legs = np.minimum(legs, _segment(mirrored, y, (width * 0.6, root), bent, 0.04))
        legs = np.minimum(legs, _segment(mirrored, y, bent, (bent[0] + 0.07, knee + 0.25 * np.sign(knee)), 0.026))
    head = _ellipse(x, y + 0.78, 0.5 * width, 0.17)
    thorax = _ellipse(x, y + 0.52, (0.7 + 0.2 * b[5]) * width, 0.22)
    wings = _ellipse(x, y - 0.2, width, length, 2.3 + b[3])
    seam = np.maximum(np.abs(x) - 0.012, wings)
    thorax_paint = _shade(individual.ground, 0.72) if b[2] > 0.5 else dark
    skin = _mark(species, individual, mirrored / width, (y - 0.2) / length, wings)
    return [
        Part(legs, dark, 0.03),
        Part(head, dark, 0.15),
        Part(thorax, thorax_paint, 0.2),
        Part(wings, skin, 0.35),
        Part(seam, dark, 0),
    ]


def _butterfly(species: Species, individual: Individual, x: Plane, y: Plane) -> list[Part]:
    b = species.genus.build
    mirrored = np.abs(x) / individual.openness
    parts = []
    wings = (
        ((0.42, 0.34), 0.55 + 0.3 * b[0], 0.52, 0.31 + 0.09 * b[1]),
        ((0.48, -0.36), -0.6 - 0.25 * b[2], 0.64, 0.34 + 0.1 * b[3]),
    )
    for (cx, cy), turn, length, breadth in wings:
        along, across = _rotate(mirrored - cx, y - cy, turn)
        taper = 0.72 + 0.4 * np.clip(along / length, -1, 1) * (0.5 + 0.4 * b[4])
        scallop = 1 + 0.035 * b[5] * np.cos(9 * np.arctan2(across, along))
        distance = _ellipse(along, across / taper, length * scallop, breadth)
        skin = _mark(species, individual, across / breadth, along / length, distance)
        veins = 0.93 + 0.07 * np.clip(wave(3.5 * np.arctan2(across, along + 1.3 * length) + 0.3) * 5, 0, 1)
        parts.append(Part(distance, skin * veins, 0.05))
    dark = individual.marking * 0.75
    feelers = _segment(np.abs(x), y, (0.02, -0.5), (0.2 + 0.1 * b[1], -0.92), 0.014)
    feelers = np.minimum(feelers, np.hypot(np.abs(x) - 0.2 - 0.1 * b[1], y + 0.92) - 0.03)
    return [*parts, Part(feelers, dark, 0), Part(_ellipse(x, y + 0.02, 0.07, 0.5), dark, 0.06)]


def _fish(species: Species, individual: Individual, x: Plane, y: Plane) -> list[Part]:
    b = species.genus.build
    height = 0.3 + 0.22 * b[0]
    rear = np.clip((x - 0.4) / 0.5, 0, 1.2)
    fork = (0.05 + 0.22 * b[1]) * np.clip(1 - np.abs(y) / 0.4, 0, 1)
    tail = np.maximum(np.abs(y) - 0.08 - 0.36 * rear, np.maximum(0.35 - x, x - 0.98 + fork))
    fin_height = 0.18 + 0.25 * b[2]
    fins = _ellipse(x + 0.05 - 0.2 * b[3], y + height * 0.75, 0.36 + 0.12 * b[3], fin_height)
    fins = np.minimum(fins, _ellipse(x - 0.05, y - height * 0.8, 0.2, fin_height * 0.8))
    body = _ellipse(x + 0.22, y / (1.0 - 0.38 * np.clip(x + 0.1, 0, 1)), 0.76, height)
    rays = 0.82 + 0.18 * np.clip(wave(9 * (x + 0.4 * np.abs(y))) * 2, 0, 1)
    fin_paint = individual.accent * rays if b[4] > 0.5 else _shade(individual.ground, 0.8) * rays
    belly = 1.0 + 0.16 * np.clip(y / height, -1, 1)
    skin = _mark(species, individual, y / height, (x + 0.22) / 0.76, body) * belly
    eye = np.hypot(x + 0.62, y + 0.22 * height)
    gill = np.maximum(
        np.abs(np.hypot(x + 0.72, y * 0.8) - 0.36) - 0.012, np.maximum(-0.6 - x, np.abs(y) - 0.6 * height)
    )
    side = _ellipse(x + 0.2, y - 0.3 * height, 0.17, 0.07)
    return [
        Part(tail, fin_paint, 0.06),
        Part(fins, fin_paint, 0.06),
        Part(body, skin, 0.3),
        Part(gill, individual.marking, 0),
        Part(side, _shade(individual.ground, 0.75), 0.04),
        Part(eye - 0.085, _plain(0.97, 0.93, 0.8), 0.03),
        Part(eye - 0.05, _plain(0.06, 0.06, 0.08), 0),
    ]


def _leaf(species: Species, individual: Individual, x: Plane, y: Plane) -> list[Part]:
    b = species.genus.build
    u = np.clip((y + 0.95) / 1.6, 0, 1)  # 0 at the tip, 1 at the stalk
    outline = np.maximum(np.sin(np.pi * u ** (0.65 + 0.5 * b[0])), 0) ** (0.7 + 0.4 * b[1]) * (0.42 + 0.24 * b[2])
    lobes = 1 - (0.28 * b[3]) * wave(u * (2 + round(3 * b[4]))) - 0.09 * b[5] * wave(u * 14)
    distance = np.maximum(np.abs(x) - outline * lobes, np.maximum(-0.95 - y, y - 0.65)) * 0.8
    stalk = _segment(x, y, (0.0, 0.5), (0.06, 1.0), 0.028)
    skin = _mark(species, individual, x / 0.5, (y + 0.15) / 0.8, distance)
    side_veins = np.maximum(wave((y + 0.75 * np.abs(x)) * 3.2) - 0.07, 0)
    vein = np.minimum(np.abs(x) * 3.2 - 0.05, side_veins)
    veined = _mix(skin, _shade(individual.ground, 1.25), 0.55 * np.clip(1 - vein / 0.06, 0, 1))
    return [Part(stalk, _shade(individual.ground, 0.6), 0.02), Part(distance, veined, 0.1)]


def _flower(species: Species, individual: Individual, x: Plane, y: Plane) -> list[Part]:
    b = species.genus.build
    petals = 5 + round(4 * b[0])
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    offset = angle * (petals / (2 * np.pi))
    offset = offset - np.round(offset)  # [-0.5, 0.5] within a petal
    lobe = np.sqrt(np.clip(1 - (2 * np.abs(offset)) ** (2 + 2 * b[1]), 0, 1))
    distance = radius - (0.36 + 0.12 * b[2]) - 0.5 * lobe
    skin = _mark(species, individual, offset * 2.2, (radius - 0.55) / 0.42, distance * 0.7)
    groove = 0.86 + 0.14 * np.clip(lobe * 2, 0, 1)
    heart = radius - (0.17 + 0.1 * b[3])
    grain = 0.85 + 0.15 * np.sin(40 * radius) * np.sin(angle * 17)
    heart_paint = (individual.accent if b[4] > 0.5 else _plain(0.92, 0.74, 0.2)) * grain
    return [Part(distance * 0.7, skin * groove, 0.12), Part(heart, heart_paint, 0.15)]


def _mushroom(species: Species, individual: Individual, x: Plane, y: Plane) -> list[Part]:
    b = species.genus.build
    width, height = 0.62 + 0.25 * b[0], 0.5 + 0.35 * b[1]
    top = y - 0.08
    cap = np.maximum(_ellipse(x, top, width, height, 2.0 + 0.7 * b[2]), top - 0.07 * (1 - (x / width) ** 2))
    stem_width = 0.11 + 0.09 * b[3] + 0.06 * np.clip(y, 0, 1) * b[4]
    stem = np.maximum(np.abs(x) - stem_width, np.maximum(-y, y - 0.92 + 0.6 * x * x))
    cream = _plain(0.93, 0.88, 0.76)
    stem_paint = cream * (0.9 + 0.1 * np.clip(wave(14 * x) * 2, 0, 1))
    gills = _ellipse(x, top - 0.02, width * 0.93, 0.1)
    gill_paint = _shade(cream, 0.75) * (0.8 + 0.2 * np.clip(wave(x / (width * 0.12)) * 2, 0, 1))
    ring = _ellipse(x, y - 0.42, 0.2 + 0.12 * b[3], 0.06)
    skin = _mark(species, individual, x / width, (y + height * 0.4) / (height * 0.65), cap)
    parts = [Part(stem, stem_paint, 0.14), Part(gills, gill_paint, 0.05), Part(cap, skin, 0.35)]
    return [parts[0], Part(ring, cream, 0.05), *parts[1:]] if b[5] > 0.5 else parts


def _snail(species: Species, individual: Individual, x: Plane, y: Plane) -> list[Part]:
    b = species.genus.build
    radius, angle = np.hypot(x - 0.1, y + 0.08), np.arctan2(y + 0.08, x - 0.1)
    turns = np.log(np.maximum(radius, 0.03) / 0.66) / np.log(1.9 + 0.5 * b[0]) - angle / (2 * np.pi) + 0.5
    whorl = turns - np.floor(turns)  # 0 inside to 1 outside within one whorl
    shell = radius - 0.62 - 0.07 * np.sin(angle - 0.6)
    skin = _mark(species, individual, whorl * 2 - 1, angle * (1.0 / np.pi) * (1.5 + b[1]), shell)
    seam = np.clip(np.minimum(whorl, 1 - whorl) * 9, 0, 1)
    flesh = _plain(0.72, 0.62, 0.5) * (0.8 + 0.3 * b[2])
    foot = _ellipse(x + 0.12, y - 0.62, 0.86, 0.17 + 0.05 * b[3])
    neck = _segment(x, y, (-0.6, 0.55), (-0.86, 0.18), 0.15)
    horns = np.minimum(
        _segment(x, y, (-0.88, 0.12), (-1.0, -0.25 - 0.1 * b[4]), 0.03),
        _segment(x, y, (-0.8, 0.12), (-0.78, -0.28 - 0.1 * b[4]), 0.03),
    )
    body = np.minimum(np.minimum(foot, neck), horns)
    return [Part(body, flesh, 0.14), Part(shell, skin * (0.7 + 0.3 * seam), 0.4)]


_BODIES: dict[str, Callable[[Species, Individual, Plane, Plane], list[Part]]] = {
    "beetle": _beetle,
    "butterfly": _butterfly,
    "fish": _fish,
    "leaf": _leaf,
    "flower": _flower,
    "mushroom": _mushroom,
    "snail": _snail,
}


def _ellipse(x: Plane, y: Plane, rx: float | Plane, ry: float | Plane, power: float = 2.0) -> Plane:
    """Rough distance to a (super)ellipse of radii rx, ry around the origin."""
    norm = (
        np.hypot(x / rx, y / ry) if power == 2.0 else (np.abs(x / rx) ** power + np.abs(y / ry) ** power) ** (1 / power)
    )
    distance: Plane = (norm - 1) * np.minimum(rx, ry)
    return distance


def _segment(x: Plane, y: Plane, start: tuple[float, float], end: tuple[float, float], radius: float) -> Plane:
    """Distance to a straight limb of the given radius."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - start[0] - along * dx, y - start[1] - along * dy) - radius


def _rotate(x: Plane, y: Plane, turn: float) -> tuple[Plane, Plane]:
    c, s = float(np.cos(turn)), float(np.sin(turn))
    return c * x + s * y, c * y - s * x


def _plain(red: float, green: float, blue: float) -> Paint:
    return np.array((red, green, blue), np.float32).reshape(3, 1, 1)


def _mix(under: Paint, over: Paint, share: Plane) -> Paint:
    return under + (over - under) * share


def _shade(paint: Paint, factor: float) -> Paint:
    shaded: Paint = np.clip(paint * np.float32(factor), 0, 1)
    return shaded

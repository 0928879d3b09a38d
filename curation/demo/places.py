"""The places behind invented species: soft ground, foliage, sand, planks, out-of-focus lights, paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from curation.demo.markings import Plane

Scene = NDArray[np.floating[Any]]  # RGB in [0, 1], shape (3, size, size); a colour has shape (3, 1, 1)
Colour = tuple[float, float, float]


def draw_place(place: int, colour: Colour, rng: np.random.Generator, size: int) -> Scene:
    """Draw place number `place` (taken modulo `PLACES`) around a main colour."""
    return _PLACES[place % PLACES](np.asarray(colour, np.float32).reshape(3, 1, 1), rng, size)


def _ground(colour: Scene, rng: np.random.Generator, size: int) -> Scene:
    other = np.clip(colour + rng.normal(0, 0.18, (3, 1, 1)), 0, 1).astype(np.float32)
    share = 0.6 * _clouds(rng, size, 3) + 0.4 * _clouds(rng, size, 17)
    return _blend(colour * 0.8, other, share)


def _foliage(colour: Scene, rng: np.random.Generator, size: int) -> Scene:
    picture = Image.new("RGB", (size, size), _rgb(colour * 0.4))
    draw = ImageDraw.Draw(picture)
    for nearness in np.linspace(0.4, 1.15, 42):
        cx, cy = rng.uniform(-0.1, 1.1, 2) * size
        length, breadth, turn = rng.uniform(0.08, 0.24) * size, rng.uniform(0.03, 0.08) * size, rng.uniform(0, np.pi)
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        along, across = length * np.cos(angles), breadth * np.sin(angles)
        xs = cx + along * np.cos(turn) - across * np.sin(turn)
        ys = cy + along * np.sin(turn) + across * np.cos(turn)
        draw.polygon(
            [(float(a), float(b)) for a, b in zip(xs, ys, strict=True)], fill=_rgb(_near(colour, rng) * nearness)
        )
    return _pixels(picture.filter(ImageFilter.BoxBlur(size * float(rng.uniform(0.004, 0.02)))))


def _sand(colour: Scene, rng: np.random.Generator, size: int) -> Scene:
    grain = rng.random((size, size), np.float32)
    ripples = np.sin(np.linspace(0, float(rng.uniform(20, 45)), size, dtype=np.float32))[:, None]
    ripples = ripples * np.float32(0.5) * _clouds(rng, size, 4)
    tone = 0.78 + 0.25 * grain + 0.22 * ripples
    return _cut((colour * 0.8 + 0.12) * tone)


def _planks(colour: Scene, rng: np.random.Generator, size: int) -> Scene:
    count = int(rng.integers(3, 7))
    position = np.linspace(0, count - 1e-3, size, dtype=np.float32)
    tones = rng.uniform(0.7, 1.1, count).astype(np.float32)[position.astype(int)]
    gap = np.clip(np.minimum(position % 1, 1 - position % 1) * 40, 0.35, 1)
    streaks = _noise(rng, size, (int(rng.integers(30, 60)), 4))
    tone = (tones * gap)[:, None] * (0.75 + 0.4 * streaks)
    if rng.random() < 0.5:
        tone = tone.T
    return _cut(colour * tone)


def _lights(colour: Scene, rng: np.random.Generator, size: int) -> Scene:
    picture = Image.new("RGB", (size, size), _rgb(colour * 0.45))
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(26):
        cx, cy = rng.uniform(0, 1, 2) * size
        radius = rng.uniform(0.02, 0.11) * size
        red, green, blue = _rgb(_near(colour, rng) * 1.25)
        box = (cx - radius, cy - radius, cx + radius, cy + radius)
        draw.ellipse(box, fill=(red, green, blue, int(rng.uniform(60, 150))))
    return _pixels(picture.filter(ImageFilter.BoxBlur(size * 0.014)))


def _paper(colour: Scene, rng: np.random.Generator, size: int) -> Scene:
    pale = 0.72 + 0.26 * colour / max(float(colour.max()), 0.2)
    fall_off = np.linspace(1.0, float(rng.uniform(0.7, 0.95)), size, dtype=np.float32)
    fibre = 0.97 + 0.05 * _noise(rng, size, (60, 60))
    return _cut(pale * (fall_off[:, None] * fibre))


_PLACES: tuple[Callable[[Scene, np.random.Generator, int], Scene], ...] = (
    _ground,
    _foliage,
    _sand,
    _planks,
    _lights,
    _paper,
)
PLACES = len(_PLACES)


def _noise(rng: np.random.Generator, size: int, cells: tuple[int, int]) -> Plane:
    """Smooth noise in about [0, 1], shape (size, size), of cells (rows, columns)."""
    grid = Image.fromarray(rng.random(cells, np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BILINEAR), np.float32)


def _clouds(rng: np.random.Generator, size: int, cells: int) -> Plane:
    return _noise(rng, size, (cells, cells)) * np.float32(0.7) + _noise(rng, size, (3 * cells, 3 * cells)) * np.float32(
        0.3
    )


def _near(colour: Scene, rng: np.random.Generator) -> Scene:
    return (colour + rng.normal(0, 0.09, (3, 1, 1))).astype(np.float32)


def _blend(first: Scene, second: Scene, share: Plane) -> Scene:
    return _cut(first + (second - first) * share)


def _cut(scene: Scene) -> Scene:
    return np.asarray(np.clip(scene, 0, 1))


def _rgb(colour: Scene) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in np.clip(colour * 255, 0, 255).ravel())
    return red, green, blue


def _pixels(picture: Image.Image) -> Scene:
    return np.asarray(picture, np.float32).transpose(2, 0, 1) / 255

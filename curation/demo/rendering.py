"""Photograph one invented species: a body in a place, in some pose, light, focus and frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from curation.demo.markings import Plane
from curation.demo.places import draw_place
from curation.demo.shapes import Paint, Part, body_parts, vary
from curation.demo.species import Species

# Bodies are drawn this much larger than asked and then reduced: fine markings stay clean.
_OVERSAMPLING = 1.25

# Kinds that are seen from above may lie in any direction; the others stand.
_ANY_DIRECTION = frozenset({"beetle", "butterfly", "leaf", "flower"})


@dataclass(frozen=True, slots=True)
class Shot:
    """Where and how a photograph was taken.

    `pose` is (turn in radians, body unit as a share of the picture's side, x, y); `light` is (direction in radians,
    exposure, warmth); `tilt` foreshortens the body's width; `blur_px` is for a picture 176 pixels wide.
    """

    place: int
    place_colour: tuple[float, float, float]
    pose: tuple[float, float, float, float]
    light: tuple[float, float, float]
    mirrored: bool
    tilt: float
    blur_px: float
    occluded: bool


def draw_shot(rng: np.random.Generator, kind: str) -> Shot:
    """Draw the circumstances of one photograph; they say nothing of the species."""
    turn = rng.uniform(-np.pi, np.pi) if kind in _ANY_DIRECTION and rng.random() < 0.4 else rng.normal(0.0, 0.35)
    colour = rng.dirichlet((5.0, 5.0, 5.0)) * rng.uniform(0.9, 2.1)
    return Shot(
        place=int(rng.integers(6)),
        place_colour=(float(colour[0]), float(colour[1]), float(colour[2])),
        pose=(float(turn), float(rng.uniform(0.28, 0.43)), float(rng.normal(0.5, 0.06)), float(rng.normal(0.5, 0.06))),
        light=(float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.68, 1.25)), float(rng.normal(0.0, 0.09))),
        mirrored=bool(rng.random() < 0.5),
        tilt=float(rng.uniform(0.74, 1.0)),
        blur_px=float(rng.uniform(0.5, 1.6) if rng.random() < 0.3 else 0.0),
        occluded=bool(rng.random() < 0.3),
    )


def photograph(species: Species, shot: Shot, rng: np.random.Generator, side_px: int) -> Image.Image:
    """One RGB picture, side_px square. `rng` draws what `shot` leaves open: individual, detail of the place, grain."""
    size = round(side_px * _OVERSAMPLING)
    x, y = _body_coordinates(shot, size)
    parts = body_parts(species, vary(species, rng), x, y)
    body, coverage, height = _paint(parts, 1 / (shot.pose[1] * size))
    body = _lit(body, height, shot.light[0], shot.pose[1] * size)
    scene = draw_place(shot.place, shot.place_colour, rng, size)
    scene = _with_shadow(scene, coverage, shot.light[0])
    scene = scene + (body - scene) * coverage
    picture = _to_image(scene)
    if shot.occluded:
        _occlude(picture, shot.place_colour, rng)
    return _expose(picture, shot, rng, side_px)


def still_life(shot: Shot, rng: np.random.Generator, side_px: int) -> Image.Image:
    """A picture with no species in it: a place, and mostly some made thing (house, balloon, boat, cup, sign)."""
    size = round(side_px * _OVERSAMPLING)
    picture = _to_image(draw_place(shot.place, shot.place_colour, rng, size))
    if rng.random() < 0.8:
        _draw_thing(picture, shot, rng)
    return _expose(picture, shot, rng, side_px)


def _body_coordinates(shot: Shot, size: int) -> tuple[Plane, Plane]:
    """Body coordinates of every pixel, each float32 of shape (size, size)."""
    turn, scale, cx, cy = shot.pose
    pixels = (np.arange(size, dtype=np.float32) + 0.5) / size
    dx, dy = (pixels[None, :] - cx) / scale, (pixels[:, None] - cy) / scale
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = (c * dx + s * dy) / np.float32(shot.tilt), c * dy - s * dx
    return (-x if shot.mirrored else x), y


def _paint(parts: list[Part], pixel: float) -> tuple[Paint, Plane, Plane]:
    """Paint parts back to front: colour (3, H, W), coverage (H, W) in [0, 1], height (H, W) in body units.

    `pixel` is the width of a pixel in body units: edges are that soft.
    """
    shape = parts[0].distance.shape
    colour = np.zeros((3, *shape), np.float32)
    coverage, height = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for part in parts:
        alpha = np.clip(0.5 - part.distance / pixel, 0, 1).astype(np.float32)
        colour += (part.paint - colour) * alpha
        coverage = np.maximum(coverage, alpha)
        if part.roundness:
            inwards = np.clip(1 + part.distance / part.roundness, 0, 1)
            dome = (0.05 + part.roundness * np.sqrt(1 - inwards * inwards)).astype(np.float32)
            height += (dome - height) * alpha
    return colour, coverage, height


def _lit(colour: Paint, height: Plane, direction: float, scale_px: float) -> Paint:
    """Light a body from one side: slopes towards the light brighten, a few shine."""
    slope_y, slope_x = np.gradient(height * np.float32(scale_px))
    towards = slope_x * np.float32(np.cos(direction)) + slope_y * np.float32(np.sin(direction))
    towards = np.clip(towards, -1.2, 1.2)
    shine = np.clip(towards - 0.55, 0, 1) * np.clip(1.3 - towards, 0, 1)
    lit: Paint = np.clip(colour * (0.95 + 0.38 * towards) + 0.35 * shine, 0, 1)
    return lit


def _with_shadow(scene: Paint, coverage: Plane, direction: float) -> Paint:
    size = coverage.shape[0]
    mask = Image.fromarray((coverage * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(size * 0.018))
    step = size * 0.03
    shift = (round(step * np.cos(direction)), round(step * np.sin(direction)))
    shadow = np.roll(np.asarray(mask, np.float32) / 255, (shift[1], shift[0]), (0, 1))
    return scene * (1 - 0.5 * shadow)


def _occlude(picture: Image.Image, colour: tuple[float, float, float], rng: np.random.Generator) -> None:
    """Lay one to three blades across the picture."""
    draw = ImageDraw.Draw(picture)
    size = picture.width
    tone = np.asarray(colour) * 0.5 + rng.uniform(0.0, 0.3, 3)
    for _ in range(int(rng.integers(1, 4))):
        start, bend, end = rng.uniform(-0.1, 1.1, 3) * size
        half = rng.uniform(0.012, 0.035) * size
        steps = np.linspace(0, 1, 9)
        xs = (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * bend + steps**2 * end
        ys, width = size * (1 - steps * rng.uniform(0.7, 1.1)), half * (1 - 0.9 * steps)
        outline = [*zip(xs - width, ys, strict=True), *zip((xs + width)[::-1], ys[::-1], strict=True)]
        fill = tuple(int(v) for v in np.clip(tone * rng.uniform(0.7, 1.1) * 255, 0, 255))
        draw.polygon([(float(a), float(b)) for a, b in outline], fill=fill)


def _draw_thing(picture: Image.Image, shot: Shot, rng: np.random.Generator) -> None:
    """Draw one made thing: each is a few polygons in a unit square, scaled to the pose."""
    _, scale, cx, cy = shot.pose
    size = picture.width
    draw = ImageDraw.Draw(picture)
    first, second = (tuple(int(v) for v in rng.integers(40, 250, 3)) for _ in range(2))
    names = sorted(_THINGS)
    for outline, is_first in _THINGS[names[rng.integers(len(names))]]:
        points = [((cx + scale * px) * size, (cy + scale * py) * size) for px, py in outline]
        draw.polygon(points, fill=first if is_first else second, outline=(35, 30, 30))


def _disc(cx: float, cy: float, rx: float, ry: float) -> tuple[tuple[float, float], ...]:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return tuple((float(cx + rx * np.cos(a)), float(cy + ry * np.sin(a))) for a in angles)


def _box(x0: float, y0: float, x1: float, y1: float) -> tuple[tuple[float, float], ...]:
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


# Name -> polygons with their colour (True: the first of the two drawn), back to front.
_THINGS: dict[str, tuple[tuple[tuple[tuple[float, float], ...], bool], ...]] = {
    "house": (
        (_box(-0.7, -0.1, 0.7, 0.8), True),
        (((-0.85, -0.1), (0, -0.8), (0.85, -0.1)), False),
        (_box(-0.15, 0.3, 0.15, 0.8), False),
        (_box(0.3, 0.1, 0.55, 0.4), False),
    ),
    "balloon": (
        (_disc(0, -0.25, 0.65, 0.7), True),
        (_disc(0, -0.25, 0.25, 0.7), False),
        (_box(-0.16, 0.65, 0.16, 0.9), False),
    ),
    "boat": (
        (((-0.9, 0.4), (0.9, 0.4), (0.6, 0.8), (-0.6, 0.8)), True),
        (((0, -0.9), (0.7, 0.25), (0, 0.25)), False),
        (((-0.08, -0.6), (-0.08, 0.25), (-0.6, 0.25)), False),
        (_box(-0.06, -0.9, 0, 0.4), True),
    ),
    "cup": (
        (_disc(0.6, 0.0, 0.3, 0.32), True),
        (_disc(0.6, 0.0, 0.16, 0.18), False),
        (((-0.6, -0.5), (0.6, -0.5), (0.45, 0.7), (-0.45, 0.7)), True),
        (_disc(0, -0.5, 0.6, 0.14), False),
    ),
    "sign": (
        (_box(-0.06, 0, 0.06, 1.0), False),
        (_disc(0, -0.3, 0.6, 0.6), True),
        (_box(-0.4, -0.42, 0.4, -0.18), False),
    ),
}


def _expose(picture: Image.Image, shot: Shot, rng: np.random.Generator, side_px: int) -> Image.Image:
    """Reduce to side_px, then focus, exposure, white balance, vignette and grain."""
    picture = picture.resize((side_px, side_px), Image.Resampling.BOX if side_px < 64 else Image.Resampling.BICUBIC)
    if shot.blur_px:
        picture = picture.filter(ImageFilter.GaussianBlur(shot.blur_px * side_px / 176))
    pixels = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
    _, exposure, warmth = shot.light
    axis = np.linspace(-1, 1, side_px, dtype=np.float32)
    vignette = 1 - 0.14 * (axis[None, :] ** 2 + axis[:, None] ** 2)
    balance = np.array([1 + warmth, 1.0, 1 - warmth], np.float32) * np.float32(exposure)
    pixels = pixels * balance[:, None, None] * vignette
    pixels += rng.standard_normal((side_px, side_px), np.float32) * np.float32(rng.uniform(0.0, 0.025))
    return _to_image(pixels)


def _to_image(pixels: Paint) -> Image.Image:
    """An image of pixels (3, H, W), cut to [0, 1]."""
    bytes_first = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(bytes_first.transpose(1, 2, 0)))

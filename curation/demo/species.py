"""Invented species for generated images: families that share build and palette, members that differ in markings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

Colour = tuple[float, float, float]

KINDS = ("beetle", "butterfly", "fish", "leaf", "flower", "mushroom", "snail")

# Name of a palette -> ground, marking, accent (RGB, 0 to 255). Chosen by eye so that markings stand out on the ground.
PALETTES: dict[str, tuple[str, str, str]] = {
    "Amber": ("#e09a2b", "#3a2113", "#f6e3a8"),
    "Crimson": ("#b3202c", "#1f1416", "#f2c9a0"),
    "Azure": ("#3f86c9", "#14243f", "#f3e9c6"),
    "Jade": ("#3f9a6d", "#12321f", "#e9e58c"),
    "Violet": ("#7a55a8", "#26163d", "#f0c8e0"),
    "Ivory": ("#eadfc2", "#5a4630", "#c9772f"),
    "Coral": ("#ee7f66", "#6b1f2a", "#fbe9c9"),
    "Slate": ("#64748a", "#1c222c", "#e5c15a"),
    "Ochre": ("#bd8a3c", "#4a2a12", "#8fb0a8"),
    "Teal": ("#20888c", "#0e2b33", "#f4b860"),
    "Rose": ("#d77fa1", "#5c1d3c", "#fff0dc"),
    "Umber": ("#7b4f33", "#241710", "#e8b877"),
}

# (pattern, fine) -> the adjective that names a species carrying it.
PATTERN_WORDS: dict[tuple[str, bool], str] = {
    ("bands", False): "Banded",
    ("bands", True): "Narrowbanded",
    ("stripes", False): "Striped",
    ("stripes", True): "Pinstriped",
    ("spots", False): "Spotted",
    ("spots", True): "Dotted",
    ("chevrons", False): "Arrow",
    ("chevrons", True): "Herringbone",
    ("rings", False): "Ringed",
    ("rings", True): "Target",
    ("net", False): "Latticed",
    ("net", True): "Netted",
    ("speckles", False): "Blotched",
    ("speckles", True): "Peppered",
    ("saddle", False): "Saddled",
    ("dip", False): "Dipped",
    ("rim", False): "Rimmed",
    ("eyes", False): "Eyed",
}

# Patterns that may lie over the main one, in the accent colour.
_ACCENT_PATTERNS = ("rim", "eyes", "saddle", "dip")


@dataclass(frozen=True, slots=True)
class Marking:
    """A pattern: how many repeats over the body, and how much of each repeat it covers ((0, 1))."""

    pattern: str
    repeats: float
    cover: float


@dataclass(frozen=True, slots=True)
class Genus:
    """What look-alike species share. `build` holds six numbers in [0, 1] that each kind reads in its own way."""

    kind: str
    palette: str
    ground: Colour
    marking: Colour
    accent: Colour
    build: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Species:
    """One category: a genus, its main marking, and perhaps a second one in the accent colour."""

    name: str
    genus: Genus
    main: Marking
    accent: Marking | None


def invent_genera(
    rng: np.random.Generator, count: int, *, avoid: Sequence[Genus] = (), kinds: Sequence[str] = KINDS
) -> list[Genus]:
    """Invent `count` genera; no kind comes a third time before every kind came twice, no (kind, palette) twice.

    Genera in `avoid` are not invented again: none of the result has both their kind and their palette.
    """
    taken = {(genus.kind, genus.palette) for genus in avoid}
    free = [pair for pair in product(kinds, PALETTES) if pair not in taken]
    if count > len(free):
        raise ValueError(f"{count} genera were asked for; {len(free)} combinations of kind and palette are free")
    shuffled = [free[i] for i in rng.permutation(len(free))]
    seen: dict[str, int] = {}
    ranked = []
    for order, (kind, palette) in enumerate(shuffled):
        seen[kind] = seen.get(kind, 0) + 1
        ranked.append((seen[kind], order, kind, palette))
    return [_genus(rng, kind, palette) for _, _, kind, palette in sorted(ranked)[:count]]


def invent_species(rng: np.random.Generator, genus: Genus, count: int) -> list[Species]:
    """Invent `count` species of one genus, each with a main marking of its own."""
    if count > len(PATTERN_WORDS):
        raise ValueError(f"{count} species of one genus were asked for; there are {len(PATTERN_WORDS)} markings")
    words = list(PATTERN_WORDS.items())
    return [_species(rng, genus, *words[i]) for i in rng.permutation(len(words))[:count]]


def _genus(rng: np.random.Generator, kind: str, palette: str) -> Genus:
    ground, marking, accent = (_colour(text) for text in PALETTES[palette])
    return Genus(kind, palette, ground, marking, accent, tuple(float(value) for value in rng.random(6)))


def _species(rng: np.random.Generator, genus: Genus, key: tuple[str, bool], word: str) -> Species:
    pattern, fine = key
    repeats = rng.uniform(6.0, 8.0) if fine else rng.uniform(3.0, 4.2)
    main = Marking(pattern, float(repeats), float(rng.uniform(0.35, 0.6)))
    others = [name for name in _ACCENT_PATTERNS if name != pattern]
    accent = None
    if rng.random() < 0.5:
        accent = Marking(others[rng.integers(len(others))], float(rng.uniform(3.0, 4.2)), float(rng.uniform(0.3, 0.5)))
    return Species(f"{word}_{genus.palette}_{genus.kind.capitalize()}", genus, main, accent)


def _colour(text: str) -> Colour:
    red, green, blue = bytes.fromhex(text[1:])
    return red / 255, green / 255, blue / 255

"""Generated histories: nights of one kind, one after the other, for the tests and the benchmark of alarms.

Every kind is stationary: no night is special, so every alarm is a false one. What differs is how nights vary.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from curation.history.mix import mix_of
from curation.history.night import CategoryNight, NewImages, NightFacts, NoiseLevel
from curation.history.shift import Distance, Shift

START = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class World:
    """How nights vary: beside pure chance by `spread` (of log numbers and of log-odds), with tails of a Student's t
    with `tails` degrees of freedom; `idle` of the nights bring nothing new. `wanders`: the noise rate of all images is
    that of all nights so far, as in a real workspace; otherwise each night has its own."""

    new: float
    spread: float = 0.0
    tails: float = np.inf
    idle: float = 0.0
    categories: int = 12
    images: int = 300
    wanders: bool = True


WORLDS = {
    "plain": World(500),
    "levels of their own": World(500, 0.2, wanders=False),
    "varied": World(500, 0.3),
    "heavy tails": World(500, 0.4, tails=3),
    "heavy tails, own levels": World(300, 0.4, tails=3, wanders=False),
    "few images": World(12, 0.5, categories=6, images=8),
    "few images, heavy tails": World(8, 0.8, tails=3, categories=40, images=3),
    "idle nights": World(200, 0.3, idle=0.4),
    "rarely idle": World(200, 0.3, idle=0.05),
    "many categories": World(3000, 0.3, categories=200, images=50),
}


def nights_of(world: World, number: int, random: np.random.Generator) -> list[NightFacts]:
    """`number` nights of a world whose sites, categories and noise rates are drawn anew for every call."""
    sites = random.dirichlet(np.full(30, 0.3))
    odds = random.normal(-1.2, 0.6, world.categories)
    wrong, judged = np.full(world.categories, 0.0), np.full(world.categories, float(world.images))
    wrong += world.images * _share(odds)
    nights = []
    for night in range(number):
        night_odds = (
            odds + world.spread * _varied(world, random) + world.spread * _varied(world, random, world.categories)
        )
        size = 0 if random.random() < world.idle else _number(world, random)
        per_category = random.multinomial(size, np.full(world.categories, 1 / world.categories))
        noise = [_draw_noise(rate, count, random) for rate, count in zip(_share(night_odds), per_category, strict=True)]
        wrong += [found.sum() for found in noise]
        judged += per_category
        levels = wrong / judged if world.wanders else _share(night_odds)
        mix = random.dirichlet(sites / max(world.spread, 0.02) * 20 + 1e-3)
        names = [f"site{place}" for place in random.choice(len(sites), size=size, p=mix)]
        nights.append(_night(night, world, levels, judged, noise, names, random))
    return nights


def _night(
    number: int,
    world: World,
    levels: np.ndarray,
    judged: np.ndarray,
    noise: list[np.ndarray],
    names: list[str],
    random: np.random.Generator,
) -> NightFacts:
    together = np.concatenate(noise)
    unreadable = int(random.binomial(len(together), _share(-4 + world.spread * _varied(world, random))))
    categories = tuple(
        CategoryNight(
            category=f"c{place}",
            images=int(judged[place]),
            decisions=0,
            flagged=0,
            noise=level_of(float(levels[place])),
            new=new_images(found),
        )
        for place, found in enumerate(noise)
    )
    return night_of(
        number,
        images=int(judged.sum()),
        categories=categories,
        noise=level_of(float(np.average(levels, weights=judged))),
        new=new_images(together, unreadable),
        sites=mix_of(names) if names else None,
        queries=mix_of(names[::2]) if names else None,
        shift=made_shift(len(together), world, random) if len(together) >= 20 else None,
    )


def night_of(number: int, **changes: Any) -> NightFacts:
    """The night with this number, with `changes`."""
    begun = START + timedelta(days=number)
    facts: dict[str, Any] = {
        "night_id": f"{begun:%Y%m%dT%H%M%S}-{number:06x}",
        "started_at": begun,
        "finished_at": begun + timedelta(minutes=20),
        "status": "done",
        "samples": {"novel": 1000},
        "images": 1000,
        "unreadable": 0,
        "flagged": 0,
        "decisions": 0,
    }
    return NightFacts(**facts | changes)


def level_of(rate: float) -> NoiseLevel:
    return NoiseLevel(rate, max(rate - 0.05, 0.0), min(rate + 0.05, 1.0))


def new_images(noise: np.ndarray, unreadable: int = 0) -> NewImages:
    """New images of which those that are not `unreadable` have these noise probabilities."""
    judged = noise[unreadable:]
    return NewImages(
        images=len(noise),
        unreadable=unreadable,
        judged=len(judged),
        noise_rate=float(judged.mean()) if len(judged) else None,
        noise_error=float(judged.std(ddof=1) / np.sqrt(len(judged))) if len(judged) > 1 else None,
    )


def shift_of(excess: float, p_value: float, new: int = 100) -> Shift:
    return Shift(new, 2000, Distance(excess / 1000, p_value, excess), Distance(excess / 500, p_value, excess))


def made_shift(new: int, world: World, random: np.random.Generator) -> Shift:
    """What permutations say of images that are from where the others are; how far nights differ grows with `spread`."""
    shape = 30.0  # of the skewed distribution that an unbiased distance has
    others = np.sort(random.gamma(shape, size=999))
    found = random.gamma(shape) + world.spread * abs(_varied(world, random)) * np.sqrt(shape * new / 100)
    excess = float((found - others.mean()) / others.std())
    return shift_of(excess, (1 + int((others >= found).sum())) / 1000, new)


def _varied(world: World, random: np.random.Generator, size: int | None = None) -> Any:
    if np.isinf(world.tails):
        return random.normal(size=size)
    return random.standard_t(world.tails, size=size)


def _number(world: World, random: np.random.Generator) -> int:
    factor = float(np.exp(np.clip(world.spread * _varied(world, random), -3, 3)))
    return int(random.poisson(min(world.new * factor, 20 * world.new)))


def _share(odds: Any) -> Any:
    return 1 / (1 + np.exp(-odds))


def _draw_noise(rate: float, count: int, random: np.random.Generator) -> np.ndarray:
    """Noise probabilities as a noise model gives them: mostly near 0 or 1, right on average."""
    probable = np.clip(rate, 1e-3, 1 - 1e-3)
    return random.beta(probable * 0.5, (1 - probable) * 0.5, size=count)

"""The image set of `curate demo`: invented species, clean base categories, novel ones with known web noise."""

from __future__ import annotations

import csv
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from curation.demo.rendering import draw_shot, photograph, still_life
from curation.demo.species import Species, invent_genera, invent_species
from curation.errors import SourceError

OUTLIER = "__outlier__"
CLEAN, LABEL_FLIP, OUT_OF_DOMAIN = "clean", "cross_category", "out_of_domain"  # the words of truth.csv's `noise`

_STREAM = 0xDE30  # first part of every random seed here: no demo shares its numbers with the encoder's training images
_SPECIES_PER_GENUS = 4.5  # look-alikes a category has on average, itself counted
_NOVEL_PER_GENUS = 2  # novel look-alikes, so that a flip has somewhere near to go; the rest of the genus is base
_FLIP_SHARE = 2 / 3  # of the wrong images; the others are outliers
_NEAR_FLIP_SHARE = 0.75  # of the flips: to the same genus
_STRANGER_SHARE = 0.6  # of the outliers: species of foreign genera; the others are pictures without any species
_MOST_CATEGORIES = 120  # genera are pairs of a kind and a palette, and some must be left for strangers
_SMALLEST_PX = 32  # below, no marking can be seen
_FEW = 200  # below this many images, starting processes costs more than it saves


@dataclass(frozen=True, slots=True)
class TruthRow:
    """What one novel image really shows. `image` is relative to the set's folder; `noise` is a word of `truth.csv`."""

    image: str
    web_category: str
    true_category: str
    noise: str


@dataclass(frozen=True, slots=True)
class DemoTruth:
    """What a generated image set holds: its folder, its categories, and the truth about every novel image."""

    folder: Path
    base_categories: tuple[str, ...]
    novel_categories: tuple[str, ...]
    rows: tuple[TruthRow, ...]


@dataclass(frozen=True, slots=True)
class _Picture:
    """One image to draw: `species` is None for a picture without any."""

    path: Path
    species: Species | None
    seed: tuple[int, ...]
    side_px: int


def make_demo_images(
    folder: Path,
    *,
    seed: int = 0,
    base_categories: int = 20,
    novel_categories: int = 6,
    base_images: int = 60,
    novel_images: int = 80,
    test_images: int = 20,
    noise: float = 0.30,
    side_px: int = 176,
    workers: int | None = None,
) -> DemoTruth:
    """Write `base/`, `novel/`, `test/` (each `<category>/NNNN.jpg`) and `truth.csv` into a new or empty folder.

    Base and test images are clean. Of every novel category's images the share `noise`, [0, 0.9], is wrong: two thirds
    label flips, mostly to look-alikes, one third outliers. The same arguments give the same bytes under one version of
    Pillow and NumPy, whatever `workers` (processes that draw; None = one for every core, 1 = this process alone).
    Raises `SourceError` where a number is impossible or the folder cannot be used.
    """
    _check(base_categories, novel_categories, min(base_images, novel_images), noise, side_px, seed)
    _claim(folder)
    base, novel, strangers = invent_task(seed, base_categories, novel_categories)
    rng = np.random.default_rng((_STREAM, seed, 1 << 40))
    rows, shown = _label_noise(rng, novel, strangers, novel_images, noise)
    clean: list[tuple[str, Species | None]] = [
        *((f"base/{species.name}/{i:04d}.jpg", species) for species in base for i in range(base_images)),
        *((f"test/{species.name}/{i:04d}.jpg", species) for species in novel for i in range(test_images)),
    ]
    plan = [*clean, *((row.image, species) for row, species in zip(rows, shown, strict=True))]
    pictures = [_Picture(folder / name, species, (_STREAM, seed, n), side_px) for n, (name, species) in enumerate(plan)]
    try:
        _draw_all(pictures, workers)
        _write_truth(folder / "truth.csv", rows)
    except OSError as error:
        raise SourceError(f"{folder} cannot be written: {error}.", hint="Check permissions and free space.") from error
    return DemoTruth(folder, tuple(s.name for s in base), tuple(s.name for s in novel), tuple(rows))


def _check(base_categories: int, novel_categories: int, images: int, noise: float, side_px: int, seed: int) -> None:
    possible = seed >= 0 and 0 <= noise <= 0.9 and base_categories + novel_categories <= _MOST_CATEGORIES
    enough = base_categories >= 1 and novel_categories >= 2 and images >= 1 and side_px >= _SMALLEST_PX
    if not (possible and enough):
        raise SourceError(
            f"no demo can be made of {base_categories} base and {novel_categories} novel categories, {images} images "
            f"in the smallest, noise {noise}, {side_px} pixels, seed {seed}.",
            hint=f"Ask for at least 1 base and 2 novel categories ({_MOST_CATEGORIES} at most together), 1 image each, "
            f"{_SMALLEST_PX} pixels, noise from 0 to 0.9, and a seed of 0 or more.",
        )


def _claim(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise SourceError(f"{folder} cannot be written: {error.strerror}.", hint="Choose a folder you own.") from error
    if occupied:
        raise SourceError(f"{folder} is not empty.", hint="Name a new or an empty folder for the demo's images.")


def invent_task(seed: int, base_count: int, novel_count: int) -> tuple[list[Species], list[Species], list[Species]]:
    """Base, novel and foreign species. A novel one has look-alikes among the novel and, if they suffice, the base."""
    rng = np.random.default_rng((_STREAM, seed))
    total = base_count + novel_count
    genera_count = max(round(total / _SPECIES_PER_GENUS), -(-novel_count // _NOVEL_PER_GENUS))
    genera = invent_genera(rng, genera_count)
    families = [invent_species(rng, genus, -(-total // genera_count)) for genus in genera]
    members = [family[i] for i in range(len(families[0])) for family in families][:total]
    homes = genera[: -(-novel_count // _NOVEL_PER_GENUS)]
    candidates = [species for species in members if species.genus in homes]
    novel = candidates[:novel_count]
    base = [species for species in members if species not in novel]
    foreign = invent_genera(rng, 10, avoid=genera)
    return base, novel, [invent_species(rng, genus, 1)[0] for genus in foreign]


def _label_noise(
    rng: np.random.Generator, novel: Sequence[Species], strangers: Sequence[Species], images: int, noise: float
) -> tuple[list[TruthRow], list[Species | None]]:
    """What every novel image claims and what it shows, in the order of file names (noise in random places)."""
    wrong = round(images * noise)
    flips = round(wrong * _FLIP_SHARE)
    rows: list[TruthRow] = []
    shown: list[Species | None] = []
    for species in novel:
        kinds = [LABEL_FLIP] * flips + [OUT_OF_DOMAIN] * (wrong - flips) + [CLEAN] * (images - wrong)
        for number, place in enumerate(rng.permutation(images)):
            image, kind = f"novel/{species.name}/{number:04d}.jpg", kinds[place]
            subject: Species | None = species
            if kind == LABEL_FLIP:
                subject = _mistaken_for(rng, species, novel)
            elif kind == OUT_OF_DOMAIN:
                subject = strangers[int(rng.integers(len(strangers)))] if rng.random() < _STRANGER_SHARE else None
            true = OUTLIER if kind == OUT_OF_DOMAIN or subject is None else subject.name
            rows.append(TruthRow(image, species.name, true, kind))
            shown.append(subject)
    return rows, shown


def _mistaken_for(rng: np.random.Generator, species: Species, novel: Sequence[Species]) -> Species:
    others = [other for other in novel if other is not species]
    near = [other for other in others if other.genus == species.genus]
    choice = near if near and rng.random() < _NEAR_FLIP_SHARE else others
    return choice[int(rng.integers(len(choice)))]


def _draw_all(pictures: Sequence[_Picture], workers: int | None) -> None:
    for folder in sorted({picture.path.parent for picture in pictures}):
        folder.mkdir(parents=True, exist_ok=True)
    count = workers or os.cpu_count() or 1
    if count == 1 or len(pictures) < _FEW:
        for picture in pictures:
            _draw(picture)
        return
    # Spawned, not forked: the caller may hold threads (torch, DuckDB).
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    spawn = get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=spawn, initializer=signal.signal, initargs=ignore) as pool:
        try:
            with _interrupts_wait():
                drawn = pool.map(_draw, pictures, chunksize=16)  # starts the processes
            for _ in drawn:
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or the pool would draw everything that is left before it ends
            raise


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back inside the block: a process that is only half started would end with a traceback of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts go to the main thread
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _draw(picture: _Picture) -> None:
    rng = np.random.default_rng(picture.seed)
    shot = draw_shot(rng, picture.species.genus.kind if picture.species else "")
    if picture.species is None:
        image = still_life(shot, rng, picture.side_px)
    else:
        image = photograph(picture.species, shot, rng, picture.side_px)
    image.save(picture.path, quality=int(rng.integers(55, 96)))


def _write_truth(path: Path, rows: Sequence[TruthRow]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "web_category", "true_category", "noise"))
        writer.writerows((row.image, row.web_category, row.true_category, row.noise) for row in rows)

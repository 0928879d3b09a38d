"""Make the weights of the builtin encoder from generated images: `python -m curation.encoders.make_builtin`.

It learns what a general image encoder knows: what is in a picture, and just as much where, how and in what light it was
taken. Its species are none of any demo's: other builds, other markings, other seeds.

Expected of the default run: species right 0.82 in the last of six epochs (240 species), about ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from curation.demo.places import PLACES
from curation.demo.rendering import Shot, draw_shot, photograph
from curation.demo.species import Species, invent_genera, invent_species
from curation.encoders.builtin import INPUT_PX, SUBJECT_DIMENSION, WEIGHTS, BuiltinNetwork

_STREAM = 0xE4C0DE  # first part of the random seed; the demo's is another
_CIRCUMSTANCES = 11  # numbers that describe place colour, pose and light


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights."""

    seed: int = 0
    genera: int = 24
    species_per_genus: int = 10
    images_per_species: int = 60
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 0.06  # peak of one cycle; 0.1 was unstable in the first epoch
    weight_decay: float = 5e-4
    species_share: float = 0.5  # of the loss; the rest is shared by place and circumstances


@dataclass(frozen=True, slots=True)
class Lesson:
    """Training images: pixels uint8 (N, 96, 96, 3); species and place as class numbers (N,), circumstances (N, 11)."""

    pixels: NDArray[np.uint8]
    species: NDArray[np.int64]
    place: NDArray[np.int64]
    circumstances: NDArray[np.float32]


def invent_training_species(recipe: Recipe) -> list[Species]:
    """The species the encoder is trained on."""
    rng = np.random.default_rng((_STREAM, recipe.seed))
    genera = invent_genera(rng, recipe.genera)
    return [species for genus in genera for species in invent_species(rng, genus, recipe.species_per_genus)]


def draw_lesson(recipe: Recipe) -> Lesson:
    """Draw all training images."""
    all_species = invent_training_species(recipe)
    total = len(all_species) * recipe.images_per_species
    lesson = Lesson(
        np.empty((total, INPUT_PX, INPUT_PX, 3), np.uint8),
        np.repeat(np.arange(len(all_species)), recipe.images_per_species),
        np.empty(total, np.int64),
        np.empty((total, _CIRCUMSTANCES), np.float32),
    )
    for row, number in enumerate(lesson.species):
        rng = np.random.default_rng((_STREAM, recipe.seed, row))
        shot = draw_shot(rng, all_species[number].genus.kind)
        lesson.pixels[row] = np.asarray(photograph(all_species[number], shot, rng, INPUT_PX))
        lesson.place[row] = shot.place
        lesson.circumstances[row] = describe(shot)
        if row % 2000 == 0:
            print(f"drawn {row} of {total}", flush=True)
    spread = lesson.circumstances.std(0)
    return Lesson(
        lesson.pixels, lesson.species, lesson.place, (lesson.circumstances - lesson.circumstances.mean(0)) / spread
    )


def describe(shot: Shot) -> NDArray[np.float32]:
    """The circumstances of a shot as numbers: shape (11,)."""
    turn, scale, cx, cy = shot.pose
    direction, exposure, warmth = shot.light
    pose = (np.cos(turn), np.sin(turn), scale, cx, cy)
    light = (np.cos(direction), exposure, warmth)
    return np.array([*shot.place_colour, *pose, *light], np.float32)


def train(recipe: Recipe, lesson: Lesson) -> BuiltinNetwork:
    """Train the network: species and place by cross-entropy, circumstances by squared error, one-cycle SGD."""
    torch.manual_seed(recipe.seed)
    network = BuiltinNetwork().to(memory_format=torch.channels_last)
    to_species = nn.Linear(SUBJECT_DIMENSION, int(lesson.species.max()) + 1)
    to_place = nn.Linear(SUBJECT_DIMENSION, PLACES)
    to_circumstances = nn.Linear(SUBJECT_DIMENSION, _CIRCUMSTANCES)
    heads = nn.ModuleList([to_species, to_place, to_circumstances])
    steps = len(lesson.species) // recipe.batch_size
    optimizer = torch.optim.SGD(
        [*network.parameters(), *heads.parameters()],
        lr=recipe.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps * recipe.epochs)
    shuffle = np.random.default_rng((_STREAM, recipe.seed, 1 << 40))
    started = time.monotonic()
    for epoch in range(recipe.epochs):
        order = shuffle.permutation(len(lesson.species))
        hits, losses = 0, np.zeros(3)
        for step in range(steps):
            rows = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            pixels = torch.from_numpy(lesson.pixels[rows]).permute(0, 3, 1, 2).float()
            features = network.subject((pixels / 255 - 0.5) / 0.25)
            features = F.normalize(features, dim=1) * 8  # what is compared later is the direction alone
            guesses = to_species(features)
            species = torch.from_numpy(lesson.species[rows])
            species_loss = F.cross_entropy(guesses, species, label_smoothing=0.1)
            place_loss = F.cross_entropy(to_place(features), torch.from_numpy(lesson.place[rows]))
            shot_loss = F.mse_loss(to_circumstances(features), torch.from_numpy(lesson.circumstances[rows]))
            share = recipe.species_share
            loss = share * species_loss + (1 - share) * (place_loss + shot_loss)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            hits += int((guesses.argmax(1) == species).sum())
            losses += (species_loss.item(), place_loss.item(), shot_loss.item())
        means = losses / steps
        print(
            f"epoch {epoch + 1}/{recipe.epochs}: species right {hits / (steps * recipe.batch_size):.3f}, losses: "
            f"species {means[0]:.2f}, place {means[1]:.2f}, circumstances {means[2]:.2f}; "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
    return network.eval()


def save(network: BuiltinNetwork, recipe: Recipe, path: Path) -> None:
    """Write the weights in half precision, with the recipe in the metadata."""
    weights = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
    }
    facts = {
        "made_by": "python -m curation.encoders.make_builtin",
        "recipe": asdict(recipe),
        "images": "generated by curation.demo.rendering; no photograph was used",
        "licence": "Apache-2.0",
    }
    # One entry only: safetensors writes several in random order, and the file would differ from run to run.
    save_file(weights, path, metadata={"made": json.dumps(facts, sort_keys=True)})


def main() -> None:
    """Draw, train, save."""
    parser = argparse.ArgumentParser(description="Make the weights of the builtin encoder from generated images.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file to write (default: the shipped one)")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of torch; another number may give other last bits"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe()
    save(train(recipe, draw_lesson(recipe)), recipe, arguments.out)
    print(f"written: {arguments.out}, {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

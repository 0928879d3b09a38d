"""A simulated annotator on birds: how many errors are found by how many images opened, in our order and at random."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from curation.config import Config, EmbeddingConfig, ReviewConfig
from curation.flow import run_stages
from curation.review.deciding import confirm_page
from curation.review.pages import next_page
from curation.review.values import Tile, Verdict
from curation.stages.ingest import ingest
from curation.store.category_ids import category_ids, number_categories
from curation.store.connection import catalog
from curation.store.journal import journal
from curation.store.noise import read_category_noise, read_noise_estimates, replace_noise
from curation.store.samples import read_samples
from curation.store.snapshot import publish_snapshot
from curation.values import DecisionAction, Role
from curation.workspace import Workspace, create_workspace, open_workspace

RIGHT = 0.9  # of the answers
SEEDS = (0, 1, 2)
OPENED = (100, 200, 300, 400, 600, 800)
SIZES = (60, 12)  # a category of birds has 33 images: on a page of 60 all of them are opened, whatever their order
CONFIG = Config(review=ReviewConfig(overlap=0, gold=0))
_NAME = "simulated"


@dataclass(frozen=True, slots=True)
class Opened:
    """Every image that was opened, in order: whether its category is wrong, and whether the annotator said so."""

    wrong: list[bool]
    called_wrong: list[bool]


def figures(data: Path, cache: Path) -> list[dict[str, Any]]:
    """Errors found on birds after so many images: means over the seeds, and the share of all errors."""
    workspace, truth = _birds(data / "data" / "birds", data / "weights", cache)
    errors = sum(category != true for category, true in truth.values())
    opened = {f"ours by {size}": [review(workspace, truth, size, seed) for seed in SEEDS] for size in SIZES}
    _shuffle_probabilities(workspace)
    opened["random"] = [review(workspace, truth, SIZES[0], seed) for seed in SEEDS]
    most = min(len(one.wrong) for of_order in opened.values() for one in of_order)
    rows = []
    for number in (*(count for count in OPENED if count < most), most):
        found = {order: np.mean([found_after(one, number) for one in of_order]) for order, of_order in opened.items()}
        row: dict[str, Any] = {"images opened": number}
        for order, count in found.items():
            row |= {f"errors found, {order}": float(count), f"share, {order}": float(count / errors)}
        rows.append(row)
    return rows


def review(workspace: Workspace, truth: Mapping[str, tuple[str, str]], size: int, seed: int) -> Opened:
    """Review everything that the queue gives, on a journal without decisions; `truth`: id -> (web, true category)."""
    _forget_decisions(workspace)
    with journal(workspace.journal) as connection:
        known = set(category_ids(connection))
    chance = np.random.default_rng(seed)
    opened = Opened([], [])
    while (page := next_page(workspace, CONFIG, _NAME, size=size)) is not None:
        verdicts = [
            answer(tile, truth[tile.sample_id][1], known, is_right=chance.random() < RIGHT) for tile in page.tiles
        ]
        confirm_page(workspace, page, _NAME, verdicts)
        opened.wrong.extend(tile.web_category != truth[tile.sample_id][1] for tile in page.tiles)
        opened.called_wrong.extend(verdict.action is not DecisionAction.KEEP for verdict in verdicts)
    return opened


def answer(tile: Tile, true: str, known: set[str], *, is_right: bool) -> Verdict:
    """What a person presses who sees what it is, or who takes right for wrong and wrong for right."""
    if (tile.web_category == true) == is_right:
        return Verdict(tile.sample_id, DecisionAction.KEEP, None, "q")
    if is_right and true in known:
        return Verdict(tile.sample_id, DecisionAction.RELABEL, true, "1")
    return Verdict(tile.sample_id, DecisionAction.DROP, None, "e")


def found_after(opened: Opened, images: int) -> int:
    """How many errors were called that among the first `images`."""
    pairs = zip(opened.wrong[:images], opened.called_wrong[:images], strict=True)
    return sum(wrong and called for wrong, called in pairs)


def _birds(folder: Path, weights: Path, cache: Path) -> tuple[Workspace, dict[str, tuple[str, str]]]:
    """The finished workspace and the truth of its novel samples; embeddings in `cache` are used again."""
    encoder = f"timm/mobilenetv2_100@{weights / 'mobilenetv2_100_imagenet.safetensors'}"
    config = CONFIG.model_copy(update={"embedding": EmbeddingConfig(encoder=encoder)})
    root = cache / "birds"
    workspace = open_workspace(root) if (root / "curate.toml").exists() else create_workspace(root, config)
    workspace.catalog.unlink(missing_ok=True)
    shutil.rmtree(workspace.snapshots)
    workspace.snapshots.mkdir()
    _forget_decisions(workspace)
    for role in Role:
        ingest(workspace, folder / role.value, role)
    run_stages(workspace, config, command="benchmark")
    with (folder / "truth.csv").open(newline="") as lines:
        true = {row["image"].removeprefix("novel/"): row["true_category"] for row in csv.DictReader(lines)}
    with catalog(workspace) as connection:
        novel = read_samples(connection, Role.NOVEL)
    return workspace, {sample.sample_id: (sample.category, true[sample.image_id]) for sample in novel}


def _forget_decisions(workspace: Workspace) -> None:
    """Everybody's, of an earlier simulation; which category has which number stays."""
    known: list[str] = []
    if workspace.journal.exists():
        with journal(workspace.journal) as connection:
            known = list(category_ids(connection))
    for path in workspace.root.glob(f"{workspace.journal.name}*"):
        path.unlink()
    with journal(workspace.journal) as connection:
        number_categories(connection, known)


def _shuffle_probabilities(workspace: Workspace) -> None:
    """Publish the workspace with every noise probability at another sample: the same queue in a random order."""
    with catalog(workspace) as connection:
        estimates = list(read_noise_estimates(connection).values())
        order = np.random.default_rng(0).permutation(len(estimates))
        replace_noise(
            connection,
            [
                replace(one, noise_probability=estimates[place].noise_probability)
                for one, place in zip(estimates, order, strict=True)
            ],
            read_category_noise(connection),
        )
    publish_snapshot(workspace)

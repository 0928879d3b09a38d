"""A simulated annotator: which images are looked at, in the tool's order and at random, and what is said of them."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from curation.config import Config
from curation.review.queue import fullest_page
from curation.review_budget import samples_to_review
from curation.values import Decision, DecisionAction, FloatArray
from pipelines.training.batches import Rows
from tests.benchmarks.classification_judges import ids_of
from tests.benchmarks.noise_sets import NoiseTask

# queue: page by page as the review app gives them; budget: what `curate export --budget` lists, the most doubtful of
# those that the cleaned set keeps; random: as many, drawn.
Order = Literal["queue", "budget", "random"]
ORDERS: tuple[Order, ...] = get_args(Order)
RIGHT = 0.95  # of the answers
_ANNOTATOR = "simulated"


def order_of(order: Order, probability: FloatArray, task: NoiseTask, seed: int) -> Rows:
    """All novel images (N,) in the order in which they are looked at, by their noise probability (N,)."""
    if order == "random":
        return np.random.default_rng((seed, 1)).permutation(len(probability))
    if order == "budget":
        kept = np.flatnonzero(probability < Config().flags.noise_probability)
        aside = np.setdiff1d(np.arange(len(probability)), kept)
        best: Rows = kept[samples_to_review(probability[kept], len(kept))]
        return np.concatenate([best, aside])
    return _queue(probability, task)


def _queue(probability: FloatArray, task: NoiseTask) -> Rows:
    codes = np.unique(task.listed, return_inverse=True)[1].astype(np.int32)
    waiting = np.lexsort((-probability, codes))
    pages = []
    while len(waiting):
        page = fullest_page(waiting, codes, probability, Config().review.page_size)
        pages.append(page)
        waiting = waiting[~np.isin(waiting, page)]
    return np.concatenate(pages)


def decide(rows: Rows, task: NoiseTask, seed: int) -> dict[str, Decision]:
    """What the annotator decides of the images `rows`: who errs takes right for wrong and wrong for right."""
    ids, known = ids_of(task), set(task.listed.tolist())
    is_right = np.random.default_rng((seed, 2)).random(len(task.listed)) < RIGHT
    return {
        ids[row]: _decision(ids[row], str(task.listed[row]), str(task.true[row]), known, is_right[row]) for row in rows
    }


def _decision(name: str, listed: str, true: str, known: set[str], is_right: bool) -> Decision:
    if (listed == true) == is_right:
        return Decision(name, DecisionAction.KEEP, _ANNOTATOR)
    if is_right and true in known:
        return Decision(name, DecisionAction.RELABEL, _ANNOTATOR, category=true)
    return Decision(name, DecisionAction.DROP, _ANNOTATOR)

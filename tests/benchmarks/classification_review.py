"""A simulated annotator: which images are looked at, in which order, what is said of them, and what that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from curation.config import Config
from curation.review.queue import fullest_page
from curation.review_budget import samples_to_review
from curation.values import Decision, DecisionAction, FloatArray
from pipelines.classification.config import MethodName
from pipelines.classification.methods import Codes, Columns, find_targets
from pipelines.training.batches import Rows
from tests.benchmarks.classification_judges import Believed, ids_of
from tests.benchmarks.noise_sets import NoiseTask

# random: as many, drawn; queue: page by page as the review app gives them; budget: what `curate export --budget` lists,
# the most doubtful of those that the cleaned set keeps; least certain: nearest to its threshold; unsure suggestion:
# what it drops with a suggestion that is not sure, likeliest first, then all by suspicion; likely change: by the
# probability that a right answer changes the cleaned set.
Order = Literal["random", "queue", "budget", "least certain", "unsure suggestion", "likely change"]
ORDERS: tuple[Order, ...] = get_args(Order)
RIGHT = 0.95  # of the answers
_ANNOTATOR = "simulated"
_DROPPED_FROM = Config().flags.noise_probability
_SURE = 0.7  # suggestions that `relabelled` trusts without a review


@dataclass(frozen=True, slots=True)
class Changes:
    """How many samples reviews have brought into a training set, taken out of it, and moved to another category."""

    added: int
    removed: int
    relabelled: int

    @property
    def total(self) -> int:
        return self.added + self.removed + self.relabelled


def order_of(order: Order, columns: Columns, task: NoiseTask, seed: int) -> Rows:
    """All novel images (N,) in the order in which they are looked at, by what is believed of them."""
    probability = columns.noise_probability
    if order == "random":
        return np.random.default_rng((seed, 1)).permutation(len(probability))
    if order == "queue":
        return _queue(probability, task)
    if order == "budget":
        kept = np.flatnonzero(probability < _DROPPED_FROM)
        aside = np.setdiff1d(np.arange(len(probability)), kept)
        best: Rows = kept[samples_to_review(probability[kept], len(kept))]
        return np.concatenate([best, aside])
    if order == "least certain":
        return np.argsort(np.abs(probability - _DROPPED_FROM), kind="stable")
    suggestion = np.where(columns.suggested >= 0, columns.suggested_probability, 0)
    dropped = probability >= _DROPPED_FROM
    if order == "unsure suggestion":
        asked = dropped & (suggestion > 0) & (suggestion < _SURE)
        return np.lexsort((-np.where(asked, suggestion, probability), ~asked))
    return np.argsort(-change_probability(probability, suggestion), kind="stable")


def change_probability(noise: FloatArray, suggestion: FloatArray) -> FloatArray:
    """Probability (N,) that a right answer changes the cleaned set, from those that an image is wrong and shows what is
    suggested.

    A kept image changes it if it is wrong; a dropped one if it is right, or is moved to a known category.
    """
    return np.where(noise < _DROPPED_FROM, noise, np.minimum(1 - noise + suggestion, 1)).astype(np.float32)


def changes(method: MethodName, before: Believed, after: Believed, images: int) -> Changes:
    """What differs between what a method trains on before and after reviews, of so many novel images."""
    old, new = (_trained_as(method, believed, images) for believed in (before, after))
    return Changes(
        added=int(((old < 0) & (new >= 0)).sum()),
        removed=int(((old >= 0) & (new < 0)).sum()),
        relabelled=int(((old >= 0) & (new >= 0) & (old != new)).sum()),
    )


def _trained_as(method: MethodName, believed: Believed, images: int) -> Codes:
    """The category that each image is trained on as (images,), -1 where it is not trained on."""
    codes = np.full(images, -1, dtype=np.int64)
    targets = find_targets(method, believed.columns)
    codes[believed.rows] = np.where(targets.used, targets.targets.argmax(axis=1), -1)
    return codes


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

"""How far the review is, and how long it will take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from curation.config import Config
from curation.current_set import calibration_now
from curation.promise import reviews_needed
from curation.remaining_noise import Calibration, Probabilities
from curation.review.queue import ACTIONS, NONE, ReviewQueue, review_queue
from curation.review.values import ReviewMode
from curation.store.audits import read_audits
from curation.store.decision_history import WorkMoment, work_moments
from curation.store.decisions import latest_decisions
from curation.store.journal import journal
from curation.store.noise import read_category_noise
from curation.store.runs import read_stages
from curation.values import CategoryNoise, DecisionAction
from curation.workspace import Workspace

_KEPT = ACTIONS.index(DecisionAction.KEEP)
_WRONG = (ACTIONS.index(DecisionAction.DROP), ACTIONS.index(DecisionAction.RELABEL))
_UNSURE = ACTIONS.index(DecisionAction.UNSURE)
_LEAST_MINUTES = 1  # of work: two keys pressed in a second would promise 7,000 images an hour


@dataclass(frozen=True, slots=True)
class CategoryProgress:
    """How far one category is.

    Of `samples`, `kept` and `wrong` (dropped, relabelled) are decided; `waiting` still wait for somebody, once or, as
    an overlap, for the second time; `second_look` wait for that, `in_audit` for the audit. `errors_left` are to be
    expected among the undecided. `predicted_noise`, as predicted for all of them, and `found_noise`, the share of wrong
    ones among the decided, are `None` where unknown; the latter is higher while the most suspicious come first.
    """

    category: str
    samples: int
    kept: int
    wrong: int
    waiting: int
    second_look: int
    in_audit: int
    errors_left: float
    predicted_noise: CategoryNoise | None
    found_noise: float | None


@dataclass(frozen=True, slots=True)
class AnnotatorPace:
    """`images` that somebody decided on in `hours` of work; `images_per_hour` is `None` before a minute of it."""

    annotator: str
    images: int
    hours: float
    images_per_hour: float | None


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the work goes, and how much is left until an export keeps `promise` without setting doubtful ones aside.

    `reviews_left` counts images and is `None` where no noise model has spoken; `minutes_left`, of one person, who
    looks at the share that overlaps twice, also without a pace.
    """

    annotators: tuple[AnnotatorPace, ...]
    images_per_hour: float | None
    promise: float
    reviews_left: int | None
    minutes_left: float | None


def progress_by_category(workspace: Workspace, config: Config) -> list[CategoryProgress]:
    """The progress of every novel category, that with most errors left first."""
    queue = review_queue(workspace)
    with queue.snapshot.reading() as connection:
        predicted = {item.category: item for item in read_category_noise(connection)}
    with queue.lock:
        with journal(workspace.journal) as to_journal:
            queue.catch_up(to_journal)
        rows = _progress(queue, config, predicted)
    return sorted(rows, key=lambda row: (-row.errors_left, row.category))


def pace(workspace: Workspace, config: Config) -> Pace:
    """The pace of everyone, by name, and the work left to the promise of the configuration."""
    queue = review_queue(workspace)
    with journal(workspace.journal) as to_journal:
        moments = work_moments(to_journal)
    people = annotator_paces(moments, config.review.silence_minutes * 60)
    images, hours = sum(one.images for one in people), sum(one.hours for one in people)
    per_hour = _per_hour(images, hours)
    left = _reviews_left(workspace, config, queue)
    return Pace(
        annotators=tuple(people),
        images_per_hour=per_hour,
        promise=config.review.promise,
        reviews_left=left,
        minutes_left=None if left is None or not per_hour else 60 * left * (1 + config.review.overlap) / per_hour,
    )


def annotator_paces(moments: Iterable[WorkMoment], silence_s: float) -> list[AnnotatorPace]:
    """The pace of everyone from when they decided, in order of time for each.

    Work is the time between decisions that are no more than `silence_s` apart. What comes first after a longer pause
    has no time that is known, so neither its images nor its time count.
    """
    images: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    before: dict[str, WorkMoment] = {}
    for moment in moments:
        last = before.get(moment.annotator)
        before[moment.annotator] = moment
        elapsed_s = silence_s + 1 if last is None else (moment.at - last.at).total_seconds()
        if elapsed_s <= silence_s:
            images[moment.annotator] += moment.new_samples
            seconds[moment.annotator] += elapsed_s
    return [
        AnnotatorPace(name, images[name], seconds[name] / 3600, _per_hour(images[name], seconds[name] / 3600))
        for name in sorted(before)
    ]


def _per_hour(images: int, hours: float) -> float | None:
    return images / hours if hours * 60 >= _LEAST_MINUTES else None


def _progress(queue: ReviewQueue, config: Config, predicted: Mapping[str, CategoryNoise]) -> Iterable[CategoryProgress]:
    order = queue.order
    waiting = {mode: queue.waiting_for_anyone(config, mode) for mode in ReviewMode}
    undecided = np.isin(queue.counts, (NONE, _UNSURE))
    for code, category in enumerate(order.categories):
        part = order.of_category(code)
        counts = queue.counts[part]
        kept, wrong = int((counts == _KEPT).sum()), int(np.isin(counts, _WRONG).sum())
        yield CategoryProgress(
            category=category,
            samples=len(counts),
            kept=kept,
            wrong=wrong,
            waiting=int(waiting[ReviewMode.CATEGORY][part].sum()),
            second_look=int(waiting[ReviewMode.SECOND_LOOK][part].sum()),
            in_audit=int(waiting[ReviewMode.AUDIT][part].sum()),
            errors_left=float(order.suspicion[part][undecided[part]].sum()),
            predicted_noise=predicted.get(category),
            found_noise=wrong / (kept + wrong) if kept + wrong else None,
        )


def _reviews_left(workspace: Workspace, config: Config, queue: ReviewQueue) -> int | None:
    """Reviews, most suspicious first, until the rest and what was confirmed keep the promise."""
    order = queue.order
    if not order.estimated.all():
        return None
    calibration = _calibration(workspace, config, queue)
    with queue.lock:
        with journal(workspace.journal) as to_journal:
            queue.catch_up(to_journal)
        asked = queue.asked_about(config)
        undecided = np.isin(queue.counts, (NONE, _UNSURE)) & asked
        confirmed = int(np.isin(queue.counts, (_KEPT, ACTIONS.index(DecisionAction.RELABEL))).sum())
    ascending: Probabilities = np.sort(order.suspicion[undecided].astype(np.float64))
    return reviews_needed(ascending, config.review.promise, calibration, confirmed)


def _calibration(workspace: Workspace, config: Config, queue: ReviewQueue) -> Calibration:
    """How far off the noise model may be, from the snapshot of the queue and the journal."""
    with queue.snapshot.reading() as connection:
        stages = read_stages(connection)
    with journal(workspace.journal) as to_journal:
        audits = read_audits(to_journal)
        decisions = latest_decisions(to_journal) if audits else {}
    probabilities = dict(zip(queue.order.sample_ids, queue.order.suspicion.tolist(), strict=True))
    return calibration_now(probabilities, stages, audits, decisions, config)

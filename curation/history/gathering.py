"""The facts of a night, from the published snapshot, the journal and the embeddings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

import numpy as np

from curation.embedding_shards import listed_digests, read_embeddings, shards_of
from curation.history.keeping import novel_ids_of, read_history
from curation.history.mix import Mix, mix_of
from curation.history.night import CategoryNight, NewImages, NightFacts, NoiseLevel, PromiseNight
from curation.history.shift import MOST_OF_A_SIDE, MOST_RATIO, PERMUTATIONS, Shift, embedding_shift
from curation.sites import host_of
from curation.store.connection import Connection
from curation.store.decisions import latest_decisions
from curation.store.journal import journal
from curation.store.nights import (
    IdNumbers,
    NewSample,
    category_counts,
    decisions_by_category,
    earlier_images,
    new_samples,
    novel_id_numbers,
)
from curation.store.noise import read_category_noise
from curation.store.runs import read_stages
from curation.store.samples import count_samples
from curation.store.snapshot import snapshot
from curation.values import CategoryNoise, FloatArray
from curation.workspace import Workspace

_FEWEST_TO_COMPARE = 20  # new images of one category; a shift of fewer says nothing
_MOST_CATEGORIES = 20  # whose own shift is worked out, those with most new images first

_FIRST = "The first night: nothing to compare with."
_LOST = "Which samples there were the night before is not known (its list is lost or damaged): what is new is not told."


@dataclass(frozen=True, slots=True)
class GatheredNight:
    """A night and the ids of its novel samples: what `write_night` keeps."""

    facts: NightFacts
    novel_ids: IdNumbers


@dataclass(frozen=True, slots=True)
class _New:
    """What is new, with the embeddings (N, D) of the new images that can be compared and of earlier ones (M, D)."""

    samples: Sequence[NewSample]
    gone: int | None
    categories: Sequence[str]
    embeddings: FloatArray
    earlier_categories: Sequence[str]
    earlier_embeddings: FloatArray


def night_facts(
    workspace: Workspace,
    *,
    night_id: str,
    started_at: datetime,
    finished_at: datetime,
    status: str = "done",
    durations_s: Mapping[str, float] | None = None,
    promise: PromiseNight | None = None,
    kept: Mapping[str, int] | None = None,
) -> GatheredNight:
    """Gather what the results of a run, as published, say of this night.

    `kept`: novel samples of each web category in the night's export; `promise` what it promised; each `None` where
    there was none. Compared with the newest night before `night_id` in the history. Raises `StoreError` where nothing
    has been published, `EmbeddingError` where an image has lost its embedding.
    """
    with journal(workspace.journal) as connection_to_journal:
        decided = latest_decisions(connection_to_journal).keys()
    with snapshot(workspace) as connection:
        ids = novel_id_numbers(connection)
        new, note = _new(workspace, connection, ids, night_id)
        counts = category_counts(connection)
        decisions = decisions_by_category(connection, decided)
        noise = {item.category: item for item in read_category_noise(connection)}
        total = _total_noise(connection)
        samples = {role: found["samples"] for role, found in count_samples(connection).items()}
    shifts = {} if new is None else _shifts_of_categories(new, night_id)
    by_category = _by_category(new)
    categories = tuple(
        CategoryNight(
            category=item.category,
            images=item.images,
            decisions=decisions.get(item.category, 0),
            flagged=item.flagged,
            noise=_level(noise[item.category]) if item.category in noise else None,
            kept=None if kept is None else kept.get(item.category, 0),
            new=None if new is None else new_images_of(by_category.get(item.category, ())),
            shift=shifts.get(item.category),
        )
        for item in counts
    )
    facts = NightFacts(
        night_id=night_id,
        started_at=started_at,
        finished_at=finished_at,
        status=status,
        samples=samples,
        images=sum(item.images for item in counts),
        unreadable=sum(item.unreadable for item in counts),
        flagged=sum(item.flagged for item in counts),
        decisions=sum(decisions.values()),
        categories=categories,
        noise=total,
        new=None if new is None else new_images_of(new.samples),
        gone=None if new is None else new.gone,
        promise=promise,
        shift=None if new is None else _shift(new, new.categories, new.embeddings, night_id),
        sites=None if new is None else _mix(host_of(item.source_url) for item in new.samples),
        queries=None if new is None else _mix((item.query or "").strip() for item in new.samples),
        durations_s=dict(durations_s or {}),
        note=note,
    )
    return GatheredNight(facts, ids)


def new_images_of(samples: Sequence[NewSample]) -> NewImages:
    """Count new samples and average their noise probabilities."""
    judged = np.array([item.noise_probability for item in samples if item.noise_probability is not None], np.float64)
    return NewImages(
        images=len(samples),
        unreadable=sum(item.sha256 is None for item in samples),
        judged=len(judged),
        noise_rate=float(judged.mean()) if len(judged) else None,
        noise_error=float(judged.std(ddof=1) / np.sqrt(len(judged))) if len(judged) > 1 else None,
    )


def _new(workspace: Workspace, connection: Connection, ids: IdNumbers, night_id: str) -> tuple[_New | None, str]:
    """What is new since the night before, or `None` and why that is not known."""
    earlier = read_history(workspace).before(night_id)
    if not earlier:
        return None, _FIRST
    known = novel_ids_of(workspace, earlier[-1].night_id)
    if known is None:
        return None, _LOST
    new_ids = np.setdiff1d(ids, known, assume_unique=True)
    samples = new_samples(connection, new_ids)
    gone = len(np.setdiff1d(known, ids, assume_unique=True))
    here = _at_most([(item.category, item.sha256) for item in samples if item.sha256 is not None], night_id)
    most = {name: MOST_RATIO * number for name, number in Counter(name for name, _ in here).items()}
    there = earlier_images(connection, new_ids, most, night_id)
    return _with_embeddings(workspace, connection, samples, gone, here, there), ""


def _with_embeddings(
    workspace: Workspace,
    connection: Connection,
    samples: Sequence[NewSample],
    gone: int,
    here: Sequence[tuple[str, str]],
    there: Sequence[tuple[str, str]],
) -> _New:
    embedded = read_stages(connection).get("embed")
    nothing = np.zeros((0, 0), dtype=np.float32)
    if embedded is None or not here or not there:
        return _New(samples, gone, (), nothing, (), nothing)
    shards = shards_of(workspace.embeddings, embedded.summary["encoder"])
    listed = listed_digests(shards)  # an image that came after the embeddings of this run has none yet
    here, there = ([item for item in side if item[1] in listed] for side in (here, there))
    if not here or not there:
        return _New(samples, gone, (), nothing, (), nothing)
    embeddings = read_embeddings(shards, [digest for _, digest in (*here, *there)])
    return _New(
        samples,
        gone,
        [name for name, _ in here],
        embeddings[: len(here)],
        [name for name, _ in there],
        embeddings[len(here) :],
    )


def _at_most(images: list[tuple[str, str]], salt: str) -> list[tuple[str, str]]:
    """As many of the new images as are compared, at random: after a long pause there may be very many."""
    if len(images) <= MOST_OF_A_SIDE:
        return images
    rows = np.random.default_rng(_seed(salt)).choice(len(images), size=MOST_OF_A_SIDE, replace=False)
    return [images[row] for row in np.sort(rows)]


def _shifts_of_categories(new: _New, night_id: str) -> dict[str, Shift]:
    found = {}
    names = np.array(new.categories)
    for name, number in Counter(new.categories).most_common(_MOST_CATEGORIES):
        if number >= _FEWEST_TO_COMPARE:
            rows = names == name
            shift = _shift(new, [name] * number, new.embeddings[rows], night_id, permutations=PERMUTATIONS // 5)
            if shift is not None and shift.new >= _FEWEST_TO_COMPARE:
                found[name] = shift
    return found


def _shift(
    new: _New, categories: Sequence[str], embeddings: FloatArray, night_id: str, permutations: int = PERMUTATIONS
) -> Shift | None:
    numbers = {name: number for number, name in enumerate(sorted({*categories, *new.earlier_categories}))}
    return embedding_shift(
        embeddings,
        new.earlier_embeddings,
        np.array([numbers[name] for name in categories], dtype=np.int64),
        np.array([numbers[name] for name in new.earlier_categories], dtype=np.int64),
        permutations=permutations,
        seed=_seed(night_id),
    )


def _seed(text: str) -> int:
    """The same night draws the same."""
    return crc32(text.encode())


def _by_category(new: _New | None) -> dict[str, list[NewSample]]:
    found: dict[str, list[NewSample]] = defaultdict(list)
    for sample in () if new is None else new.samples:
        found[sample.category].append(sample)
    return found


def _mix(names: Iterable[str]) -> Mix | None:
    listed = list(names)
    return mix_of(listed) if listed else None


def _level(found: CategoryNoise) -> NoiseLevel:
    return NoiseLevel(found.noise_rate, found.low, found.high)


def _total_noise(connection: Connection) -> NoiseLevel | None:
    state = read_stages(connection).get("noise")
    if state is None or "noise rate" not in state.summary:
        return None
    summary = state.summary
    return NoiseLevel(
        float(summary["noise rate"]), float(summary["noise rate, low"]), float(summary["noise rate, high"])
    )

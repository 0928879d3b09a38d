"""Made noise is what it says: every image once, true categories true, outliers from outside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.noise.tasks import HABITS, OUTLIER, PseudoTask, TaskShape, category_affinity, make_task, task_shape
from tests.noise_worlds import base_world

WORLD = base_world()
CODES = np.array([int(name.removeprefix("base ")) for name in WORLD.categories])
AFFINITY = category_affinity(WORLD.embeddings, CODES)


def made(shape: TaskShape, rate: float, seed: int, candidates: list[int] | None = None) -> PseudoTask:
    chosen = list(range(10)) if candidates is None else candidates
    return make_task(CODES, chosen, AFFINITY, shape, rate, HABITS[seed % 3], np.random.default_rng(seed))


@settings(max_examples=40)
@given(
    categories=st.integers(1, 20),
    size=st.integers(1, 40),
    rate=st.floats(0.0, 0.6),
    seed=st.integers(0, 10_000),
    candidates=st.integers(1, 12),
)
def test_make_task__laws(categories: int, size: int, rate: float, seed: int, candidates: int) -> None:
    task = made(TaskShape(categories, (size,)), rate, seed, list(range(candidates)))
    assert len(set(task.rows.tolist())) == len(task.rows)
    assert task.categories == max(1, min(categories, candidates * 3 // 4))
    assert set(task.codes.tolist()) <= set(range(task.categories))
    assert set(CODES[task.rows]) <= set(range(candidates))
    # Images of one true category come from one base category, outliers from none of those.
    origins = {code: set(CODES[task.rows[task.true == code]]) for code in set(task.true.tolist())}
    assert all(len(found) == 1 for code, found in origins.items() if code != OUTLIER)
    task_categories = {next(iter(found)) for code, found in origins.items() if code != OUTLIER}
    assert not origins.get(OUTLIER, set()) & task_categories
    assert np.bincount(task.codes, minlength=task.categories).max() <= size


def test_make_task__the_noise_rate_is_about_the_one_asked_for() -> None:
    for rate in (0.05, 0.3, 0.6):
        shares = [made(TaskShape(8, (20,)), rate, seed).wrong.mean() for seed in range(30)]
        assert np.mean(shares) == pytest.approx(rate, abs=0.05)


def test_make_task__flipped_images_look_like_where_they_are_put() -> None:
    task_affinity = []
    for seed in range(20):
        task = made(TaskShape(8, (20,)), 0.3, seed)
        flips = task.wrong & (task.true != OUTLIER)
        homes = {code: int(CODES[task.rows[task.true == code]][0]) for code in set(task.true[task.true >= 0].tolist())}
        for row, code, true in zip(task.rows[flips], task.codes[flips], task.true[flips], strict=True):
            if code in homes:
                others = AFFINITY[homes[true] == CODES, homes[code]]
                task_affinity.append((others < AFFINITY[row, homes[code]]).mean())
    assert np.mean(task_affinity) > 0.55  # 0.5: drawn without looking


def test_task_shape__is_capped_by_the_base_and_steady() -> None:
    assert task_shape([3] * 7, [30] * 40) == TaskShape(8, (3,) * 5)
    assert task_shape([1000] * 10, [100] * 100).sizes == (100,) * 5
    assert task_shape([50] * 400, [30] * 30).categories == 7
    assert task_shape([], [20] * 12).categories == 3
    assert task_shape([200] * 20, [300] * 90) == task_shape([*[201] * 20], [300] * 90)

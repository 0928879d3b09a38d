"""The correcting probe finds planted noise, works where little is given, and believes people."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from curation.noise.probe import Confusion, ProbeResult, correcting_probe
from curation.noise.ridge import LeaveOneOutRidge
from tests.noise_worlds import World, base_world, novel_world


def probe(world: World, confusion: Confusion = "pairs", possible: np.ndarray | None = None) -> ProbeResult:
    names = sorted(set(world.categories))
    codes = np.array([names.index(name) for name in world.categories])
    predict = LeaveOneOutRidge(world.embeddings, base_world().embeddings[::6], 1.0)
    return correcting_probe(predict, codes, len(names), confusion, possible)


def wrong_by(result: ProbeResult, world: World) -> np.ndarray:
    names = sorted(set(world.categories))
    own: np.ndarray = result.posterior[np.arange(len(world.true)), [names.index(name) for name in world.categories]]
    return 1 - own


@pytest.mark.parametrize("confusion", ["pairs", "uniform"])
def test_posterior__ranks_wrong_images_first(confusion: Confusion) -> None:
    world = novel_world(noise=0.4)
    result = probe(world, confusion)
    assert roc_auc_score(world.wrong, wrong_by(result, world)) > 0.87
    assert roc_auc_score(world.wrong, wrong_by(result, world)) > roc_auc_score(world.wrong, result.margin)


def test_posterior__is_a_distribution_over_categories_and_none_of_them() -> None:
    result = probe(novel_world(categories=4))
    for values in (result.posterior, result.image_only, result.beliefs):
        assert values.shape[1] == 5 and values.min() >= 0
        assert values.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_posterior__one_category_and_tiny_ones() -> None:
    alone = novel_world(categories=1, size=40)
    assert roc_auc_score(alone.wrong, wrong_by(probe(alone), alone)) > 0.8
    tiny = novel_world(categories=5, size=3)
    assert np.isfinite(probe(tiny).posterior).all()


def test_beliefs__decisions_leave_only_what_is_possible_and_tell_others() -> None:
    world = novel_world(noise=0.3)
    names = sorted(set(world.categories))
    possible = np.ones((len(world.true), len(names) + 1), dtype=bool)
    flips = [row for row in np.flatnonzero(world.wrong) if world.true[row] in names][:5]
    for row in flips:
        possible[row] = False
        possible[row, names.index(world.true[row])] = True
    told, untold = probe(world, possible=possible), probe(world)
    for row in flips:
        assert told.beliefs[row, names.index(world.true[row])] == pytest.approx(1)
    assert np.abs(told.posterior - untold.posterior).max() > 1e-3

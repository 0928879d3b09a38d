"""Losses and batches of the training pipelines, against plain loops, published values and the laws they obey."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from torch import nn

from pipelines.training.averaging import new_average, update_average
from pipelines.training.batches import balanced_batches, shuffled_batches
from pipelines.training.losses import (
    at_prior,
    cosine_graph_loss,
    graph_loss,
    label_mask,
    pair_prior,
    relax,
    soft_cross_entropy,
    squared_distances,
)
from pipelines.training.temperature import fit_temperature, refinement_loss
from tests import reference

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, images: int = 5, width: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(values (B, W), targets (B, W), weights (B,), affinity (B, B))."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(images, width, generator=random)
    targets = torch.rand(images, width, generator=random)
    affinity = torch.rand(images, images, generator=random)
    return values, targets / targets.sum(1, keepdim=True), torch.rand(images, generator=random) * 2, affinity


# ---- the weighted loss


@given(SEEDS)
def test_soft_cross_entropy__agrees_with_plain_loops(seed: int) -> None:
    logits, targets, weights, _ = drawn(seed)
    expected = reference.soft_cross_entropy(logits.tolist(), targets.tolist(), weights.tolist())
    assert float(soft_cross_entropy(logits, targets, weights)) == pytest.approx(expected, rel=1e-5)


@given(SEEDS)
def test_soft_cross_entropy__does_not_depend_on_the_order_of_the_batch(seed: int) -> None:
    logits, targets, weights, _ = drawn(seed)
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))
    other = soft_cross_entropy(logits[order], targets[order], weights[order])
    assert float(other) == pytest.approx(float(soft_cross_entropy(logits, targets, weights)), rel=1e-5)


def test_soft_cross_entropy__one_hot_is_the_usual_one() -> None:
    logits, *_ = drawn(3)
    codes = torch.tensor([0, 2, 1, 1, 0])
    targets = nn.functional.one_hot(codes, 3).float()
    usual = nn.functional.cross_entropy(logits, codes)
    assert float(soft_cross_entropy(logits, targets, torch.ones(5))) == pytest.approx(float(usual), rel=1e-6)


def test_soft_cross_entropy__weight_zero_has_no_gradient() -> None:
    logits, targets, weights, _ = drawn(1)
    logits.requires_grad_()
    weights[2] = 0
    soft_cross_entropy(logits, targets, weights).backward()
    assert logits.grad is not None and not logits.grad[2].any() and logits.grad[1].any()


def test_soft_cross_entropy__computes_in_float32() -> None:
    logits, targets, weights, _ = drawn(1)
    assert soft_cross_entropy(logits.bfloat16(), targets, weights).dtype == torch.float32


# ---- the graph loss

RELAXED = {  # methods K.2
    -8.0: (0, 0.5509, 0.8650, 0.9820, 0.9979, 0.9996, 1),
    -4.0: (0, 0.3358, 0.6439, 0.8808, 0.9679, 0.9908, 1),
    -1.0: (0, 0.1505, 0.3499, 0.6225, 0.8347, 0.9388, 1),
    0.0: (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1),
    1.0: (0, 0.0612, 0.1653, 0.3775, 0.6501, 0.8495, 1),
    4.0: (0, 0.0092, 0.0321, 0.1192, 0.3561, 0.6642, 1),
    8.0: (0, 0.0004, 0.0021, 0.0180, 0.1350, 0.4491, 1),
}


@pytest.mark.parametrize("mu", RELAXED)
def test_relax__published_values(mu: float) -> None:
    similarity = torch.tensor([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1])
    torch.testing.assert_close(relax(similarity, mu), torch.tensor(RELAXED[mu], dtype=torch.float32), atol=6e-5, rtol=0)


@given(st.floats(0, 1, width=32), st.floats(0.001, 0.999))
def test_at_prior__agrees_with_plain_odds(similarity: float, prior: float) -> None:
    found = float(at_prior(torch.tensor(similarity), prior))
    assert found == pytest.approx(reference.at_prior(similarity, prior), rel=1e-4, abs=1e-6)
    assert float(at_prior(torch.tensor(similarity), 0.5)) == pytest.approx(similarity, rel=1e-5)


def test_at_prior__a_tenth_of_the_pairs() -> None:
    found = at_prior(torch.tensor([0, 0.5, 0.9, 1.0]), 0.1)
    torch.testing.assert_close(found, torch.tensor([0, 0.1, 0.5, 1.0]))


def test_at_prior__calibrated_where_similarity_was_so_among_equally_many_pairs() -> None:
    """Of pairs whose logit is drawn N(-1, 1.5) or, in `prior` of them, N(1, 1.5): log-odds 4/3 x the logit."""
    generator, prior, pairs = torch.Generator().manual_seed(0), 0.05, 200_000
    same = torch.rand(pairs, generator=generator) < prior
    logit = torch.randn(pairs, generator=generator) * 1.5**0.5 + torch.where(same, 1.0, -1.0)
    similarity = torch.sigmoid(logit * 4 / 3)
    assert float(at_prior(similarity, prior).mean()) == pytest.approx(float(same.float().mean()), abs=0.002)
    assert float(similarity.mean()) > 4 * prior


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_pair_prior__agrees_with_plain_loops(codes: list[int]) -> None:
    found = pair_prior(torch.tensor(codes))
    assert found == pytest.approx(reference.pair_prior(codes))
    assert 0 < found < 1


# Three images of K.3: two of one category, one of another.
FEATURES = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
AFFINITY = torch.tensor([[1, 0.5, 0.25], [0.5, 1, 0], [0.75, 0, 1]])
CODES = torch.tensor([0, 0, 1])


@pytest.mark.parametrize(("mu", "eye", "expected"), [(0, 1, 0.33333), (0, 0, 0.22222), (-4, 1, 0.57056)])
def test_graph_loss__published_values(mu: float, eye: float, expected: float) -> None:
    affinity = relax(AFFINITY, mu) * label_mask(CODES, eye)
    assert float(graph_loss(FEATURES, affinity)) == pytest.approx(expected, abs=6e-6)


@given(SEEDS, st.sampled_from([-4.0, 0.0, 4.0]), st.sampled_from([0.0, 0.3, 1.0]))
def test_graph_loss__agrees_with_plain_loops(seed: int, mu: float, eye: float) -> None:
    features, _, _, affinity = drawn(seed)
    codes = torch.tensor([0, 1, 1, 2, 0])
    expected = reference.graph_loss(features.tolist(), affinity.tolist(), codes.tolist(), mu, eye)
    found = graph_loss(features, relax(affinity, mu) * label_mask(codes, eye))
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(SEEDS)
def test_cosine_graph_loss__agrees_with_plain_loops(seed: int) -> None:
    features, _, _, affinity = drawn(seed)
    expected = reference.cosine_graph_loss(features.tolist(), affinity.tolist())
    assert float(cosine_graph_loss(features, affinity)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(SEEDS)
def test_graph_loss__does_not_depend_on_the_order_of_the_batch(seed: int) -> None:
    features, _, _, affinity = drawn(seed)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    permuted = graph_loss(features[order], affinity[order][:, order])
    assert float(permuted) == pytest.approx(float(graph_loss(features, affinity)), rel=1e-4)


def test_graph_loss__equal_features_cost_nothing_and_pull_nowhere() -> None:
    features = torch.full((4, 3), 0.7, requires_grad=True)
    loss = graph_loss(features, torch.rand(4, 4))
    loss.backward()
    assert loss.detach().item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(features.grad, torch.zeros(4, 3), atol=1e-6, rtol=0)


def test_graph_loss__pulls_similar_images_together() -> None:
    features = torch.tensor([[0.0], [1.0], [5.0]], requires_grad=True)
    graph_loss(features, torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])).backward()
    assert features.grad is not None
    assert features.grad[0] < 0 < features.grad[1]  # a step down the gradient moves them towards each other
    assert features.grad[2] == 0


def test_squared_distances__of_features_in_half_precision_are_float32_and_not_negative() -> None:
    features = torch.full((3, 8), 100.0).bfloat16()
    distances = squared_distances(features)
    assert distances.dtype == torch.float32 and (distances >= 0).all()


# ---- batches


@given(st.integers(1, 40), st.integers(1, 50), SEEDS, st.integers(0, 5))
def test_shuffled_batches__take_each_row_at_most_once(rows: int, size: int, seed: int, epoch: int) -> None:
    given_rows = np.arange(100, 100 + rows)
    batches = shuffled_batches(given_rows, size, seed=seed, epoch=epoch)
    taken = np.concatenate(batches)
    assert len(set(taken.tolist())) == len(taken) and set(taken) <= set(given_rows)
    assert [len(batch) for batch in batches] == ([size] * (rows // size) or [rows])


def test_shuffled_batches__depend_on_seed_and_epoch_alone() -> None:
    rows = np.arange(50)
    one, again = (np.concatenate(shuffled_batches(rows, 10, seed=1, epoch=2)) for _ in range(2))
    assert (one == again).all()
    for seed, epoch in ((1, 3), (2, 2)):
        assert (one != np.concatenate(shuffled_batches(rows, 10, seed=seed, epoch=epoch))).any()


def test_balanced_batches__draw_categories_evenly_and_images_within_them() -> None:
    codes = np.repeat([4, 7, 9], [300, 90, 10])  # not 0 to C - 1, and far from even
    rows = np.random.default_rng(0).permutation(400)
    drawn_rows = np.concatenate(
        [batch for epoch in range(30) for batch in balanced_batches(rows, codes, 40, seed=0, epoch=epoch)]
    )
    code_of = dict(zip(rows.tolist(), codes.tolist(), strict=True))
    counts = Counter(code_of[row] for row in drawn_rows.tolist())
    # 12,000 draws of 3 categories: 4,000 each, standard deviation 52; of the ten images of the last, 400 and 19.
    assert all(abs(count - 4000) < 5 * 52 for count in counts.values()) and len(counts) == 3
    rare = Counter(row for row in drawn_rows.tolist() if code_of[row] == 9)
    assert len(rare) == 10 and all(abs(count - counts[9] / 10) < 5 * 19 for count in rare.values())


def test_balanced_batches__as_many_as_shuffled_ones() -> None:
    rows = np.arange(105)
    assert len(balanced_batches(rows, rows % 3, 10, seed=0, epoch=0)) == len(
        shuffled_batches(rows, 10, seed=0, epoch=0)
    )


# ---- averaged weights, temperature


def test_update_average__first_step_copies_then_follows_slowly() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    average = new_average(network, 0.9)
    update_average(average, network, 0.9)
    assert average.module.weight.item() == 1.0
    nn.init.constant_(network.weight, 2.0)
    update_average(average, network, 0.9)
    assert average.module.weight.item() == pytest.approx(1 + (1 - 2 / 11))  # decay (1 + n) / (10 + n) after n = 1
    for _ in range(200):
        update_average(average, network, 0.9)
    assert average.module.weight.item() == pytest.approx(2.0, abs=1e-4)


def test_update_average__without_decay_is_the_network() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = new_average(network, 0.0)
    for step in range(3):
        network(torch.randn(8, 2, generator=torch.Generator().manual_seed(step)))
        update_average(average, network, 0.0)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(average.module.state_dict()[name], tensor)


def test_fit_temperature__finds_the_one_that_was_applied() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 4)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = np.array([random.choice(4, p=row) for row in chances])
    found = fit_temperature((3 * logits).astype(np.float32), codes, np.ones(4000, dtype=np.float32))
    assert found == pytest.approx(3, rel=0.05)


def test_fit_temperature__looks_at_weighted_images_only_and_at_no_handful() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(200, 3)).astype(np.float32)
    codes = logits.argmax(axis=1)
    codes[100:] = (codes[100:] + 1) % 3
    weights = np.repeat([1.0, 0.0], 100).astype(np.float32)
    assert fit_temperature(logits, codes, weights) < 0.2  # all that count are right: as sure as may be
    assert fit_temperature(logits[:19], codes[:19], weights[:19]) == 1.0


@given(st.integers(0, 10_000), st.floats(0.2, 5))
def test_refinement_loss__minds_who_is_right_not_how_sure_the_network_is(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(100, 4)).astype(np.float32)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = np.array([random.choice(4, p=row / row.sum()) for row in chances])
    weights = random.uniform(0.1, 1, 100).astype(np.float32)
    found = refinement_loss(logits, codes, weights)
    assert refinement_loss(scale * logits, codes, weights) == pytest.approx(found, rel=1e-4)
    own = log_softmax(logits, axis=1)[np.arange(100), codes]
    assert found <= -float(np.average(own, weights=weights)) + 1e-6  # no worse than as it is
    shuffled = random.permutation(codes)
    if (shuffled != codes).mean() > 0.5:
        assert refinement_loss(logits, shuffled, weights) > found


def test_refinement_loss__of_two_that_are_as_often_right_the_one_that_is_less_sure_where_it_errs() -> None:
    codes = np.zeros(40, dtype=np.int64)
    margin = np.where(np.arange(40) < 10, -1.0, 4.0)  # ten errors, and few of them grave
    mild = np.stack([margin, np.zeros(40)], axis=1).astype(np.float32)
    grave = np.stack([np.where(margin < 0, -4.0, margin), np.zeros(40)], axis=1).astype(np.float32)
    ones = np.ones(40, dtype=np.float32)
    assert refinement_loss(mild, codes, ones) < refinement_loss(grave, codes, ones) - 0.05
    few = refinement_loss(mild[:19], codes[:19], ones[:19])  # too few for a temperature
    assert few == pytest.approx(float(np.logaddexp(0, -margin[:19]).mean()), rel=1e-5)

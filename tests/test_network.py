from __future__ import annotations

import numpy as np
import pytest
import torch

from curation.similarity.network import (
    HEADS,
    DomainClassifier,
    Head,
    SimilarityNetwork,
    category_codes,
)
from curation.similarity.whitening import choose_shrinkage, fit_whitening
from tests import reference


def _network(head: Head, dimension: int = 5) -> SimilarityNetwork:
    """A network whose BN statistics and whitening are no identities."""
    torch.manual_seed(0)
    network = SimilarityNetwork(head, dimension, projected=3)
    network.centre.uniform_(-0.1, 0.1)
    network.whitening += 0.3 * torch.randn(dimension, 3)
    network.train()
    network.pair_outputs(network.standardise(torch.randn(1, 12, dimension)))
    return network.eval()


def _enumerate_pairs(images: torch.Tensor) -> torch.Tensor:
    """Row i * M + j is concat(f_j, f_i)."""
    size = len(images)
    return torch.stack([torch.cat([images[k % size], images[k // size]]) for k in range(size * size)])


@pytest.mark.parametrize("head", HEADS)
def test_forward__equals_plain_loops(head: Head) -> None:
    network, images = _network(head), torch.randn(3, 5)
    similarity = torch.softmax(network(_enumerate_pairs(images)), dim=1)[:, 1].view(3, 3)
    expected = reference.pair_similarities(network, images, images)
    np.testing.assert_allclose(similarity.detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("training", [False, True])
def test_pair_outputs__equals_the_published_enumeration(head: Head, training: bool) -> None:
    network = _network(head).train(training)
    images = torch.randn(2, 4, 5)
    expected = network(torch.cat([_enumerate_pairs(group) for group in images]))
    outputs = network.pair_outputs(network.standardise(images))
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)
    relation = network.pair_relations(network.standardise(images))
    assert relation.shape == (2 * 4 * 4, network.relation_width)
    torch.testing.assert_close(network.relation_outputs(relation), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("head", "widths"), [("concat2", [20, 2]), ("concat4", [10, 5, 5, 2])])
def test_concat_heads__published_widths(head: Head, widths: list[int]) -> None:
    network = SimilarityNetwork(head, 5)
    layers = [*network.relation_layers, *network.classifier_layers]
    assert [layer.out_features for layer in layers if isinstance(layer, torch.nn.Linear)] == widths
    assert network.relation_width == {"concat2": 20, "concat4": 5}[head]


def test_network__refuses_an_unknown_head() -> None:
    with pytest.raises(ValueError, match="concat2, concat4, metric"):
        SimilarityNetwork("concat3", 5)  # type: ignore[arg-type]


def test_domain_classifier__shape() -> None:
    assert DomainClassifier(6)(torch.randn(7, 6)).shape == (7, 2)


def test_category_codes__sorted_names() -> None:
    assert category_codes(["wren", "auk", "wren"]) == (["auk", "wren"], [1, 0, 1])


def test_fit_whitening__within_category_covariance_becomes_the_identity() -> None:
    generator = np.random.default_rng(0)
    codes = np.repeat(np.arange(6), 200)
    centres = generator.standard_normal((6, 4))
    spread = np.array([3.0, 1.0, 0.3, 0.1])
    rows = (centres[codes] + generator.standard_normal((1200, 4)) * spread).astype(np.float32)
    centre, whitening = fit_whitening(rows, codes, shrinkage=1e-6, projected=4)
    np.testing.assert_allclose(centre, rows.mean(axis=0), atol=1e-5)
    means = np.array([rows[codes == code].mean(axis=0) for code in range(6)])[codes]
    within = np.cov(((rows - means) @ whitening).T, bias=True)
    np.testing.assert_allclose(within, np.eye(4), atol=1e-3)
    total = ((rows - centre) @ whitening).var(axis=0)
    assert (np.diff(total) <= 1e-6).all()  # the most telling direction first


def test_fit_whitening__identical_images_have_a_finite_whitening() -> None:
    rows = np.repeat(np.eye(3, 8, dtype=np.float32), 4, axis=0)
    _, whitening = fit_whitening(rows, np.repeat(np.arange(3), 4), shrinkage=3.0, projected=8)
    assert np.isfinite(whitening).all()


def _chosen_shrinkage(each: int, silent: float, telling: float) -> float:
    """Categories differ in half of 16 directions; deviations within them in the silent and the telling half."""
    generator = np.random.default_rng(0)
    deviations = np.repeat([silent, telling], 8)
    centres = generator.standard_normal((12, 16)) * np.repeat([0.0, 1.0], 8)
    codes, judged_codes = np.repeat(np.arange(6), each), np.repeat(np.arange(6), 10)
    rows = centres[codes] + generator.standard_normal((len(codes), 16)) * deviations
    judged = centres[judged_codes + 6] + generator.standard_normal((60, 16)) * deviations
    return choose_shrinkage(rows.astype(np.float32), codes, judged.astype(np.float32), judged_codes)


def test_choose_shrinkage__little_where_many_images_show_which_directions_are_silent() -> None:
    assert _chosen_shrinkage(each=400, silent=2.0, telling=0.2) <= 0.1


def test_choose_shrinkage__much_where_a_few_images_show_nothing_but_chance() -> None:
    assert _chosen_shrinkage(each=2, silent=0.5, telling=0.5) >= 1

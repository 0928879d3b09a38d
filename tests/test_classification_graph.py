"""The graph of a batch: whose pictures are drawn together, and how strongly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curation.similarity.network import SimilarityNetwork
from curation.similarity.scoring import pair_similarities
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.graph import SimilarityGraph
from tests import reference

EMBEDDINGS = np.eye(6, 4, dtype=np.float32) + np.float32(0.2)  # the last two are alike
EMBEDDINGS /= np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
CODES = torch.tensor([0, 0, 1, 1, 2, 2])
ROWS = np.array([5, 0, 1, 4])  # of six pairs two are of one category: 4 and 5, 0 and 1


def affinity(**options: object) -> tuple[torch.Tensor, torch.Tensor]:
    """That of a batch, and its similarities."""
    network = SimilarityNetwork("metric", 4)
    config = ClassificationConfig.model_validate({"method": "simtrans", **options})
    graph = SimilarityGraph(network, EMBEDDINGS, CODES, config, torch.device("cpu"))
    similarity = pair_similarities(network, EMBEDDINGS[ROWS], EMBEDDINGS[ROWS])
    return graph.affinity(ROWS), torch.from_numpy(similarity)


@pytest.mark.parametrize(("options", "mu"), [({}, -4.0), ({"mu": 0}, 0.0), ({"mu": 4}, 4.0)])
def test_affinity__published(options: dict[str, object], mu: float) -> None:
    found, similarity = affinity(**options)
    expected = [[reference.relax(value, mu) for value in row] for row in similarity.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_affinity__calibrated_for_the_pairs_of_its_batch() -> None:
    found, similarity = affinity(affinity="calibrated")
    prior = reference.pair_prior(CODES[torch.from_numpy(ROWS)].tolist())
    assert prior == pytest.approx((4 + 1) / (12 + 2))
    expected = [[reference.at_prior(value, prior) for value in row] for row in similarity.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-4)
    assert (found < similarity).all()


def test_affinity__calibrated_and_relaxed_where_mu_is_given() -> None:
    calibrated, _ = affinity(affinity="calibrated")
    relaxed, _ = affinity(affinity="calibrated", mu=-4)
    expected = [[reference.relax(value, -4) for value in row] for row in calibrated.tolist()]
    torch.testing.assert_close(relaxed, torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_affinity__pairs_of_other_categories_count_by_eye() -> None:
    whole, _ = affinity()
    masked, _ = affinity(eye=0.25)
    same = CODES[torch.from_numpy(ROWS)][:, None] == CODES[torch.from_numpy(ROWS)]
    torch.testing.assert_close(masked, whole * torch.where(same, 1.0, 0.25))

"""SimiFeat (Zhu, Dong, Liu, "Detecting corrupted labels without training a model to predict", ICML 2022).

Written from its description. Each image has a soft label: how often each category is listed among its k nearest. Voting
flags an image whose most frequent category is another one. Ranking flags, in each category, the share that the HOC
estimator (Zhu, Song, Liu, "Clusterability as an alternative to anchor points", ICML 2021) takes for wrong, those whose
soft label agrees least with the listed category first. Both are repeated over epochs, and what most of them flag is
flagged. The published epochs see new random crops; here embeddings are fixed, so epochs differ in how ties are broken
and, for the ranking, in the published jitter of the share.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from curation.values import FloatArray

K = 10  # published
_EPOCHS = 21  # published
_JITTER = 0.05  # published: the share of each epoch is moved by up to this much
_SHARES = (0.05, 0.95)  # published bounds of the share
_TIE_BREAK = np.float32(1e-4)  # less than any difference between soft labels that is none of rounding
_HOC_STEPS = 500
_HOC_RATE = 0.05
_SURE_START = 4.0  # logit of the diagonal of the first transition matrix: 0.9 for 7 categories, 0.36 for 100

Codes = NDArray[np.int64]


def soft_labels(neighbours: Codes, cosine: FloatArray, codes: Codes, *, itself: bool, weighted: bool) -> FloatArray:
    """Soft labels (N, C) of N images under `codes` (N,) in [0, C) from their `neighbours` (N, k), nearest first.

    `itself`: the image's own category counts as one of the k (the last neighbour is left out). `weighted`: votes weigh
    as much as their cosine, the image itself as much as its nearest.
    """
    every = np.arange(len(codes))[:, None]
    rows, weights = neighbours, cosine if weighted else np.ones_like(cosine)
    if itself:
        rows, weights = np.hstack([every, rows[:, :-1]]), np.hstack([weights[:, :1], weights[:, :-1]])
    labels = np.zeros((len(codes), codes.max() + 1), dtype=np.float32)
    np.add.at(labels, (every, codes[rows]), weights)
    labels /= neighbours.shape[1]
    return labels


def agreement(labels: FloatArray, codes: Codes) -> FloatArray:
    """Cosine (N,) between the soft label (N, C) and the listed category: the published score, low = suspicious."""
    own = labels[np.arange(len(codes)), codes]
    score: FloatArray = own / np.maximum(np.linalg.norm(labels, axis=1), 1e-12)
    return score


def votes(labels: FloatArray, generator: np.random.Generator) -> Codes:
    """The most frequent category of each image in every epoch (epochs, N), ties broken at random."""
    epochs = [
        (labels + _TIE_BREAK * generator.random(labels.shape, dtype=np.float32)).argmax(axis=1) for _ in range(_EPOCHS)
    ]
    return np.stack(epochs)


def flag_by_vote(epochs: Codes, codes: Codes) -> NDArray[np.bool_]:
    """Images (N,) whose vote disagrees with their category in most epochs."""
    flagged: NDArray[np.bool_] = (epochs != codes).mean(axis=0) > 0.5
    return flagged


def flag_by_ranking(
    score: FloatArray, codes: Codes, wrong_share: FloatArray, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Images (N,) with the lowest `score` of their category in most epochs; `wrong_share` (C,) says how many of it."""
    times = np.zeros(len(codes), dtype=np.int64)
    for _ in range(_EPOCHS):
        shares = np.clip(wrong_share + generator.uniform(-_JITTER, _JITTER, len(wrong_share)), *_SHARES)
        ties = generator.random(len(codes))
        for code, share in enumerate(shares):
            members = np.flatnonzero(codes == code)
            ranked = members[np.lexsort((ties[members], score[members]))]
            times[ranked[: round(share * len(members))]] += 1
    flagged: NDArray[np.bool_] = times > _EPOCHS / 2
    return flagged


def estimated_wrong_share(neighbours: Codes, codes: Codes) -> FloatArray:
    """HOC: P(true category is another | listed category) for every category (C,).

    An image and its two nearest are taken to share their true category. Then how often categories are listed alone, in
    pairs and in triples follows from how frequent true categories are and how they come to be listed; both are found by
    gradient descent on the squared differences to the frequencies counted.
    """
    categories = int(codes.max()) + 1
    listed = torch.from_numpy(np.stack([codes, codes[neighbours[:, 0]], codes[neighbours[:, 1]]]))
    counted = [_frequencies(listed[: order + 1], categories) for order in range(3)]
    frequency = torch.zeros(categories, requires_grad=True)
    transition = (_SURE_START * torch.eye(categories)).requires_grad_()
    optimiser = torch.optim.Adam([frequency, transition], lr=_HOC_RATE)
    for _ in range(_HOC_STEPS):
        optimiser.zero_grad()
        expected = _expected(frequency.softmax(0), transition.softmax(1))
        loss = torch.stack([torch.linalg.vector_norm(e - c) for e, c in zip(expected, counted, strict=True)]).sum()
        torch.autograd.backward(loss)
        optimiser.step()
    with torch.no_grad():
        right = frequency.softmax(0) * transition.softmax(1).diagonal() / counted[0].clamp(min=1e-12)
    share: FloatArray = (1 - right).clamp(0, 1).numpy()
    return share


def _frequencies(listed: torch.Tensor, categories: int) -> torch.Tensor:
    """Shares of the tuples of categories listed: (C,), (C, C) or (C, C, C)."""
    order = len(listed)
    place = sum(codes * categories ** (order - 1 - number) for number, codes in enumerate(listed))
    counts = torch.bincount(torch.as_tensor(place), minlength=categories**order).float()
    return (counts / counts.sum()).reshape((categories,) * order)


def _expected(frequency: torch.Tensor, transition: torch.Tensor) -> list[torch.Tensor]:
    """The same shares as they follow from P(true) (C,) and P(listed | true) (C, C)."""
    categories = len(frequency)
    one = frequency[:, None] * transition
    pairs = (transition[:, :, None] * transition[:, None, :]).reshape(categories, -1)
    return [one.sum(dim=0), one.T @ transition, (one.T @ pairs).reshape((categories,) * 3)]

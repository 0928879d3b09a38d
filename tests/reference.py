"""Slow truth: every formula of the similarity room as plain loops over numbers, in float64, without cleverness."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from curation.similarity.network import SimilarityNetwork

Array = NDArray[np.float64]


def _linear(layer: nn.Linear, inputs: list[float]) -> list[float]:
    weight = layer.weight.detach().double().tolist()
    bias = [0.0] * len(weight) if layer.bias is None else layer.bias.detach().double().tolist()
    return [sum(w * x for w, x in zip(row, inputs, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def _batch_norm(layer: nn.BatchNorm1d, inputs: list[float]) -> list[float]:
    assert layer.running_mean is not None and layer.running_var is not None
    outputs = []
    statistics = zip(layer.running_mean, layer.running_var, layer.weight.detach(), layer.bias.detach(), strict=True)
    for x, (mean, variance, gain, bias) in zip(inputs, statistics, strict=True):
        outputs.append((x - float(mean)) / math.sqrt(float(variance) + layer.eps) * float(gain) + float(bias))
    return outputs


def unit(vector: list[float]) -> list[float]:
    norm = math.sqrt(sum(x * x for x in vector))
    return [x / norm for x in vector]


def standardise(network: SimilarityNetwork, embedding: Any) -> list[float]:
    """unit((f - centre) @ whitening)."""
    centred = [float(x) - float(c) for x, c in zip(embedding, network.centre, strict=True)]
    whitening = network.whitening.double().tolist()
    return unit([sum(centred[k] * whitening[k][out] for k in range(len(centred))) for out in range(network.projected)])


def pair_similarity(network: SimilarityNetwork, row: Any, column: Any) -> float:
    """s(row, column): the whole head on concat(f_column, f_row), softmax, index 1."""
    first, second = standardise(network, column), standardise(network, row)
    if network.head == "metric":
        a, b = unit(_linear(network.projection, first)), unit(_linear(network.projection, second))
        cosine = sum(x * y for x, y in zip(a, b, strict=True))
        outputs = [0.0, math.exp(network.log_scale.item()) * cosine + network.bias.item()]
    else:
        outputs = first + second
        for layer in (*network.relation_layers, *network.classifier_layers):
            if isinstance(layer, nn.Linear):
                outputs = _linear(layer, outputs)
            elif isinstance(layer, nn.BatchNorm1d):
                outputs = _batch_norm(layer, outputs)
            else:
                outputs = [max(x, 0.0) for x in outputs]
    different, similar = outputs
    return math.exp(similar) / (math.exp(different) + math.exp(similar))


def pair_similarities(network: SimilarityNetwork, rows: Any, columns: Any) -> Array:
    return np.array([[pair_similarity(network, row, column) for column in columns] for row in rows])


def mean_similarities(
    network: SimilarityNetwork, samples: Any, members: Any, member_category: Any, self_index: Any, n_categories: int
) -> Array:
    """Mean over the members j of a category, j not the sample, of (s_ij + s_ji) / 2."""
    means = np.full((len(samples), n_categories), np.nan)
    for i, sample in enumerate(samples):
        for category in range(n_categories):
            values = [
                (pair_similarity(network, sample, member) + pair_similarity(network, member, sample)) / 2
                for j, member in enumerate(members)
                if member_category[j] == category and j != self_index[i]
            ]
            if values:
                means[i, category] = sum(values) / len(values)
    return means


def own_similarity(similarity: Any, *, symmetric: bool, top_share: float, self_pairs: bool) -> list[float]:
    """A.2.5: mean of the floor(rho * n) largest partners of a row, averaged with that of the column."""
    size = len(similarity)

    def largest(values: list[float]) -> float:
        count = max(1, math.floor(top_share * len(values) + 1e-9))
        return sum(sorted(values, reverse=True)[:count]) / count

    result = []
    for i in range(size):
        partners = [j for j in range(size) if self_pairs or j != i]
        row = largest([float(similarity[i][j]) for j in partners])
        column = largest([float(similarity[j][i]) for j in partners])
        result.append((row + column) / 2 if symmetric else row)
    return result


def similarity_loss(outputs: Any, similar: Any, similar_weight: float) -> float:
    """A.2.2 with the class weight of similar pairs: sum of weighted cross-entropies over the sum of the weights."""
    positives = sum(similar)
    weight = (len(similar) - positives) / positives if similar_weight == 0 else similar_weight
    total = weights = 0.0
    for (different, alike), is_similar in zip(outputs, similar, strict=True):
        log_sum = math.log(math.exp(different) + math.exp(alike))
        loss = log_sum - (alike if is_similar else different)
        total += loss * (weight if is_similar else 1.0)
        weights += weight if is_similar else 1.0
    return float(total / weights)


def average_precision(values: Any, relevant: Any) -> float:
    """Mean over the relevant values of the precision among all values at least as large."""
    precisions = []
    for value, is_relevant in zip(values, relevant, strict=True):
        if is_relevant:
            above = [r for v, r in zip(values, relevant, strict=True) if v >= value]
            precisions.append(sum(above) / len(above))
    return float(sum(precisions) / len(precisions))


def accuracy(probabilities: Any, codes: Any) -> float:
    """Share of images whose largest probability, the first among equals, is at the true category."""
    return sum(list(row).index(max(row)) == code for row, code in zip(probabilities, codes, strict=True)) / len(codes)


def balanced_accuracy(probabilities: Any, codes: Any) -> float:
    """Mean over the categories that occur of the accuracy on their images."""
    rates = []
    for category in sorted(set(codes)):
        rows = [row for row, code in zip(probabilities, codes, strict=True) if code == category]
        rates.append(accuracy(rows, [category] * len(rows)))
    return float(sum(rates) / len(rates))


def top_accuracy(probabilities: Any, codes: Any, k: int) -> float:
    """Share of images whose true category is among the first k of a stable order by falling probability."""
    hits = 0
    for row, code in zip(probabilities, codes, strict=True):
        order = sorted(range(len(row)), key=lambda category, row=row: (-row[category], category))
        hits += code in order[:k]
    return hits / len(codes)


def negative_log_likelihood(probabilities: Any, codes: Any, weights: Any) -> float:
    """Weighted mean of -ln p(true category)."""
    total = sum(-w * math.log(row[code]) for row, code, w in zip(probabilities, codes, weights, strict=True))
    return float(total / sum(weights))


def expected_calibration_error(probabilities: Any, codes: Any, bins: int) -> float:
    """Sum over the bins of confidence of (images in it / images) * |accuracy - mean confidence|."""
    total = 0.0
    for number in range(bins):
        members = []
        for row, code in zip(probabilities, codes, strict=True):
            doubt = 1 - max(row)
            if min(int(doubt * bins), bins - 1) == number:
                members.append((max(row), list(row).index(max(row)) == code))
        if members:
            confidence = sum(first for first, _ in members) / len(members)
            total += abs(sum(second for _, second in members) / len(members) - confidence) * len(members)
    return total / len(codes)


def soft_cross_entropy(logits: Any, targets: Any, weights: Any) -> float:
    """A.2.5 with soft targets: mean over the images of weight times cross-entropy."""
    total = 0.0
    for row, target, weight in zip(logits, targets, weights, strict=True):
        log_sum = math.log(sum(math.exp(logit) for logit in row))
        total -= weight * sum(share * (logit - log_sum) for logit, share in zip(row, target, strict=True))
    return float(total / len(logits))


def relax(similarity: float, mu: float) -> float:
    """A.2.6: (e^{mu a} - 1) / (e^mu - 1)."""
    return similarity if mu == 0 else (math.exp(mu * similarity) - 1) / (math.exp(mu) - 1)


def at_prior(similarity: float, prior: float) -> float:
    """Bayes: the odds of a similarity that is calibrated for a prior of 1/2, times those of another prior."""
    if similarity in (0, 1):
        return similarity
    odds = similarity / (1 - similarity) * prior / (1 - prior)
    return odds / (1 + odds)


def pair_prior(codes: Any) -> float:
    """The share of pairs of different images that are of one category, after one more of either kind."""
    told = [one == other for i, one in enumerate(codes) for j, other in enumerate(codes) if i != j] + [True, False]
    return sum(told) / len(told)


def graph_loss(features: Any, affinity: Any, codes: Any, mu: float, eye: float) -> float:
    """L_reg of A.2.6: mean over all ordered pairs of relaxed, masked affinity times squared distance."""
    total = 0.0
    for i, one in enumerate(features):
        for j, other in enumerate(features):
            distance = sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
            total += relax(affinity[i][j], mu) * max(float(codes[i] == codes[j]), eye) * distance
    return float(total / len(features) ** 2)


def cosine_graph_loss(features: Any, affinity: Any) -> float:
    """The variant COS of A.2.6: mean squared difference of cosine and affinity."""
    total = 0.0
    for i, one in enumerate(features):
        for j, other in enumerate(features):
            dot = sum(a * b for a, b in zip(one, other, strict=True))
            lengths = math.sqrt(sum(a * a for a in one)) * math.sqrt(sum(b * b for b in other))
            total += (dot / lengths - affinity[i][j]) ** 2
    return float(total / len(features) ** 2)


def compatibility(features: Any, matrix: Any, vectors: Any) -> list[list[float]]:
    """x_i^T V a_c of images and categories (methods D.3)."""
    return [
        [
            sum(x * matrix[d][a] * vector[a] for d, x in enumerate(image) for a in range(len(vector)))
            for vector in vectors
        ]
        for image in features
    ]


def domain_loss(base: Any, web: Any, matrix: Any) -> float:
    """|mean_base x V - mean_web x V|^2, the means taken of the mapped images."""

    def mean(images: Any, a: int) -> float:
        return sum(x * matrix[d][a] for image in images for d, x in enumerate(image)) / len(images)

    return sum((mean(base, a) - mean(web, a)) ** 2 for a in range(len(matrix[0])))


def self_paced_weights(losses: list[float], codes: list[int]) -> list[float]:
    """n_c softmax(-loss_i / T_c) within each category, T_c its median loss."""
    weights = []
    for loss, code in zip(losses, codes, strict=True):
        own = sorted(other for other, its in zip(losses, codes, strict=True) if its == code)
        median = (own[(len(own) - 1) // 2] + own[len(own) // 2]) / 2
        weights.append(len(own) * math.exp(-loss / median) / sum(math.exp(-other / median) for other in own))
    return weights


def recalibration_loss(
    known: list[float], wrong: list[bool], shift: float, slope: float, category_shift: float, error: float = 0.05
) -> float:
    """Minus the log posterior of decisions on images of one category, up to a constant."""
    total = (shift / 0.5) ** 2 / 2 + ((slope - 1) / 0.2) ** 2 / 2 + (category_shift / 0.5) ** 2 / 2
    for log_odds, said in zip(known, wrong, strict=True):
        chance = 1 / (1 + math.exp(-(shift + slope * log_odds + category_shift)))
        agrees = chance if said else 1 - chance
        total -= math.log((1 - error) * agrees + error * (1 - agrees))
    return total

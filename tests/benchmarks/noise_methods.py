"""The methods that are compared: each looks at one task and says which listed categories are wrong.

Peers see the novel images and nothing else. What they leave open is tried in all its variants, and the table gives each
peer the variant that is best for it, chosen with the truth at hand; ours has its defaults, and one variant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Literal

import numpy as np

from curation.config import Config
from curation.evidence import find_evidence, mean_cosine
from curation.evidence_columns import EvidenceColumns
from curation.noise.estimation import estimate_noise
from curation.noise.tasks import task_shape
from curation.noise.training import train_noise_model
from curation.similarity.training import train_network
from curation.values import FloatArray
from indexes.build import build_index
from indexes.neighbors import IndexKind
from tests.benchmarks import noise_simifeat as simifeat
from tests.benchmarks.noise_figures import Flags, Verdict
from tests.benchmarks.noise_problem import CLASSIFIERS, Codes, Matrix, Problem
from tests.benchmarks.noise_sets import NoiseTask, Texts

_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Variant:
    """`judge` says which images are wrong, from the probabilities of `classifier` where it names one."""

    judge: Callable[[Problem], Verdict]
    classifier: str | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """Every variant by its name, "" for the only one; `chosen_by`: the figure by which the best of them is shown.

    `uses_base`: it learns from the base images too.
    """

    variants: Mapping[str, Variant]
    chosen_by: Literal["auroc", "f1_own"] = "auroc"
    uses_base: bool = False


def _mean_cosine(problem: Problem) -> Verdict:
    cosine = np.zeros(len(problem.codes), dtype=np.float32)
    for code in range(len(problem.names)):
        members = problem.codes == code
        cosine[members] = mean_cosine(problem.task.novel[members])
    return Verdict(suspicion=-cosine)


def _neighbour_vote(problem: Problem) -> Verdict:
    """The share of the ten nearest that is listed elsewhere; flagged where it is most of them."""
    neighbours, _ = _nearest(problem.task.novel)
    strangers = (problem.codes[neighbours] != problem.codes[:, None]).mean(axis=1)
    return Verdict(suspicion=strangers, flagged=strangers > 0.5)


def _simnet(problem: Problem) -> Verdict:
    """The published method: similarity learned on base images, and the sample weight that follows from it."""
    evidence = _similarity_evidence(problem.task, Config())
    suggested = np.array(evidence.categories)[evidence.nearest[:, 0]]
    return Verdict(suspicion=-evidence.weight.astype(np.float64), suggested=suggested)


def _ours(problem: Problem) -> Verdict:
    """What `curate run` does with these embeddings: train-similarity, score, train-noise, noise."""
    task, config = problem.task, Config()
    evidence = _similarity_evidence(task, config)
    sizes = [
        np.unique(categories, return_counts=True)[1].tolist() for categories in (task.listed, task.base_categories)
    ]
    model = train_noise_model(task.base, task.base_categories.tolist(), task_shape(*sizes), config)
    report = estimate_noise(model, evidence.sample_ids, task.listed.tolist(), task.novel, evidence, {})
    probability = np.array([item.noise_probability for item in report.estimates])
    return Verdict(
        suspicion=probability,
        is_probability=True,
        flagged=probability >= config.flags.noise_probability,
        noise_rate=report.total.noise_rate,
        suggested=np.array([item.suggested_category or "" for item in report.estimates]),
        remarks={
            "noise_rate_low": report.total.low,
            "noise_rate_high": report.total.high,
            "transfer_confidence": report.transfer.confidence,
            "calibration_on_made_noise": asdict(model.calibration),
        },
    )


def _similarity_evidence(task: NoiseTask, config: Config) -> EvidenceColumns:
    network = train_network(task.base, task.base_categories.tolist(), config.similarity).network
    ids = [f"{row:06}" for row in range(len(task.listed))]
    return find_evidence(network, ids, task.listed.tolist(), task.novel, scoring=config.scoring, weights=config.weights)


def _quality_score(problem: Problem, *, classifier: str, method: str) -> Verdict:
    from cleanlab.rank import get_label_quality_scores

    probabilities = problem.probabilities[classifier]
    quality = get_label_quality_scores(problem.codes, probabilities, method=method)
    return Verdict(
        suspicion=1 - quality,
        is_probability=method == "self_confidence",
        suggested=_likeliest(problem, probabilities),
    )


def _label_issues(problem: Problem, *, classifier: str, filter_by: str) -> Verdict:
    from cleanlab.filter import find_label_issues

    probabilities = problem.probabilities[classifier]
    flagged: Flags = find_label_issues(problem.codes, probabilities, filter_by=filter_by, n_jobs=1)
    return Verdict(flagged=flagged, suggested=_likeliest(problem, probabilities))


def _simifeat_vote(problem: Problem, *, itself: bool, weighted: bool) -> Verdict:
    neighbours, cosine = _nearest(problem.task.novel)
    labels = simifeat.soft_labels(neighbours, cosine, problem.codes, itself=itself, weighted=weighted)
    epochs = simifeat.votes(labels, np.random.default_rng(0))
    return Verdict(
        suspicion=1 - simifeat.agreement(labels, problem.codes),
        flagged=simifeat.flag_by_vote(epochs, problem.codes),
        suggested=problem.names[epochs[0]],
    )


def _simifeat_ranking(problem: Problem, *, itself: bool, weighted: bool) -> Verdict:
    neighbours, cosine = _nearest(problem.task.novel)
    wrong_share = simifeat.estimated_wrong_share(neighbours, problem.codes)
    labels = simifeat.soft_labels(neighbours, cosine, problem.codes, itself=itself, weighted=weighted)
    score = simifeat.agreement(labels, problem.codes)
    return Verdict(
        suspicion=1 - score,
        flagged=simifeat.flag_by_ranking(score, problem.codes, wrong_share, np.random.default_rng(0)),
        noise_rate=float(wrong_share[problem.codes].mean()),
    )


def _mistakenness(problem: Problem, *, classifier: str, logits: bool) -> Verdict:
    probabilities = problem.probabilities[classifier]
    suspicion = mistakenness(probabilities, problem.codes, logits=logits)
    return Verdict(suspicion=suspicion, flagged=suspicion > 0.5, suggested=_likeliest(problem, probabilities))


def mistakenness(probabilities: Matrix, codes: Codes, *, logits: bool) -> Matrix:
    """FiftyOne's mistakenness (N,), [0, 1]: (1 + m c) / 2, m = 1 where the prediction disagrees with the listed
    category and -1 where it agrees. How sure the prediction is, c, is its probability, or with `logits` exp(- entropy).

    fiftyone-brain 0.x, https://docs.voxel51.com/api/fiftyone.brain.internal.core.mistakenness.html.
    """
    predicted = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1)
    if logits:
        sure = np.exp((probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1))
    values: Matrix = (1 + np.where(predicted == codes, -sure, sure)) / 2
    return values


def _likeliest(problem: Problem, probabilities: Matrix) -> Texts:
    likeliest: Texts = problem.names[probabilities.argmax(axis=1)]
    return likeliest


def _nearest(embeddings: FloatArray) -> tuple[Codes, FloatArray]:
    """The nearest others (N, k) by exact search, nearest first, and their cosines."""
    ids = np.arange(len(embeddings))
    index = build_index(embeddings, ids, version="benchmark", kind=IndexKind.EXACT)
    found = index.search(embeddings, _NEIGHBOURS, exclude_ids=ids)
    return found.ids, found.cosine


_FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)


def _only(judge: Callable[[Problem], Verdict], *, uses_base: bool = False) -> Method:
    return Method({"": Variant(judge)}, uses_base=uses_base)


def _for_every_classifier(judge: Callable[..., Verdict], chosen_by: Literal["auroc", "f1_own"] = "auroc") -> Method:
    return Method({name: Variant(partial(judge, classifier=name), name) for name in CLASSIFIERS}, chosen_by)


def _simifeat(judge: Callable[..., Verdict]) -> Method:
    """The description leaves open whether an image votes on itself; the released code also weighs votes by cosine."""
    return Method(
        {
            "others vote": Variant(partial(judge, itself=False, weighted=False)),
            "itself too": Variant(partial(judge, itself=True, weighted=False)),
            "others, weighted": Variant(partial(judge, itself=False, weighted=True)),
            "itself too, weighted": Variant(partial(judge, itself=True, weighted=True)),
        },
        chosen_by="f1_own",
    )


METHODS = {
    "mean cosine": _only(_mean_cosine),
    "neighbour vote": _only(_neighbour_vote),
    "SimNet weight": _only(_simnet, uses_base=True),
    "cleanlab self-confidence": _for_every_classifier(partial(_quality_score, method="self_confidence")),
    "cleanlab normalized margin": _for_every_classifier(partial(_quality_score, method="normalized_margin")),
    "cleanlab default filter": _for_every_classifier(partial(_label_issues, filter_by="prune_by_noise_rate"), "f1_own"),
    "cleanlab best filter": Method(
        {
            f"{filter_by}, {name}": Variant(partial(_label_issues, filter_by=filter_by, classifier=name), name)
            for filter_by, name in product(_FILTERS, CLASSIFIERS)
        },
        chosen_by="f1_own",
    ),
    "cleanlab predicted_neq_given": _for_every_classifier(
        partial(_label_issues, filter_by="predicted_neq_given"), "f1_own"
    ),
    "SimiFeat vote": _simifeat(_simifeat_vote),
    "SimiFeat ranking": _simifeat(_simifeat_ranking),
    "FiftyOne mistakenness": _for_every_classifier(partial(_mistakenness, logits=False)),
    "FiftyOne mistakenness, logits": _for_every_classifier(partial(_mistakenness, logits=True)),
    "ours": _only(_ours, uses_base=True),
}
OURS = "ours"

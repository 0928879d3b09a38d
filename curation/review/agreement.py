"""How far annotators agree beyond chance: Cohen's kappa of a pair, Fleiss' kappa of more.

Cohen 1960, A coefficient of agreement for nominal scales; Fleiss 1971, Measuring nominal scale agreement among many
raters. Compared are the votes that were given blind on the same samples; `unsure` is no verdict and not compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from curation.standing import votes_of
from curation.store.decisions import seen_by_several, standing_decisions
from curation.store.journal import journal
from curation.values import Decision, DecisionAction
from curation.workspace import Workspace

Pair = tuple[Hashable, Hashable]


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two annotators: `samples` both judged, `agreed` of them alike; `kappa`, [-1, 1], `None` where undefined."""

    first: str
    second: str
    samples: int
    agreed: int
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """All pairs that share a sample, and Fleiss' kappa over `samples` with exactly `ratings` votes each.

    `ratings` is the number of votes that most samples with several have; whose votes they are may differ.
    """

    pairs: tuple[PairAgreement, ...]
    samples: int
    ratings: int
    kappa: float | None


def cohen_kappa(pairs: Sequence[Pair]) -> float | None:
    """(p_o - p_e) / (1 - p_e) of the two verdicts on each sample; `None` without a sample, or where p_e is 1."""
    if not pairs:
        return None
    total = len(pairs)
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    agreed = sum(one == other for one, other in pairs)
    by_chance = sum(first[label] * second[label] for label in first)
    if by_chance == total * total:  # both only ever said one and the same thing
        return None
    return (agreed / total - by_chance / total**2) / (1 - by_chance / total**2)


def fleiss_kappa(counts: Sequence[Mapping[Hashable, int]]) -> float | None:
    """(P - P_e) / (1 - P_e) from how often each verdict was given on each sample; `None` where undefined.

    Every sample must have the same number of verdicts, 2 or more; raises `ValueError` otherwise.
    """
    if not counts:
        return None
    ratings = sum(counts[0].values())
    if ratings < 2 or any(sum(of_one.values()) != ratings for of_one in counts):
        raise ValueError(f"Fleiss' kappa needs the same number of verdicts, 2 or more, on every sample, not {counts}")
    total: Counter[Hashable] = Counter()
    for of_one in counts:
        total.update(of_one)
    if len([label for label, number in total.items() if number]) == 1:
        return None
    pairs_agreed = sum(number * (number - 1) for of_one in counts for number in of_one.values())
    observed = pairs_agreed / (len(counts) * ratings * (ratings - 1))
    by_chance = sum((number / (len(counts) * ratings)) ** 2 for number in total.values())
    return (observed - by_chance) / (1 - by_chance)


def agreement_of(votes: Sequence[Mapping[str, Hashable]]) -> Agreement:
    """Agreement from the verdict of each annotator on each sample."""
    together: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for of_one in votes:
        for first, second in combinations(sorted(of_one), 2):
            together[first, second].append((of_one[first], of_one[second]))
    pairs = tuple(
        PairAgreement(first, second, len(both), sum(one == other for one, other in both), cohen_kappa(both))
        for (first, second), both in sorted(together.items())
    )
    sizes = Counter(len(of_one) for of_one in votes if len(of_one) > 1)
    if not sizes:
        return Agreement(pairs, 0, 0, None)
    ratings = max(sizes, key=lambda number: (sizes[number], number))
    counts = [Counter(of_one.values()) for of_one in votes if len(of_one) == ratings]
    return Agreement(pairs, len(counts), ratings, fleiss_kappa(counts))


def agreement(workspace: Workspace) -> Agreement:
    """How far the annotators of this workspace agree on the samples that several of them saw."""
    with journal(workspace.journal) as connection:
        standing = standing_decisions(connection, seen_by_several(connection), with_context=False)
    return agreement_of([_verdicts(decisions) for decisions in standing.values() if len(decisions) > 1])


def _verdicts(decisions: Sequence[Decision]) -> dict[str, Hashable]:
    return {
        name: (vote.action, vote.category)
        for name, vote in votes_of(decisions).items()
        if vote.action is not DecisionAction.UNSURE
    }

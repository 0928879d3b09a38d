"""From accuracies by seed to what is claimed: intervals, the share of the gap that is closed, what holds, what not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipelines.training.metrics import Interval
from tests.benchmarks.classification_fits import CALIBRATED, CALIBRATED_SHUFFLED, MEAN, ORACLE, SHUFFLED, Reviewed
from tests.benchmarks.hybrid import mean_interval

Row = dict[str, Any]
Accuracies = Mapping[str, Sequence[float]]  # row -> accuracy by seed, all by the same seeds
Reviews = Mapping[tuple[str, str, int], Sequence[Reviewed]]  # (method, order, reviews) -> what they gave, by seed

OURS = ("weighted", "graph", "simtrans", "cleaned", "soft", "relabelled")
CLEANLAB = ("cleanlab default filter", "cleanlab best filter")
_CONTROLS = (("simtrans", SHUFFLED), ("simtrans", MEAN), (CALIBRATED, CALIBRATED_SHUFFLED))  # a graph, and one blind
WANTED = {"birds": 0.6, "cifar": 0.4}  # share of the gap from plain to the oracle that the best of ours closes


def rows_of(name: str, accuracies: Accuracies, images: int, wrong: float) -> list[Row]:
    """A row for every method: mean accuracy, what it gains over plain, share of the gap plain -> oracle closed."""
    plain = np.array(accuracies["plain"])
    gap = float(np.mean(accuracies[ORACLE]) - plain.mean())
    rows = []
    for method, found in accuracies.items():
        gain = mean_interval(np.array(found) - plain)
        rows.append(
            {
                "set": name,
                "images": images,
                "wrong": wrong,
                "method": method,
                "accuracy": asdict(mean_interval(np.array(found))),
                "gain over plain": asdict(gain),
                "gap closed": gain.value / gap,
                "by seed": [float(value) for value in found],
            }
        )
    return rows


def last_rows(name: str, by_last_epoch: Accuracies) -> list[Row]:
    """A row for every method with nothing held out: mean accuracy, and what it gains over plain and over weighted."""
    return [
        {
            "set": name,
            "method": method,
            "accuracy": asdict(mean_interval(np.array(found))),
            "gain over plain": asdict(difference(by_last_epoch, method, "plain")),
            "gain over weighted": asdict(difference(by_last_epoch, method, "weighted")),
            "by seed": list(found),
        }
        for method, found in by_last_epoch.items()
    ]


def reviewed_rows(name: str, accuracies: Accuracies, reviewed: Reviews) -> list[Row]:
    """A row for every method, order and number of reviews: mean accuracy, what it gains over no review and over as many
    of images drawn at random, and the mean number of samples that changed in the training set."""
    rows = []
    for (method, order, reviews), found in reviewed.items():
        after, drawn = (
            np.array([one.accuracy for one in ones]) for ones in (found, reviewed[method, "random", reviews])
        )

        def mean(count: Callable[[Reviewed], int], found: Sequence[Reviewed] = found) -> float:
            return float(np.mean([count(one) for one in found]))

        gain = mean_interval(after - np.array(accuracies[method]))
        rows.append(
            {
                "set": name,
                "method": method,
                "order": order,
                "reviews": reviews,
                "wrong seen": mean(lambda one: one.wrong),
                "added": mean(lambda one: one.changes.added),
                "removed": mean(lambda one: one.changes.removed),
                "relabelled": mean(lambda one: one.changes.relabelled),
                "accuracy": asdict(mean_interval(after)),
                "gain": asdict(gain),
                "more than at random": asdict(mean_interval(after - drawn)),
                "gain per 100 reviews": 100 * gain.value / reviews,
                "by seed": after.tolist(),
            }
        )
    return rows


def difference(accuracies: Accuracies, better: str, worse: str) -> Interval:
    """Mean of better - worse, paired by seed."""
    return mean_interval(np.array(accuracies[better]) - np.array(accuracies[worse]))


def notes_of(name: str, accuracies: Accuracies, by_last_epoch: Accuracies) -> list[str]:
    """What was wanted, and whether it holds: one sentence each."""
    notes = []
    for where, found in ((name, accuracies), (f"{name}, last epoch", by_last_epoch)):
        steps = (("plain", "weighted"), ("weighted", "simtrans"), ("weighted", CALIBRATED))
        notes += [_ordered(where, found, *step) for step in steps]
        notes += [_graph(where, found, *pair) for pair in _CONTROLS if pair[1] in found]
    kept = mean_interval(np.array(accuracies["plain"]) - np.array(by_last_epoch["plain"]))
    notes.append(f"{name}: plain in the state that the held-out part chooses, against its last epoch: {_points(kept)}")
    best = max(OURS, key=lambda method: float(np.mean(accuracies[method])))
    gap = float(np.mean(accuracies[ORACLE]) - np.mean(accuracies["plain"]))
    closed = difference(accuracies, best, "plain").value / gap
    wanted = WANTED.get(name)
    if wanted is not None:
        verdict = "as wanted" if closed >= wanted else "MISSED"
        notes.append(f"{name}: {best} closes {closed:.0%} of the gap to the oracle, wanted {wanted:.0%}: {verdict}")
    peer = max(CLEANLAB, key=lambda method: float(np.mean(accuracies[method])))
    lead = difference(accuracies, best, peer)
    verdict = "ahead" if lead.low > 0 else "not shown to be ahead" if lead.value > 0 else "NOT ahead"
    notes.append(f"{name}: {best} against {peer}: {_points(lead)}: {verdict}")
    return notes


def _graph(name: str, accuracies: Accuracies, method: str, blind: str) -> str:
    gain = difference(accuracies, method, blind)
    verdict = "the graph itself helps" if gain.low > 0 else "what it gains is not shown to come from the graph"
    return f"{name}: {method} against {blind}: {_points(gain)}: {verdict}"


def _ordered(name: str, accuracies: Accuracies, worse: str, better: str) -> str:
    gain = difference(accuracies, better, worse)
    verdict = "holds in every seed" if _always(accuracies, worse, better) else "holds on average"
    return f"{name}: {worse} < {better}: {_points(gain)}: {verdict if gain.value > 0 else 'does NOT hold'}"


def _always(accuracies: Accuracies, worse: str, better: str) -> bool:
    return all(low < high for low, high in zip(accuracies[worse], accuracies[better], strict=True))


def _points(interval: Interval) -> str:
    return f"{100 * interval.value:+.1f} points ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"

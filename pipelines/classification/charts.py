"""The pictures of figures in a classifier's report, as inline SVG: learning curves, reliability, confusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage

from curation.report.charts import chart, line, reliability_chart, round_numbers, x_of, y_of
from pipelines.classification.evaluation import Evaluation
from pipelines.training.metrics import ConfidenceBin

LARGEST_MATRIX = 100  # categories: beyond, a cell is smaller than a letter and nobody finds it
_MARGIN, _SIDE = 190, 760  # for names on the left, and of the matrix
_FIRST_LETTERS = 24  # of a name beside the matrix: what the margin holds
_MOST_NAMES = 60  # beside the matrix: with more of them lines touch

Row = Mapping[str, float | None]


def confidence_chart(bins: Sequence[ConfidenceBin]) -> Markup:
    """Accuracy over confidence."""
    points = [(item.confidence, item.accuracy, item.images) for item in bins]
    title = "Calibration: share of test images that is right over the probability given"
    return reliability_chart(title, "probability of the predicted category", "really right", points)


def accuracy_curve(history: Sequence[Row]) -> Markup:
    """Accuracy on the validation part by epoch; dashed: of the averaged weights."""
    body = _curves(history, (("averaged_accuracy", "curve averaged"), ("validation_accuracy", "curve")))
    return chart("Accuracy on the validation part by epoch", _epochs(history), "epoch", "right", body)


def loss_curve(history: Sequence[Row]) -> Markup:
    """The training loss by epoch, from 0 to its highest value."""
    return _loss_chart("Training loss by epoch", history, (("loss", "curve"),))


def validation_loss_curve(history: Sequence[Row]) -> Markup:
    """The refinement loss on the validation part by epoch, from 0 to its highest value; dashed: of the averaged
    weights."""
    curves = (("averaged_loss", "curve averaged"), ("validation_loss", "curve"))
    return _loss_chart("Loss on the validation part by epoch", history, curves)


def _loss_chart(title: str, history: Sequence[Row], curves: Sequence[tuple[str, str]]) -> Markup:
    worst = max((value for name, _ in curves for value in _values(history, name)), default=1.0)
    step = _round_step(worst)
    highest = step * max(1, math.ceil(worst / step))
    labels = [(number * step / highest, f"{number * step:g}") for number in range(round(highest / step) + 1)]
    return chart(title, _epochs(history), "epoch", "loss", _curves(history, curves, highest), labels)


def _curves(history: Sequence[Row], curves: Sequence[tuple[str, str]], highest: float = 1.0) -> str:
    """A path for each column, by its name and its class, that has values."""
    return "".join(
        f'<path class="{css}" d="{_course(history, name, lambda value: value / highest)}"/>'
        for name, css in curves
        if _values(history, name)
    )


def confusion_picture(evaluation: Evaluation) -> Markup:
    """Every test image in a square: rows are true categories, columns predicted ones, in the same order.

    Categories that are taken for each other stand together. A cell is the darker the larger its share of its row.
    """
    names, counts = confusion_matrix(evaluation)
    order = _neighbours_together(counts)
    size = _SIDE / len(order)
    cells = []
    for row, true in enumerate(order):
        images = int(counts[true].sum())
        for column, predicted in enumerate(order):
            if count := int(counts[true, predicted]):
                kind, faintest = ("hit", 0.15) if true == predicted else ("miss", 0.3)  # one error must be seen
                told = "right" if true == predicted else f"taken for {names[predicted]}"
                opacity = faintest + (1 - faintest) * count / images
                cells.append(
                    f'<rect class="{kind}" x="{_MARGIN + column * size:.1f}" y="{row * size:.1f}" '
                    f'width="{size:.1f}" height="{size:.1f}" fill-opacity="{opacity:.2f}">'
                    f"<title>{escape(names[true])}: {count:,} of {images:,} {escape(told)}</title></rect>"
                )
    labels = (
        f'<text x="{_MARGIN - 8}" y="{(row + 0.5) * size:.1f}" text-anchor="end" dominant-baseline="central">'
        f"{escape(_short(names[true]))}</text>"
        for row, true in enumerate(order)
    )
    return Markup(  # noqa: S704 - names are escaped above, all else is made here
        f'<svg class="confusion" viewBox="0 0 {_MARGIN + _SIDE} {_SIDE}" role="img" '
        f'aria-label="Confusion: rows are true categories, columns predicted ones" '
        f'style="font-size: {min(13.0, 0.9 * size):.1f}px">'
        f'<rect class="ground" x="{_MARGIN}" width="{_SIDE}" height="{_SIDE}"/>'
        f"{''.join(labels) if len(order) <= _MOST_NAMES else ''}{''.join(cells)}</svg>"
    )


def confusion_matrix(evaluation: Evaluation) -> tuple[list[str], NDArray[np.int64]]:
    """Names, and counts (true, predicted); categories that no image has and none is taken for are left out."""
    names = sorted({item.category for item in evaluation.categories} | {pair.predicted for pair in evaluation.confused})
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    for item in evaluation.categories:
        counts[place[item.category], place[item.category]] = item.right
    for pair in evaluation.confused:
        counts[place[pair.true], place[pair.predicted]] = pair.images
    return names, counts


def _neighbours_together(counts: NDArray[np.int64]) -> list[int]:
    """An order of categories in which those that are confused stand side by side: leaves of average linkage."""
    if len(counts) < 3:
        return list(range(len(counts)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    apart = 2 - shares - shares.T
    above = np.triu_indices(len(counts), 1)
    order: list[int] = leaves_list(linkage(apart[above], "average", optimal_ordering=True)).tolist()
    return order


def _round_step(highest: float) -> float:
    """1, 2 or 5 times a power of ten that divides [0, highest] into at most five parts."""
    power = 10.0 ** math.floor(math.log10(highest)) if highest > 0 else 1.0
    return next(step for factor in (0.2, 0.5, 1, 2) if (step := factor * power) * 5 >= highest)


def _epochs(history: Sequence[Row]) -> list[tuple[float, str]]:
    last = max(len(history), 2)
    return [((epoch - 1) / (last - 1), str(epoch)) for epoch in {max(1, number) for number in round_numbers(last)}]


def _course(history: Sequence[Row], name: str, upward: Callable[[float], float]) -> str:
    last = max(len(history) - 1, 1)
    points = [
        (x_of(place / last), y_of(upward(value)))
        for place, row in enumerate(history)
        if (value := row.get(name)) is not None
    ]
    return line(points)


def _values(history: Sequence[Row], name: str) -> list[float]:
    return [value for row in history if (value := row.get(name)) is not None]


def _short(name: str) -> str:
    return name if len(name) <= _FIRST_LETTERS else f"{name[: _FIRST_LETTERS - 1]}…"

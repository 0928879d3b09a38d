"""The few charts of a report as inline SVG; colours and type are the style sheet's, numbers stand in tables beside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from curation.noise.model import ReliabilityBin
from curation.report.budget import BudgetFacts

_WIDTH, _HEIGHT = 520, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 16, 46
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
SHARES = tuple((share, f"{share:.0%}") for share in _QUARTERS)  # the labels of an axis from 0 to 100 %


def rate_bar(rate: float, low: float, high: float) -> Markup:
    """A bar of a share, [0, 1], with its interval as a line; decoration beside the same numbers as text."""
    return Markup(  # noqa: S704 - numbers and constants
        '<svg class="bar" viewBox="0 0 200 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="200" height="12"/><rect class="noise" width="{200 * rate:.1f}" height="12"/>'
        f'<path class="interval" d="M{200 * low:.1f} 6H{200 * high:.1f}"/></svg>'
    )


def calibration_chart(bins: Sequence[ReliabilityBin]) -> Markup:
    """Share really wrong over predicted probability."""
    title = "Calibration: share really wrong over predicted noise probability, on noise made in base categories"
    points = [(item.predicted, item.wrong, item.images) for item in bins]
    return reliability_chart(title, "predicted noise probability", "really wrong", points)


def reliability_chart(title: str, across: str, up: str, points: Sequence[tuple[float, float, int]]) -> Markup:
    """What happened over what was predicted, both in [0, 1]: dots on the diagonal are right, their area grows with the
    number of images, which comes third. The texts are ours: they are not escaped."""
    most = max((images for _, _, images in points), default=1)
    dots = (
        f'<circle class="dot" cx="{x_of(predicted):.1f}" cy="{y_of(happened):.1f}" '
        f'r="{3 + 9 * (images / most) ** 0.5:.1f}"/>'
        for predicted, happened, images in points
    )
    diagonal = f"M{x_of(0)} {y_of(0)}L{x_of(1)} {y_of(1)}"
    return chart(title, SHARES, across, up, f'<path class="ideal" d="{diagonal}"/>{"".join(dots)}')


def budget_chart(budget: BudgetFacts) -> Markup:
    """Share of wrong images found over the number of reviews; dashed: reviews in random order."""
    last = max(budget.undecided, 1)
    found = line((x_of(point.reviews / last), y_of(point.share_found)) for point in budget.curve)
    area = f"{found}L{x_of(1)} {y_of(0)}L{x_of(0)} {y_of(0)}Z"
    marks = "".join(
        f'<circle class="dot" cx="{x_of(point.reviews / last):.1f}" cy="{y_of(point.share_found):.1f}" r="4"/>'
        for point in budget.milestones
    )
    body = (
        f'<path class="area" d="{area}"/><path class="ideal" d="M{x_of(0)} {y_of(0)}L{x_of(1)} {y_of(1)}"/>'
        f'<path class="curve" d="{found}"/>{marks}'
    )
    ticks = [(number / last, f"{number:,}") for number in round_numbers(last)]
    title = "Review budget: share of the expected wrong images that is found over the number of reviews"
    return chart(title, ticks, "reviews, most suspicious first", "wrong images found", body)


def chart(
    title: str,
    ticks: Iterable[tuple[float, str]],
    across: str,
    up: str,
    body: str,
    upward: Sequence[tuple[float, str]] = SHARES,
) -> Markup:
    """Axes with labels at the places `ticks` across and `upward`, both in [0, 1], around `body`. All text is ours."""
    lines = "".join(f'<path class="grid" d="M{x_of(0)} {y_of(share)}H{x_of(1)}"/>' for share, _ in upward)
    left = "".join(
        f'<text x="{_LEFT - 15}" y="{y_of(share) + 4:.1f}" text-anchor="end">{label}</text>' for share, label in upward
    )
    below = "".join(
        f'<text x="{x_of(share):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{label}</text>'
        for share, label in ticks
    )
    names = (
        f'<text class="axis" x="{x_of(0.5):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{across}</text>'
        f'<text class="axis" transform="translate(13 {y_of(0.5):.1f}) rotate(-90)" text-anchor="middle">{up}</text>'
    )
    return Markup(  # noqa: S704 - all of it is made here, of numbers and constants
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f"{lines}{left}{below}{names}{body}</svg>"
    )


def round_numbers(last: int) -> list[int]:
    """From 0 to `last` in at most six steps of 1, 2 or 5 times a power of ten."""
    steps = (digit * 10**power for power in range(12) for digit in (1, 2, 5))
    return list(range(0, last + 1, next(step for step in steps if last <= 6 * step)))


def line(points: Iterable[tuple[float, float]]) -> str:
    """The path through points (x, y)."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def x_of(share: float) -> float:
    """The x of a share of the way across a chart."""
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def y_of(share: float) -> float:
    """The y of a share of the way up a chart."""
    return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)

"""Figures night by night as inline SVG: a line with its interval, bars, and a row of promises kept or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby

from markupsafe import Markup

from curation.history.night import NightFacts, NoiseLevel

_WIDTH, _HEIGHT = 520, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 26
_SMALL_WIDTH, _SMALL_HEIGHT = 240, 64
_MARGIN = 6  # of a small chart: dots and lines have a width

Rates = Sequence[NoiseLevel | None]
Place = Callable[[float], float]


def noise_course(nights: Sequence[NightFacts]) -> Markup:
    """The noise rate of all novel images with its interval, and as dots that of each night's new images."""
    rates = [night.noise for night in nights]
    new = [None if night.new is None else night.new.noise_rate for night in nights]
    top = max([level.high for level in rates if level is not None] + [rate for rate in new if rate is not None] + [0.0])
    most, step = _scale(top, whole=False)
    most = min(most, 1.0)
    across, up = _across(len(nights)), _up(most)
    dots = "".join(
        f'<circle class="dot" cx="{across(place):.1f}" cy="{up(rate):.1f}" r="3.5"/>'
        for place, rate in enumerate(new)
        if rate is not None
    )
    ticks = [(step * number, f"{100 * step * number:.0f}%") for number in range(round(most / step) + 1)]
    return _chart("Noise rate by night, with its 90% interval", nights, ticks, up, _course(rates, across, up) + dots)


def bars(title: str, nights: Sequence[NightFacts], values: Sequence[float | None]) -> Markup:
    """A bar a night; an unknown value and one of 0 or less have none."""
    most, step = _scale(max((value for value in values if value is not None), default=0.0), whole=True)
    across, up = _across(len(nights)), _up(most)
    half = min(0.38 * (_WIDTH - _LEFT - _RIGHT) / len(nights), 16)
    drawn = "".join(
        f'<rect class="bar-of-night" x="{across(place) - half:.1f}" y="{up(max(value, 0)):.1f}" '
        f'width="{2 * half:.1f}" height="{up(0) - up(max(value, 0)):.1f}"/>'
        for place, value in enumerate(values)
        if value is not None
    )
    ticks = [(step * number, f"{step * number:,.0f}") for number in range(round(most / step) + 1)]
    return _chart(title, nights, ticks, up, drawn)


def promise_row(nights: Sequence[NightFacts]) -> Markup:
    """A mark a night: filled where the promise held, a cross where it did not, a point where none was made."""
    across, middle = _across(len(nights)), 20
    marks = []
    for place, night in enumerate(nights):
        x = across(place)
        if night.promise is None:
            marks.append(f'<circle class="unpromised" cx="{x:.1f}" cy="{middle}" r="1.5"/>')
        elif night.promise.held:
            marks.append(f'<circle class="held" cx="{x:.1f}" cy="{middle}" r="4.5"/>')
        else:
            marks.append(
                f'<path class="broken" d="M{x - 4:.1f} {middle - 4}L{x + 4:.1f} {middle + 4}'
                f'M{x + 4:.1f} {middle - 4}L{x - 4:.1f} {middle + 4}"/>'
            )
    return Markup(  # noqa: S704 - numbers and constants
        f'<svg class="chart" viewBox="0 0 {_WIDTH} 40" role="img" aria-label="Promise kept by night">'
        f"{''.join(marks)}</svg>"
    )


def small_course(rates: Rates) -> Markup:
    """The noise rate of one category, on a scale from 0 to 100 %, as wide as its place; numbers stand beside it."""
    room = _SMALL_WIDTH - 2 * _MARGIN

    def across(place: float) -> float:
        return _MARGIN + room * (place / (len(rates) - 1) if len(rates) > 1 else 1.0)

    def up(rate: float) -> float:
        return _SMALL_HEIGHT - _MARGIN - (_SMALL_HEIGHT - 2 * _MARGIN) * rate

    last = rates[-1]
    end = (
        ""
        if last is None
        else f'<circle class="dot" cx="{across(len(rates) - 1):.1f}" cy="{up(last.rate):.1f}" r="4"/>'
    )
    frame = "".join(f'<path class="grid" d="M0 {up(share)}H{_SMALL_WIDTH}"/>' for share in (0.0, 0.5, 1.0))
    return Markup(  # noqa: S704 - numbers and constants
        f'<svg class="chart" viewBox="0 0 {_SMALL_WIDTH} {_SMALL_HEIGHT}" aria-hidden="true">'
        f"{frame}{_course(rates, across, up)}{end}</svg>"
    )


def _course(rates: Rates, across: Place, up: Place) -> str:
    """A line and its interval, broken where a rate is unknown; a night alone is a point with a bar."""
    drawn = []
    for known, run in groupby(enumerate(rates), key=lambda item: item[1] is not None):
        if not known:
            continue
        points = [(across(place), level) for place, level in run if level is not None]
        if len(points) == 1:
            x, level = points[0]
            drawn.append(f'<path class="curve" d="M{x:.1f} {up(level.low):.1f}V{up(level.high):.1f}"/>')
            continue
        upper = "L".join(f"{x:.1f} {up(level.high):.1f}" for x, level in points)
        lower = "L".join(f"{x:.1f} {up(level.low):.1f}" for x, level in reversed(points))
        line = "L".join(f"{x:.1f} {up(level.rate):.1f}" for x, level in points)
        drawn.append(f'<path class="area" d="M{upper}L{lower}Z"/><path class="curve" d="M{line}"/>')
    return "".join(drawn)


def _chart(
    title: str, nights: Sequence[NightFacts], ticks: Sequence[tuple[float, str]], up: Place, body: str
) -> Markup:
    """`body` over a grid at `ticks`, with the dates of a few nights below."""
    lines = "".join(
        f'<path class="grid" d="M{_LEFT} {up(value):.1f}H{_WIDTH - _RIGHT}"/>'
        f'<text x="{_LEFT - 9}" y="{up(value) + 4:.1f}" text-anchor="end">{label}</text>'
        for value, label in ticks
    )
    across = _across(len(nights))
    dates = "".join(
        f'<text x="{across(place):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{_day(nights[place].started_at)}</text>'
        for place in _dated(len(nights))
    )
    return Markup(  # noqa: S704 - numbers, dates and constants of ours
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f"{lines}{dates}{body}</svg>"
    )


def _dated(nights: int) -> list[int]:
    """The first, the last and at most three between."""
    return sorted({round(part * (nights - 1) / min(4, max(nights - 1, 1))) for part in range(min(5, nights))})


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b}"


def _scale(highest: float, *, whole: bool) -> tuple[float, float]:
    """(top, step) of an axis from 0 that holds `highest`, in at most five steps of 1, 2 or 5 times a power of ten."""
    steps = (digit * 10.0**power for power in range(0 if whole else -3, 12) for digit in (1, 2, 5))
    step = next(step for step in steps if highest <= 5 * step)
    return max(-(-highest // step), 1) * step, step


def _across(nights: int) -> Place:
    room = _WIDTH - _LEFT - _RIGHT - 32
    return lambda place: _LEFT + 16 + room * (place / (nights - 1) if nights > 1 else 0.5)


def _up(most: float) -> Place:
    return lambda value: _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / most

"""When the newest night departs from its history: what was expected, what came, and how rare that is.

Nine figures are watched. Each may raise a false alarm in at most a ninth of `FALSE_ALARMS` nights that are like the
nights before (`curation.history.departure`), so all of them together in at most that many. A figure says nothing until
it is known of three earlier nights. What has departed is history from the next night on: a lasting change is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import hypot, log, log1p, sqrt

import numpy as np
from scipy.stats import fisher_exact

from curation.history.departure import (
    FEWEST_NIGHTS,
    Measured,
    chance_of_largest,
    chance_of_pause,
    chance_of_record,
    chance_of_step,
    chance_of_value,
)
from curation.history.mix import Mix, mix_departures
from curation.history.night import CategoryNight, NewImages, NightFacts

FALSE_ALARMS = 0.01  # of nights that are like the nights before
_FIGURES = 9
_ALLOWED = FALSE_ALARMS / _FIGURES
_WINDOW = 60  # nights that are compared with: two months
_WORTH_TELLING = 0.005  # of a noise rate; less is no reason to wake anybody
_TAILS_OF_EXCESS = 5  # lighter than other figures may have: it is in units of what chance makes of the same images
_FEWEST_NEW = 5  # of fewer new images neither a noise rate nor a mix says anything
_USUAL_VARIANCE = 0.15  # of noise probabilities near 0 and 1 with a mean of 20 %
_A_PRIORI = 4  # images of that variance are thought beside those measured: a few happen to agree
_MOST_NAMED = 3  # categories that one figure raises an alarm for


@dataclass(frozen=True, slots=True)
class Alarm:
    """A figure that departs from its history, of one category or (`None`) of all.

    `chance` is at most how often a night like those before departs so far. `sentence` says it all in words.
    """

    name: str
    category: str | None
    expected: str
    came: str
    chance: float
    sentence: str


def alarms(history: Sequence[NightFacts], tonight: NightFacts) -> tuple[Alarm, ...]:
    """What is out of the ordinary tonight; `history` are earlier nights, oldest first."""
    past = list(history)[-_WINDOW:]
    return tuple(chain.from_iterable(figure(past, tonight) for figure in FIGURES.values()))


def _noise_rate(past: Sequence[NightFacts], tonight: NightFacts) -> Iterator[Alarm]:
    """Of all novel images: the level may wander, so it has to be out of place and to have jumped."""
    before = [night.noise.rate for night in past if night.noise is not None]
    if tonight.noise is None:
        return
    chance = chance_of_step(before, tonight.noise.rate, least=_WORTH_TELLING)
    if chance <= _ALLOWED:
        yield _alarm("noise rate", None, _range(before), _percent(tonight.noise.rate), chance, len(before))


def _new_noise_rate(past: Sequence[NightFacts], tonight: NightFacts) -> Iterator[Alarm]:
    before = [measured for night in past if (measured := _measured_noise(night.new)) is not None]
    now = _measured_noise(tonight.new)
    if now is None:
        return
    chance = chance_of_value(before, now, least=_WORTH_TELLING)
    if chance <= _ALLOWED:
        expected = _range([item.value for item in before])
        yield _alarm("noise rate of new images", None, expected, _percent(now.value), chance, len(before))


def _category_noise_rates(past: Sequence[NightFacts], tonight: NightFacts) -> Iterator[Alarm]:
    """The largest departure of any category, as a level and as a step."""

    def measured(category: CategoryNight) -> Measured | None:
        if category.noise is None:
            return None
        wrong = (category.noise.rate * category.images + 1) / (category.images + 2)
        return Measured(category.noise.rate, hypot(sqrt(wrong * (1 - wrong) / (category.images + 2)), _WORTH_TELLING))

    yield from _largest("noise rate", past, tonight, measured, may_wander=True)


def _category_new_noise_rates(past: Sequence[NightFacts], tonight: NightFacts) -> Iterator[Alarm]:
    def measured(category: CategoryNight) -> Measured | None:
        found = _measured_noise(category.new)
        return None if found is None else Measured(found.value, hypot(found.error, _WORTH_TELLING))

    yield from _largest("noise rate of new images", past, tonight, measured, may_wander=False)


def _new_images(past: Sequence[NightFacts], tonight: NightFacts) -> Iterator[Alarm]:
    """Their number on nights that bring any; nights that bring none are judged by how often that happens."""
    numbers = [night.new.images for night in (*past, tonight) if night.new is not None]
    if tonight.new is None or len(numbers) <= FEWEST_NIGHTS:
        return
    before = [number for number in numbers[:-1] if number]
    if numbers[-1]:
        chance = chance_of_value([_logarithm(number) for number in before], _logarithm(numbers[-1]), least=0.05)
    else:
        chance = chance_of_pause([number > 0 for number in numbers])
    if chance <= _ALLOWED:
        expected = f"{min(before):,} to {max(before):,}" if before else "none"
        yield _alarm("new images", None, expected, f"{numbers[-1]:,}", chance, len(numbers) - 1)


def _unreadable(past: Sequence[NightFacts], tonight: NightFacts) -> Iterator[Alarm]:
    """More files without pixels among the new ones than usual; fewer are good news."""
    before = [night.new for night in past if night.new is not None and night.new.images >= _FEWEST_NEW]
    now = tonight.new
    if now is None or now.images < _FEWEST_NEW or len(before) < FEWEST_NIGHTS:
        return
    bad, all_before = sum(item.unreadable for item in before), sum(item.images for item in before)
    if now.unreadable * all_before <= bad * now.images:
        return
    table = [[now.unreadable, now.images - now.unreadable], [bad, all_before - bad]]
    chance = max(
        chance_of_value([_share_unreadable(item) for item in before], _share_unreadable(now), least=0.2),
        float(fisher_exact(table, alternative="greater").pvalue),
    )
    if chance <= _ALLOWED:
        expected = _range([item.unreadable / item.images for item in before])
        came = f"{_percent(now.unreadable / now.images)} ({now.unreadable:,} of {now.images:,})"
        yield _alarm("share of unreadable new images", None, expected, came, chance, len(before))


def _sites(past: Sequence[NightFacts], tonight: NightFacts) -> Iterator[Alarm]:
    yield from _mix("sites of new images", [night.sites for night in past], tonight.sites)


def _queries(past: Sequence[NightFacts], tonight: NightFacts) -> Iterator[Alarm]:
    yield from _mix("queries of new images", [night.queries for night in past], tonight.queries)


def _shift(past: Sequence[NightFacts], tonight: NightFacts) -> Iterator[Alarm]:
    """Both distances have to exceed what random divisions give, and what earlier nights exceeded them by."""
    now = tonight.shift
    before = [night.shift for night in past if night.shift is not None]
    if now is None or len(before) < FEWEST_NIGHTS:
        return
    chance = max(
        now.mmd.p_value,
        now.energy.p_value,
        chance_of_record([shift.mmd.excess for shift in before], now.mmd.excess, tails=_TAILS_OF_EXCESS),
        chance_of_record([shift.energy.excess for shift in before], now.energy.excess, tails=_TAILS_OF_EXCESS),
    )
    if chance <= _ALLOWED:
        excesses = [shift.mmd.excess for shift in before]
        expected = f"{min(excesses):+.1f} to {max(excesses):+.1f}"
        where = _most_shifted(tonight)
        came = f"{now.mmd.excess:+.1f} standard deviations from earlier ones (energy distance {now.energy.excess:+.1f})"
        came += f", most in {where}" if where else ""
        yield _alarm("embeddings of new images", None, expected, came, chance, len(before))


Figure = Callable[[Sequence[NightFacts], NightFacts], Iterator[Alarm]]

FIGURES: dict[str, Figure] = {
    "noise rate": _noise_rate,
    "noise rate of new images": _new_noise_rate,
    "noise rate of a category": _category_noise_rates,
    "noise rate of a category's new images": _category_new_noise_rates,
    "new images": _new_images,
    "unreadable": _unreadable,
    "sites": _sites,
    "queries": _queries,
    "shift": _shift,
}


def _largest(
    name: str,
    past: Sequence[NightFacts],
    tonight: NightFacts,
    measured: Callable[[CategoryNight], Measured | None],
    *,
    may_wander: bool,
) -> Iterator[Alarm]:
    nights = [{item.category: measured(item) for item in night.categories} for night in (*past, tonight)]
    nights = [night for night in nights[:-1] if any(night.values())] + nights[-1:]
    names = sorted(name for name, item in nights[-1].items() if item is not None)
    if len(nights) <= FEWEST_NIGHTS or not names:
        return
    known = [[night.get(category) for category in names] for night in nights]
    values = np.array([[np.nan if item is None else item.value for item in row] for row in known])
    errors = np.array([[np.nan if item is None else item.error for item in row] for row in known])
    chance, departures = chance_of_largest(values, errors)
    if may_wander:
        chance_of_steps, steps = chance_of_largest(np.diff(values, axis=0), np.maximum(errors[1:], errors[:-1]))
        chance, departures = max(chance, chance_of_steps), np.minimum(departures, steps)
    if chance > _ALLOWED:
        return
    for place in np.argsort(-departures, kind="stable")[:_MOST_NAMED]:
        if departures[place] >= departures.max() / 2:
            column = values[:-1, place]
            column = column[np.isfinite(column)]
            yield _alarm(name, names[place], _range(column), _percent(values[-1, place]), chance, len(column))


def _mix(name: str, past: Sequence[Mix | None], now: Mix | None) -> Iterator[Alarm]:
    before = [mix for mix in past if mix is not None and mix.named >= _FEWEST_NEW]
    if now is None or now.named < _FEWEST_NEW or len(before) < FEWEST_NIGHTS:
        return
    found = mix_departures([*before, now])
    chance = max(chance_of_record(found.departures[:-1], float(found.departures[-1])), found.chance)
    if chance <= _ALLOWED:
        expected = ", ".join(f"{share:.0%} from {place}" for place, share, _ in found.names)
        came = ", ".join(f"{share:.0%} from {place}" for place, _, share in found.names)
        yield _alarm(name, None, expected, came, chance, len(before))


def _measured_noise(new: NewImages | None) -> Measured | None:
    if new is None or new.judged < _FEWEST_NEW or new.noise_rate is None or new.noise_error is None:
        return None
    variance = (new.judged * new.judged * new.noise_error**2 + _A_PRIORI * _USUAL_VARIANCE) / (new.judged + _A_PRIORI)
    return Measured(new.noise_rate, sqrt(variance / new.judged))


def _logarithm(number: int) -> Measured:
    """Numbers of images differ by factors; the error is that of a Poisson number."""
    return Measured(log1p(number), 1 / sqrt(1 + number))


def _share_unreadable(new: NewImages) -> Measured:
    """As log-odds with their error (Haldane 1956): shares of some per mille differ by factors."""
    bad, good = new.unreadable + 0.5, new.images - new.unreadable + 0.5
    return Measured(log(bad / good), sqrt(1 / bad + 1 / good))


def _most_shifted(night: NightFacts) -> str | None:
    shifts = [(item.shift.mmd.excess, item.category) for item in night.categories if item.shift is not None]
    return max(shifts)[1] if shifts else None


def _alarm(name: str, category: str | None, expected: str, came: str, chance: float, nights: int) -> Alarm:
    whose = f"The {name} of {category}" if category else f"The {name}"
    often = max(round(1 / max(chance, 1e-9)), 1)
    times = f"once in {often:,} nights" if often < 100_000 else "next to never"
    sentence = f"{whose}: {came}, where the {nights} nights before had {expected}; by chance {times}."
    return Alarm(name, category, expected, came, chance, sentence)


def _range(shares: Sequence[float] | np.ndarray) -> str:
    low, high = min(shares), max(shares)
    return _percent(low) if _percent(low) == _percent(high) else f"{_percent(low)} to {_percent(high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"

"""How often a night like those before it would depart so far from them by chance: an upper bound of the p-value.

Two bounds, and the larger one counts, so a false alarm needs both to fail:

- *Record.* If tonight is a night like the n before it, its departure exceeds all of theirs with probability 1 / (n+1),
  whatever their distribution. How often it exceeds the largest of them by a factor k depends on the tails: it is worked
  out for a Student's t with three degrees of freedom, or as told, and is less where tails are lighter.
- *Student.* The prediction interval of one more normal value after n (Student 1908; Whitmore, The American
  Statistician 40, 1986): the record alone is too bold after a handful of nights that happen to lie close together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, t

FEWEST_NIGHTS = 3
HEAVIEST_TAILS = 3  # degrees of freedom; counts and noise rates of real nights are compared on scales that tame theirs
_POINTS = 400  # of the integral over the largest of n; the error is below 1 %
_NORMAL = 1.4826  # standard deviation over median absolute deviation, of a normal distribution

FloatVector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure of one night and the standard error with which that night shows it (0: none is known)."""

    value: float
    error: float = 0.0


def chance_of_record(past: ArrayLike, now: float, *, least: float = 1.0, tails: int = HEAVIEST_TAILS) -> float:
    """At most how often a departure is as large as `now` after departures `past`, shape (n,).

    Departures below `least` count as that much: they are within what measuring once is off by. With T a Student's t of
    `tails` degrees of freedom, S the tail of |T| and M the largest of n of them, it is E S(k M), k = now / largest.
    """
    known = np.asarray(past, dtype=np.float64)
    largest = max(float(known.max(initial=0.0)), least)
    if now <= largest:
        return 1.0
    return float(2 * t.sf(now / largest * _largest_of(len(known), tails), tails).mean())


def chance_of_value(past: Sequence[Measured], now: Measured, *, least: float) -> float:
    """At most how often a night's figure lies so far from those of `past` nights; 1 where there are fewer than three.

    `least` is a difference that is worth telling nobody, in the units of the figure.
    """
    if len(past) < FEWEST_NIGHTS:
        return 1.0
    values = np.array([item.value for item in (*past, now)])[:, None]
    errors = np.array([item.error for item in (*past, now)])[:, None]
    departures = standardised(values, np.hypot(errors, least))[:, 0]
    record = chance_of_record(departures[:-1], float(departures[-1]))
    return max(record, _chance_by_student(values[:-1, 0], errors[:-1, 0], now, least))


def chance_of_step(past: Sequence[float], now: float, *, least: float) -> float:
    """The same of a level that may wander from night to night: it has to depart both as a level and as a step."""
    levels = [*past, now]
    steps = [Measured(after - before) for before, after in pairwise(levels)]
    as_level = chance_of_value([Measured(value) for value in past], Measured(now), least=least)
    return max(as_level, chance_of_value(steps[:-1], steps[-1], least=least)) if steps else 1.0


def chance_of_largest(values: FloatVector, errors: FloatVector) -> tuple[float, FloatVector]:
    """Of many figures a night, shapes (n + 1, C), NaN where unknown: the chance of the largest departure of the last.

    Comparing the largest of a night with the largest of each other night holds for all figures at once, however they
    depend on each other (Westfall and Young 1993). Also returns the last night's departures, shape (C,), 0 where
    unknown. The errors are > 0.
    """
    known = np.isfinite(values)
    usable = known[-1] & (known.sum(axis=0) > FEWEST_NIGHTS)
    departures = np.zeros(values.shape)
    departures[:, usable] = np.nan_to_num(standardised(values[:, usable], errors[:, usable]))
    largest = departures.max(axis=1, initial=0.0)
    return chance_of_record(largest[:-1], float(largest[-1])), departures[-1]


def chance_of_pause(active: Sequence[bool]) -> float:
    """At most how often nights that each pause with one probability, whatever it is, end in so many pauses.

    `active` says of each night, oldest first, whether it had anything new. With r pauses at the end and i among the n
    nights before them it is the largest q^r P(Binomial(n, q) <= i).
    """
    pauses = next((length for length, busy in enumerate(reversed(active)) if busy), len(active))
    if pauses == 0:
        return 1.0
    before = active[: len(active) - pauses]
    rates = np.linspace(0.0, 1.0, 201)
    idle = sum(not busy for busy in before)
    return float((rates**pauses * binom.cdf(idle, len(before), rates)).max())


@cache
def _largest_of(nights: int, tails: int) -> FloatVector:
    """Values of the largest of n departures at evenly spaced probabilities, of a Student's t."""
    levels = (np.arange(_POINTS) + 0.5) / _POINTS
    values: FloatVector = t.isf((1 - levels ** (1 / max(nights, 1))) / 2, tails)
    return values


def standardised(values: FloatVector, errors: FloatVector) -> FloatVector:
    """|value - median| over the spread of the column, shape (n, C) each, NaN where a value is.

    The spread is that of the nights (from the median absolute deviation) beyond what measuring explains, and the error
    of the value itself. All nights count alike in it, so that each of them is equally likely to depart most.
    """
    median = np.median if np.isfinite(values).all() else np.nanmedian  # the latter is several times slower
    distances = np.abs(values - median(values, axis=0))
    spread = np.square(_NORMAL * median(distances, axis=0))
    beyond = np.maximum(spread - median(np.square(errors), axis=0), 0.0)
    found: FloatVector = distances / np.sqrt(beyond + np.square(errors))
    return found


def _chance_by_student(values: FloatVector, errors: FloatVector, now: Measured, least: float) -> float:
    nights = len(values)
    measured = float(np.mean(np.square(errors))) + least**2
    variance = max(float(values.var(ddof=1)), measured)
    worse = max(now.error**2 + least**2 - measured, 0.0)  # tonight may be measured on fewer images than usual
    statistic = abs(now.value - float(values.mean())) / np.sqrt(variance * (1 + 1 / nights) + worse)
    return float(2 * t.sf(statistic, nights - 1))

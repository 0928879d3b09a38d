"""A set cut into parts, such as train and val, so that no picture and no copy of it lies in two of them.

The part of a picture depends on a digest of its bytes alone: it is the same in every export and stays when images come
or go. Shares therefore hold on the average, with the scatter of a drawing: of 200 pictures at 0.1 some 20 ± 4. Where a
category would miss a part altogether, one of its pictures is lent to it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import accumulate

from curation.errors import ExportError
from curation.values import CleanedSample

_PART = re.compile(r"\s*(?P<name>[A-Za-z][A-Za-z0-9_]{0,31})\s*=\s*(?P<share>\d*\.?\d+)\s*")
_TOLERANCE = 1e-6  # of the sum of the shares: 0.333333 three times is meant to be 1
_KEY_DIGITS = 12  # as ids of copies: a picture that gets its first copy keeps its place, or takes that of the copy
_HINT = "Such as train=0.9,val=0.1; names are made of letters, digits and _."


def parse_split(text: str) -> dict[str, float]:
    """Part -> share, in their order, of "train=0.9,val=0.1"; raises `ExportError` for anything else."""
    found = [_PART.fullmatch(part) for part in text.split(",")]
    shares = {match["name"]: float(match["share"]) for match in found if match}
    if len(shares) < len(found) or len({name.casefold() for name in shares}) < len(found):
        raise ExportError(f"a split looks like train=0.9,val=0.1, each name once; got {text!r}.", hint=_HINT)
    check_shares(shares)
    return shares


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise `ExportError` unless there are two parts or more, each with a share above 0, that sum to 1."""
    if len(shares) < 2 or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > _TOLERANCE:
        told = ",".join(f"{name}={share:g}" for name, share in shares.items())
        raise ExportError(
            f"a split has two parts or more, with shares above 0 that sum to 1; got {told or 'none'}.", hint=_HINT
        )
    if "all" in map(str.casefold, shares):
        raise ExportError("no part of a split can be called all: Hugging Face means every part by it.", hint=_HINT)


def split_samples(samples: Sequence[CleanedSample], shares: Mapping[str, float]) -> tuple[CleanedSample, ...]:
    """The samples, each with its part in `split`; those of one `copies_group`, or with the same bytes, have the same.

    A category gets into every part where it has as many separate pictures, and into that of the largest share first.
    """
    check_shares(shares)
    parts = {key: _part_of(place_of(key), shares) for key in {_key_of(sample) for sample in samples}}
    parts.update(_lent(samples, parts, shares))
    return tuple(replace(sample, split=parts[_key_of(sample)]) for sample in samples)


def place_of(key: str) -> float:
    """Where between 0 and 1 a picture falls: evenly spread, and never another place."""
    return int.from_bytes(sha256(f"split {key}".encode()).digest()[:8]) / 2**64


def _key_of(sample: CleanedSample) -> str:
    return sample.copies_group or sample.sha256[:_KEY_DIGITS]


def _part_of(place: float, shares: Mapping[str, float]) -> str:
    bounds = list(accumulate(shares.values()))[:-1]
    return list(shares)[bisect_right(bounds, place)]


def _lent(samples: Iterable[CleanedSample], parts: Mapping[str, str], shares: Mapping[str, float]) -> dict[str, str]:
    """Key -> the part it is lent to, so that no category misses a part that it has enough pictures for.

    Pictures that several categories share stay where they are.
    """
    categories_of: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        categories_of[_key_of(sample)].add(sample.category)
    keys_of: dict[str, list[str]] = defaultdict(list)
    for key, categories in categories_of.items():
        for category in categories:
            keys_of[category].append(key)
    lent: dict[str, str] = {}
    for keys in keys_of.values():
        movable = [key for key in keys if len(categories_of[key]) == 1]
        lent |= _lent_within(movable, {parts[key] for key in keys}, parts, shares)
    return lent


def _lent_within(
    movable: Iterable[str], there: set[str], parts: Mapping[str, str], shares: Mapping[str, float]
) -> dict[str, str]:
    """The same within one category, which has pictures in the parts `there`.

    The one to go is the nearest by its place, from the fullest part, and never the last one of a part.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for key in movable:
        members[parts[key]].append(key)
    home = max(shares, key=lambda part: shares[part])
    lent: dict[str, str] = {}
    for part in sorted((part for part in shares if part not in there), key=lambda part: part != home):
        giver = max(shares, key=lambda other: len(members[other]))
        if len(members[giver]) < (1 if part == home else 2):
            continue
        key = min(members[giver], key=lambda key: (_distance(place_of(key), part, shares), key))
        members[giver].remove(key)
        lent[key] = part
    return lent


def _distance(place: float, part: str, shares: Mapping[str, float]) -> float:
    """How far a place is from the stretch of a part."""
    end = dict(zip(shares, accumulate(shares.values()), strict=True))[part]
    return max(end - shares[part] - place, place - end)

"""Splits that do not leak: copies stay together, shares are kept, and additions move nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ExportError
from curation.export.splits import parse_split, place_of, split_samples
from curation.values import CleanedSample, Role

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def sample(number: int, category: str = "Wren", group: str | None = None, content: int | None = None) -> CleanedSample:
    digest = sha256(str(number if content is None else content).encode()).hexdigest()
    name = f"{number:016d}"
    return CleanedSample(
        name, name, Role.NOVEL, category, 0, category, 1.0, None, "file:///x", digest, copies_group=group
    )


def split_of(samples: Sequence[CleanedSample], shares: dict[str, float]) -> dict[str, str | None]:
    return {item.sample_id: item.split for item in split_samples(samples, shares)}


many_samples = st.lists(
    st.builds(
        sample,
        number=st.integers(0, 10**6),
        category=st.sampled_from(["Wren", "Robin", "Owl"]),
        group=st.none() | st.integers(0, 8).map(lambda number: f"{number:012x}"),
        content=st.integers(0, 40),
    ),
    max_size=60,
    unique_by=lambda item: item.sample_id,
)
any_shares = st.lists(st.integers(1, 20), min_size=2, max_size=4).map(
    lambda parts: {f"part{number}": part / sum(parts) for number, part in enumerate(parts)}
)


@given(samples=many_samples, shares=any_shares)
def test_split__copies_and_same_bytes_are_never_torn_apart(
    samples: list[CleanedSample], shares: dict[str, float]
) -> None:
    sides: dict[str, set[str | None]] = defaultdict(set)
    for item in split_samples(samples, shares):
        assert item.split in shares
        sides[item.copies_group or item.sha256].add(item.split)
    assert all(len(side) == 1 for side in sides.values())


@given(samples=many_samples, shares=any_shares, order=st.randoms(use_true_random=False))
def test_split__does_not_depend_on_the_order(samples: list[CleanedSample], shares: dict[str, float], order) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(samples)
    order.shuffle(shuffled)
    assert split_of(shuffled, shares) == split_of(samples, shares)


@given(start=st.integers(0, 10**9), before=st.integers(120, 200), added=st.integers(0, 200))
@settings(max_examples=30)
def test_split__additions_move_nothing(start: int, before: int, added: int) -> None:
    """Of categories that are in every part already, which those of 120 pictures are but once in 100,000 times."""
    samples = [sample(start + number, "Wren") for number in range(before + added)]
    first, then = split_of(samples[:before], SHARES), split_of(samples, SHARES)
    if set(first.values()) == set(SHARES):
        assert first.items() <= then.items()


@given(samples=many_samples, more=many_samples)
def test_split__what_is_there_by_its_own_place_stays(samples: list[CleanedSample], more: list[CleanedSample]) -> None:
    """In any category that needs no loan before and after, additions move nothing, whatever else happens."""
    known = {item.sample_id for item in samples}
    grown = [*samples, *(item for item in more if item.sample_id not in known)]
    first, then = split_of(samples, SHARES), split_of(grown, SHARES)

    def at_home(chosen: dict[str, str | None], item: CleanedSample) -> bool:
        return chosen[item.sample_id] == part_by_place(item)

    for item in samples:
        if at_home(first, item) and at_home(then, item):
            assert first[item.sample_id] == then[item.sample_id]
    for category in {item.category for item in grown}:
        members = [item for item in grown if item.category == category]
        if {part_by_place(item) for item in members} == set(SHARES):
            assert all(at_home(then, item) or shared(item, grown) for item in members)


def part_by_place(item: CleanedSample) -> str:
    place = place_of(item.copies_group or item.sha256[:12])
    return "train" if place < 0.7 else "val" if place < 0.7 + 0.2 else "test"


def shared(item: CleanedSample, samples: Sequence[CleanedSample]) -> bool:
    key = item.copies_group or item.sha256[:12]
    return len({other.category for other in samples if (other.copies_group or other.sha256[:12]) == key}) > 1


def test_split__shares_are_kept_in_every_category() -> None:
    samples = [sample(number, "Wren" if number % 2 else "Robin") for number in range(8000)]
    found = Counter((item.category, item.split) for item in split_samples(samples, SHARES))
    for category in ("Wren", "Robin"):
        for part, share in SHARES.items():
            scatter = (4000 * share * (1 - share)) ** 0.5
            assert abs(found[category, part] - 4000 * share) < 4 * scatter


@given(start=st.integers(0, 10**9), pictures=st.integers(1, 12))
def test_split__small_categories_get_into_every_part(start: int, pictures: int) -> None:
    found = Counter(split_of([sample(start + number) for number in range(pictures)], SHARES).values())
    assert found["train"] >= 1
    assert len(found) == min(pictures, len(SHARES))


def test_split__a_picture_of_two_categories_is_not_lent() -> None:
    both = [sample(1, "Wren", "aaaaaaaaaaaa"), sample(2, "Robin", "aaaaaaaaaaaa")]
    assert len(set(split_of(both, {"a": 0.5, "b": 0.5}).values())) == 1


def test_parse_split__names_and_shares_in_their_order() -> None:
    assert parse_split(" train = 0.8, val=.1,test=0.1") == {"train": 0.8, "val": 0.1, "test": 0.1}
    assert parse_split("a=0.333333,b=0.333333,c=0.333334")["c"] == 0.333334


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "looks like train=0.9,val=0.1"),
        ("train", "looks like"),
        ("train=0.9;val=0.1", "looks like"),
        ("train=0.9,Train=0.1", "each name once"),
        ("train=0.5,train=0.5", "each name once"),
        ("../x=0.9,val=0.1", "looks like"),
        ("train=-0.5,val=1.5", "looks like"),
        ("train=0.9,val=0.2", r"sum to 1; got train=0\.9,val=0\.2"),
        ("train=1", "two parts or more"),
        ("train=1,val=0", "above 0"),
        ("train=0.9,all=0.1", "called all"),
    ],
)
def test_parse_split__says_what_is_wrong(text: str, match: str) -> None:
    with pytest.raises(ExportError, match=match):
        parse_split(text)

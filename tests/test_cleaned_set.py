from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.cleaned_set import build_cleaned_set, set_aside_beyond
from curation.config import CleanedSetConfig
from curation.errors import ExportError
from curation.export.manifest import content_hash_of
from curation.values import (
    CleanedSet,
    Decision,
    DecisionAction,
    Evidence,
    Flag,
    FlagName,
    NoiseEstimate,
    Role,
    Sample,
)

CATEGORIES = {"Wren": 0, "Robin": 1}


def sample(name: str, role: Role = Role.NOVEL) -> Sample:
    return Sample(name, f"{name}.jpg", role, "Wren", f"file:///{name}.jpg", "1", name * 64, None, "/source")


def build(
    *samples: Sample,
    weights: Mapping[str, float] | None = None,
    flags: Mapping[str, Sequence[FlagName]] | None = None,
    decisions: Sequence[Decision] = (),
    noise: Mapping[str, float] | None = None,
) -> CleanedSet:
    return build_cleaned_set(
        samples,
        evidence={name: Evidence(name, weight, None, None, None, ()) for name, weight in (weights or {}).items()},
        estimates={name: NoiseEstimate(name, value, value, None, 1.0, "") for name, value in (noise or {}).items()},
        flags={name: [Flag(name, flag, f"It is {flag}.") for flag in found] for name, found in (flags or {}).items()},
        decisions={decision.sample_id: decision for decision in decisions},
        categories=CATEGORIES,
        set_aside_flags=CleanedSetConfig().set_aside,
        provenance={},
    )


def test_cleaned_set__flagged_samples_go_with_their_first_reason() -> None:
    made = build(
        sample("a"),
        sample("b"),
        weights={"a": 1.2, "b": 0.2},
        flags={"b": [FlagName.OUTLIER, FlagName.LEAK]},
    )
    assert [(kept.sample_id, kept.weight, kept.category_id) for kept in made.kept] == [("a", 1.2, 0)]
    assert [(aside.sample_id, aside.reason, aside.detail) for aside in made.set_aside] == [("b", "leak", "It is leak.")]


def test_cleaned_set__a_person_outweighs_flags_but_not_missing_pixels() -> None:
    made = build(
        sample("a"),
        sample("b"),
        sample("c"),
        sample("d"),
        sample("e"),
        weights={"a": 0.1, "b": 0.1, "c": 1.0, "d": 1.0, "e": 0.2},
        flags={
            "a": [FlagName.OUTLIER],
            "b": [FlagName.LABEL_FLIP],
            "d": [FlagName.UNREADABLE],
            "e": [FlagName.OUTLIER],
        },
        decisions=[
            Decision("a", DecisionAction.KEEP, "first"),
            Decision("b", DecisionAction.RELABEL, "first", "Robin"),
            Decision("c", DecisionAction.DROP, "second"),
            Decision("d", DecisionAction.KEEP, "second"),
            Decision("e", DecisionAction.UNSURE, "second"),
        ],
    )
    kept = {item.sample_id: (item.category, item.category_id, item.web_category, item.weight) for item in made.kept}
    assert kept == {"a": ("Wren", 0, "Wren", 1.0), "b": ("Robin", 1, "Wren", 1.0)}
    assert {item.sample_id: item.reason for item in made.set_aside} == {
        "c": "dropped",
        "d": "unreadable",
        "e": "outlier",
    }


def test_cleaned_set__noise_probability_is_the_models_unless_a_person_has_spoken() -> None:
    made = build(
        *(sample(name) for name in "abcd"),
        sample("e", Role.BASE),
        weights=dict.fromkeys("abcd", 1.0),
        noise={"a": 0.3, "b": 0.3, "c": 0.3, "e": 0.3},
        decisions=[
            Decision("b", DecisionAction.KEEP, "first"),
            Decision("c", DecisionAction.UNSURE, "first"),
        ],
    )
    assert [kept.noise_probability for kept in made.kept] == [0.3, 0.0, 0.3, None, None]


def test_cleaned_set__what_goes_beyond_a_promise_is_set_aside_with_its_reason() -> None:
    made = build(sample("a"), sample("b"), weights={"a": 1.0, "b": 1.0})
    held = set_aside_beyond(made, {"b": "Too doubtful."})
    assert [kept.sample_id for kept in held.kept] == ["a"]
    assert [(aside.sample_id, aside.reason, aside.detail) for aside in held.set_aside] == [
        ("b", "promise", "Too doubtful.")
    ]
    assert held.content_hash == content_hash_of(held.kept) != made.content_hash


def test_cleaned_set__base_samples_have_weight_one() -> None:
    made = build(sample("a", Role.BASE), weights={"a": 0.3})
    assert made.kept[0].weight == 1.0


def test_cleaned_set__what_was_not_scored_is_not_exported() -> None:
    with pytest.raises(ExportError, match=r"'a.jpg' of Wren has no weight"):
        build(sample("a"))


def test_cleaned_set__an_unknown_category_is_refused() -> None:
    with pytest.raises(ExportError, match="'Owl', which is no category"):
        build(sample("a"), weights={"a": 1.0}, decisions=[Decision("a", DecisionAction.RELABEL, "first", "Owl")])


@given(st.lists(st.tuples(st.sampled_from(FlagName), st.booleans()), max_size=8))
def test_cleaned_set__nothing_vanishes(cases: list[tuple[FlagName, bool]]) -> None:
    samples = [sample(chr(97 + number)) for number in range(len(cases))]
    made = build(
        *samples,
        weights={item.sample_id: 1.0 for item in samples},
        flags={item.sample_id: [flag] for item, (flag, raised) in zip(samples, cases, strict=True) if raised},
    )
    ids = {item.sample_id for item in made.kept} | {item.sample_id for item in made.set_aside}
    assert made.total == len(samples) and ids == {item.sample_id for item in samples}

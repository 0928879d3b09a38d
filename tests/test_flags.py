"""Each flag fires on the case it is for, and on nothing else."""

from __future__ import annotations

import pytest

from curation.errors import SimilarityError
from curation.flags import REGISTRY, raise_flags
from curation.flags.inputs import FlagInputs
from curation.membership import Membership, membership_threshold, memberships
from curation.values import CategorySimilarity, Evidence, Flag, FlagName, Role, Sample


def sample(name: str, *, digest: str | None = None, category: str = "Wren", role: Role = Role.NOVEL) -> Sample:
    return Sample(name, name, role, category, f"file:///{name}", "1", digest or name, None, "/source")


def inputs(
    *samples: Sample, unreadable: dict[str, str] | None = None, fits: dict[str, Membership] | None = None
) -> FlagInputs:
    return FlagInputs(samples, unreadable or {}, fits or {})


def fit(own: float, other: float | None) -> Membership:
    best = None if other is None else CategorySimilarity("Robin", other)
    return Membership("Wren", own, own / 2, best, None if other is None else other / 2, threshold=0.6)


def names(flags: list[Flag]) -> dict[str, FlagName]:
    return {flag.sample_id: flag.name for flag in flags}


def test_outlier_and_label_flip__by_what_a_sample_fits() -> None:
    fits = {
        "fits": fit(0.9, 0.1),
        "outlier": fit(0.3, 0.5),
        "alone": fit(0.3, None),
        "flip": fit(0.3, 0.8),
        "both": fit(0.7, 0.9),
    }
    flags = raise_flags(inputs(fits=fits))
    assert names(flags) == {
        "outlier": FlagName.OUTLIER,
        "alone": FlagName.OUTLIER,
        "flip": FlagName.LABEL_FLIP,
    }
    reasons = {flag.sample_id: flag.reason for flag in flags}
    assert "looks like Robin (80%" in reasons["flip"] and "30% of what is usual" in reasons["outlier"]


def test_unreadable__carries_the_reason() -> None:
    flags = raise_flags(inputs(sample("a"), unreadable={"a": "the file is truncated."}))
    assert flags == [Flag("a", FlagName.UNREADABLE, "The image cannot be used: the file is truncated.")]


def test_near_duplicate__the_first_of_a_category_stays() -> None:
    flags = raise_flags(inputs(sample("b", digest="x"), sample("a", digest="x"), sample("c")))
    assert names(flags) == {"b": FlagName.NEAR_DUPLICATE}
    assert "the same file as a" in flags[0].reason


def test_label_conflict__names_the_other_category_base_included() -> None:
    flags = raise_flags(
        inputs(
            sample("a", digest="x"),
            sample("b", digest="x", category="Robin"),
            sample("c", digest="y"),
            sample("d", digest="y", category="Owl", role=Role.BASE),
        )
    )
    assert names(flags) == dict.fromkeys("abc", FlagName.LABEL_CONFLICT)
    assert {flag.sample_id: flag.reason for flag in flags}["c"].endswith("under Owl.")


def test_leak__training_images_that_are_test_images() -> None:
    flags = raise_flags(
        inputs(
            sample("a", digest="x"),
            sample("b", digest="x", role=Role.TEST),
            sample("c", digest="z", role=Role.BASE, category="Owl"),
            sample("d", digest="z", role=Role.TEST),
        )
    )
    assert names(flags) == {"a": FlagName.LEAK, "c": FlagName.LEAK}


def test_registry__has_every_flag_but_the_one_of_image_quality() -> None:
    assert set(REGISTRY) == set(FlagName) - {FlagName.LOW_QUALITY}


def test_memberships__are_relative_to_what_is_usual_in_a_category() -> None:
    # Wrens are alike (0.8 among themselves), robins are not (0.2): 0.2 to the robins is as much as a robin has.
    evidence = [
        (
            "Wren",
            Evidence("w1", 1.5, None, 0.8, None, (CategorySimilarity("Wren", 0.8), CategorySimilarity("Robin", 0.1))),
        ),
        (
            "Wren",
            Evidence("w2", 0.5, None, 0.8, None, (CategorySimilarity("Wren", 0.8), CategorySimilarity("Robin", 0.2))),
        ),
        (
            "Robin",
            Evidence("r1", 1.0, None, 0.2, None, (CategorySimilarity("Robin", 0.2), CategorySimilarity("Wren", 0.2))),
        ),
    ]
    fits = memberships(evidence, threshold=0.6)
    assert fits["w1"].other == CategorySimilarity("Robin", 0.5)
    assert fits["w2"].other == CategorySimilarity("Robin", 1.0)
    assert fits["w2"].suggested_category == "Robin" and fits["w1"].suggested_category == "Wren"
    assert fits["r1"].other == CategorySimilarity("Wren", pytest.approx(0.25))  # type: ignore[arg-type]


def test_membership__single_image_category_has_no_others() -> None:
    fits = memberships([("Wren", Evidence("w", 1.0, None, None, None, ()))], threshold=0.6)
    assert fits["w"].fits_own and not fits["w"].fits_other and fits["w"].suggested_category == "Wren"


def test_membership_threshold__is_the_weight_few_clean_images_miss() -> None:
    weights = [0.1 + 0.1 * number for number in range(21)]
    assert membership_threshold(weights, 0.05) == pytest.approx(0.2)
    with pytest.raises(SimilarityError, match="19 clean held-out"):
        membership_threshold([1.0] * 19, 0.05)

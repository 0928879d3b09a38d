"""Each flag fires on the case it is for, and on nothing else."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.config import CleanedSetConfig, Config, DuplicatesConfig, QualityConfig
from curation.flags import REGISTRY, raise_flags
from curation.flags.inputs import FlagInputs
from curation.flow import run_stages
from curation.stages import embed, flag
from curation.stages.ingest import ingest
from curation.store.connection import catalog
from curation.store.flags import read_flags
from curation.store.images import put_image_facts, read_image_facts
from curation.store.samples import read_samples
from curation.values import Flag, FlagName, ImageFacts, NoiseEstimate, Role, Sample
from curation.workspace import Workspace
from tests.pictures import EDITS, drawing


def sample(name: str, *, digest: str | None = None, category: str = "Wren", role: Role = Role.NOVEL) -> Sample:
    return Sample(name, name, role, category, f"file:///{name}", "1", digest or name, None, "/source")


def inputs(
    *samples: Sample,
    unreadable: dict[str, str] | None = None,
    estimates: Sequence[NoiseEstimate] = (),
    facts: Sequence[ImageFacts] = (),
    alike: dict[tuple[str, str], float] | None = None,
) -> FlagInputs:
    """`alike` gives the likeness of two digests that are near copies."""
    copies: dict[str, dict[str, float]] = defaultdict(dict)
    for (one, other), likeness in (alike or {}).items():
        copies[one][other] = copies[other][one] = likeness
    known = {item.sample_id: item for item in estimates}
    return FlagInputs(samples, unreadable or {}, known, {fact.sha256: fact for fact in facts}, copies)


def picture(
    digest: str,
    width_px: int = 100,
    height_px: int = 100,
    *,
    contrast: float | None = 50.0,
    sharpness: float | None = 0.2,
) -> ImageFacts:
    return ImageFacts(digest, width_px=width_px, height_px=height_px, contrast=contrast, sharpness=sharpness)


def estimate(sample_id: str, probability: float, suggested: str | None) -> NoiseEstimate:
    return NoiseEstimate(sample_id, probability, probability, suggested, 0.9, f"Why {sample_id}.")


def names(flags: list[Flag]) -> dict[str, FlagName]:
    return {flag.sample_id: flag.name for flag in flags}


def test_outlier_and_label_flip__by_what_the_noise_model_suggests() -> None:
    estimates = [estimate("fits", 0.1, "Wren"), estimate("outlier", 0.9, None), estimate("flip", 0.5, "Robin")]
    samples = [sample(item.sample_id) for item in estimates]
    flags = raise_flags(inputs(*samples, estimates=estimates))
    assert names(flags) == {"outlier": FlagName.OUTLIER, "flip": FlagName.LABEL_FLIP}
    assert {flag.reason for flag in flags} == {"Why outlier.", "Why flip."}


def test_outlier_and_label_flip__the_threshold_is_configured() -> None:
    estimates = [estimate("doubtful", 0.3, "Wren"), estimate("sure", 0.9, "Robin")]
    samples = [sample(item.sample_id) for item in estimates]
    strict = replace(inputs(*samples, estimates=estimates), suspected_at=0.95)
    assert raise_flags(strict) == []
    # Below one half the web category is still the suggestion: nothing else to suggest makes it an outlier.
    lenient = replace(inputs(*samples, estimates=estimates), suspected_at=0.2)
    assert names(raise_flags(lenient)) == {"doubtful": FlagName.OUTLIER, "sure": FlagName.LABEL_FLIP}


def test_unreadable__carries_the_reason() -> None:
    flags = raise_flags(inputs(sample("a"), unreadable={"a": "the file is truncated."}))
    assert flags == [Flag("a", FlagName.UNREADABLE, "The image cannot be used: the file is truncated.")]


def test_near_duplicate__the_first_of_a_category_stays() -> None:
    flags = raise_flags(inputs(sample("b", digest="x"), sample("a", digest="x"), sample("c")))
    assert names(flags) == {"b": FlagName.NEAR_DUPLICATE}
    assert "the same file as a" in flags[0].reason


def test_near_duplicate__the_best_copy_stays_and_is_named() -> None:
    facts = [picture("a"), picture("b", 400, 300), picture("c", 400, 300, sharpness=0.5)]
    alike = {("a", "b"): 0.97, ("b", "c"): 0.98, ("a", "c"): 0.99}
    flags = raise_flags(inputs(sample("a"), sample("b"), sample("c"), facts=facts, alike=alike))
    assert {flag.sample_id: flag.reason for flag in flags} == {
        "a": "It is nearly the same picture as c (99.0% alike), which stays: 400 x 300 pixels against 100 x 100.",
        "b": "It is nearly the same picture as c (98.0% alike), which stays.",
    }


def test_near_duplicate__the_name_decides_between_equals_and_images_without_facts() -> None:
    flags = raise_flags(inputs(sample("b"), sample("a"), alike={("a", "b"): 0.97}))
    assert names(flags) == {"b": FlagName.NEAR_DUPLICATE}


def test_near_duplicate__a_chain_keeps_what_was_not_compared_with_the_one_that_stays() -> None:
    # Each is a near copy of the next only: a stays, b goes with it; c is no copy of a, so it stays, and d goes with c.
    chain = {("a", "b"): 0.97, ("b", "c"): 0.97, ("c", "d"): 0.97}
    flags = raise_flags(inputs(*(sample(name) for name in "abcd"), alike=chain))
    assert {flag.sample_id: flag.reason.split()[7] for flag in flags} == {"b": "a", "d": "c"}


def test_near_duplicate__copies_of_copies_are_flagged_with_them() -> None:
    flags = raise_flags(inputs(sample("a"), sample("b", digest="x"), sample("c", digest="x"), alike={("a", "x"): 0.97}))
    assert names(flags) == dict.fromkeys("bc", FlagName.NEAR_DUPLICATE)
    assert all("nearly the same picture as a" in flag.reason for flag in flags)


def test_near_duplicate__not_across_categories_and_not_in_base() -> None:
    samples = sample("a"), sample("b", role=Role.BASE), sample("c", role=Role.BASE)
    flags = raise_flags(inputs(*samples, alike={("a", "b"): 0.97, ("b", "c"): 0.97}))
    assert flags == []


@given(
    pairs=st.sets(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")).filter(lambda pair: pair[0] < pair[1])
    ),
    digests=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=10),
)
def test_near_duplicate__every_flagged_one_has_a_copy_that_stays_and_those_that_stay_are_no_copies(
    pairs: set[tuple[str, str]], digests: list[str]
) -> None:
    samples = [sample(str(number), digest=digest) for number, digest in enumerate(digests)]
    given_inputs = inputs(*samples, alike=dict.fromkeys(pairs, 0.97))
    flagged = names(raise_flags(given_inputs))
    stay = [item for item in samples if item.sample_id not in flagged]
    kept_digests = {item.sha256 for item in stay}
    assert len(kept_digests) == len(stay)
    for item in samples:
        copies = {other for pair in pairs if item.sha256 in pair for other in pair}
        if item.sample_id in flagged:
            assert kept_digests & (copies | {item.sha256})
        else:
            assert not kept_digests & (copies - {item.sha256})


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


def test_label_conflict__near_copies_under_other_categories() -> None:
    flags = raise_flags(
        inputs(
            sample("a"),
            sample("b", category="Robin"),
            sample("c", category="Owl", role=Role.BASE),
            sample("d", category="Kite", role=Role.TEST),
            alike={("a", "b"): 0.97, ("a", "c"): 0.98},
        )
    )
    assert names(flags) == dict.fromkeys("ab", FlagName.LABEL_CONFLICT)
    reasons = {flag.sample_id: flag.reason for flag in flags}
    assert reasons["a"] == (
        "Nearly the same picture is also listed under Owl as c (98.0% alike), Robin as b (97.0% alike)."
    )


def test_leak__near_copies_of_test_images_name_the_most_alike() -> None:
    tests = [sample("s", role=Role.TEST), sample("t", role=Role.TEST)]
    alike = {("a", "s"): 0.97, ("a", "t"): 0.99, ("b", "t"): 0.96, ("c", "a"): 0.98}
    flags = raise_flags(
        inputs(sample("a"), sample("b", role=Role.BASE), sample("c", category="Owl"), *tests, alike=alike)
    )
    leaks = {flag.sample_id: flag.reason for flag in flags if flag.name is FlagName.LEAK}
    assert set(leaks) == {"a", "b"}  # c is alike to a, which is alike to a test image: that proves nothing of c
    assert leaks["a"] == "Nearly the same picture is in the test set as t (99.0% alike)."


def test_low_quality__says_which_and_by_how_much() -> None:
    facts = [
        picture("good"),
        picture("small", 12, 100),
        picture("strip", 300, 60),
        picture("blank", contrast=1.0, sharpness=0.0),
        picture("blurred", sharpness=0.01),
        picture("unmeasured", contrast=None, sharpness=None),
        ImageFacts("unread", width_px=1, height_px=1, reason="truncated"),
    ]
    flags = raise_flags(inputs(*(sample(fact.sha256) for fact in facts), facts=facts))
    assert {flag.name for flag in flags} == {FlagName.LOW_QUALITY}
    assert {flag.sample_id: flag.reason for flag in flags} == {
        "small": "It is small: its shorter side has 12 pixels, 75% of the 16 wanted. "
        "It is a strip: 12 x 100 pixels, 8.33 times as long as wide, 208% of the 4 allowed.",
        "strip": "It is a strip: 300 x 60 pixels, 5 times as long as wide, 125% of the 4 allowed.",
        "blank": "It is blank: its grey values vary by 1, 20% of the 5 wanted.",
        "blurred": "It is blurred: its sharpness is 0.01, 50% of the 0.02 wanted.",
    }


def test_low_quality__is_looked_at_not_set_aside() -> None:
    assert FlagName.LOW_QUALITY not in CleanedSetConfig().set_aside


def test_registry__has_every_flag() -> None:
    assert set(REGISTRY) == set(FlagName)


def write_pictures(folder: Path, pictures: dict[str, Image.Image]) -> Path:
    for name, image in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name, quality=90)
    return folder


def test_flag_stage__finds_edited_copies_and_poor_pictures(workspace: Workspace, tmp_path: Path) -> None:
    rng = random.Random(0)
    size = (227, 170)
    base = {f"Owl/{seed}.jpg": drawing(seed, size) for seed in range(3)}
    novel = {f"Wren/{seed}.jpg": drawing(seed, size) for seed in range(10, 16)}
    novel["Wren/small.jpg"] = EDITS["resize to a half"](drawing(10, size), rng)
    novel["Wren/mirrored.png"] = EDITS["mirror, crop 10 %, half"](drawing(10, size), rng)
    novel["Wren/owl.jpg"] = EDITS["crop 10 %"](base["Owl/1.jpg"], rng)
    novel["Wren/white.png"] = Image.new("RGB", size, "white")
    test = {"Wren/t.jpg": EDITS["frame of 5 %"](drawing(12, size), rng), "Wren/u.jpg": drawing(20, size)}
    for role, pictures in ((Role.BASE, base), (Role.NOVEL, novel), (Role.TEST, test)):
        ingest(workspace, write_pictures(tmp_path / role.value, pictures), role)
    config = workspace.config()
    embed_and_flag = (embed.STAGE, flag.STAGE)
    run_stages(workspace, config, command="flag", stages=embed_and_flag)
    with catalog(workspace) as connection:
        image_ids = {sample.sample_id: sample.image_id for sample in read_samples(connection)}
        flags = {image_ids[name]: found for name, found in read_flags(connection).items()}
    assert {name: [flag.name for flag in found] for name, found in flags.items()} == {
        "Wren/small.jpg": [FlagName.NEAR_DUPLICATE],
        "Wren/mirrored.png": [FlagName.NEAR_DUPLICATE],
        "Wren/owl.jpg": [FlagName.LABEL_CONFLICT],
        "Wren/12.jpg": [FlagName.LEAK],
        "Wren/white.png": [FlagName.LOW_QUALITY],
    }
    assert "227 x 170 pixels against 114 x 85" in flags["Wren/small.jpg"][0].reason

    def flag_runs(changed: Config) -> bool:
        results = run_stages(workspace, changed, command="flag", stages=embed_and_flag)
        return results[-1].ran

    assert not flag_runs(config)
    assert flag_runs(config.model_copy(update={"duplicates": DuplicatesConfig(min_likeness=0.99)}))
    assert flag_runs(config.model_copy(update={"quality": QualityConfig(min_side_px=200)}))
    with catalog(workspace) as connection:
        facts = next(fact for fact in read_image_facts(connection).values() if fact.width_px == 114)
        put_image_facts(connection, [replace(facts, fingerprint=None)])  # as an earlier version left it
    assert flag_runs(config)
    with catalog(workspace) as connection:
        assert "Wren/small.jpg" not in {image_ids[name] for name in read_flags(connection)}

"""Agreement, progress, pace, evidence and pictures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.audit import plan_audit
from curation.config import Config, ReviewConfig
from curation.embedding_shards import shards_of, write_shard
from curation.errors import ReviewError
from curation.evidence_columns import evidence_columns_of
from curation.review.agreement import agreement, agreement_of, cohen_kappa, fleiss_kappa
from curation.review.deciding import confirm_page
from curation.review.evidence import safe_link, tile_evidence
from curation.review.overview import annotator_paces, pace, progress_by_category
from curation.review.pages import next_page, release_page
from curation.review.pictures import thumbnail, thumbnails
from curation.stages.ingest import ingest
from curation.store.audits import append_audit
from curation.store.connection import catalog
from curation.store.decision_history import WorkMoment
from curation.store.evidence import replace_evidence
from curation.store.flags import replace_flags
from curation.store.gold_checks import read_gold_check
from curation.store.images import put_image_facts
from curation.store.journal import journal
from curation.store.noise import replace_noise
from curation.store.runs import put_stage
from curation.store.samples import read_samples
from curation.store.snapshot import publish_snapshot
from curation.values import DecisionAction, Flag, FlagName, ImageFacts, Role
from curation.workspace import Workspace
from tests.review_factory import PLAIN, RUN, confirm, estimate_of, evidence_of, ids, publish, say

KEEP, DROP, UNSURE = DecisionAction.KEEP, DecisionAction.DROP, DecisionAction.UNSURE


def test_cohen__by_hand() -> None:
    # 20 both yes, 15 both no, 5 and 10 apart: p_o = 0.7, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)
    assert cohen_kappa([("y", "n"), ("n", "y")]) == pytest.approx(-1)
    assert cohen_kappa([("y", "y"), ("n", "n")]) == 1


def test_cohen__undefined() -> None:
    assert cohen_kappa([]) is None
    assert cohen_kappa([("y", "y")] * 3) is None


# Ten subjects, fourteen raters, five categories: P = 0.378, P_e = 0.213, kappa = 0.210.
RATINGS = """
    0 0 0 0 14
    0 2 6 4 2
    0 0 3 5 6
    0 3 9 2 0
    2 2 8 1 1
    7 7 0 0 0
    3 2 6 3 0
    2 5 3 2 2
    6 5 2 1 0
    0 2 2 3 7
"""


def test_fleiss__a_worked_example() -> None:
    counts = [dict(enumerate(map(int, line.split()))) for line in RATINGS.split("\n") if line.strip()]
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


def test_fleiss__by_hand() -> None:
    # Two samples of three: P = (1 + 1/3) / 2 = 2/3, P_e = (4/6)^2 + (2/6)^2 = 5/9, kappa = (1/9) / (4/9)
    assert fleiss_kappa([{"y": 3}, {"y": 1, "n": 2}]) == pytest.approx(0.25)
    assert fleiss_kappa([]) is None and fleiss_kappa([{"y": 2, "n": 0}, {"y": 2}]) is None
    for uneven in ([{"y": 2}, {"y": 3}], [{"y": 1}]):
        with pytest.raises(ValueError, match="same number"):
            fleiss_kappa(uneven)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=30))
def test_kappa__is_symmetric_and_at_most_one(pairs: list[tuple[str, str]]) -> None:
    kappa = cohen_kappa(pairs)
    mirrored = cohen_kappa([(other, one) for one, other in pairs])
    assert kappa is None or (mirrored == pytest.approx(kappa) and -1 - 1e-9 <= kappa <= 1)


def test_agreement__pairs_and_all() -> None:
    votes = [
        {"ada": "k", "ben": "k"},
        {"ada": "d", "ben": "d"},
        {"ben": "k", "cleo": "d"},
        {"ada": "k", "ben": "k", "cleo": "k"},
        {"ada": "k"},
    ]
    found = agreement_of(votes)
    assert [(pair.first, pair.second, pair.samples, pair.agreed) for pair in found.pairs] == [
        ("ada", "ben", 3, 3),
        ("ada", "cleo", 1, 1),
        ("ben", "cleo", 2, 1),
    ]
    assert found.pairs[0].kappa == 1 and found.pairs[1].kappa is None
    assert (found.samples, found.ratings) == (3, 2)
    assert found.kappa == pytest.approx((2 / 3 - 1 / 2) / (1 / 2))
    assert agreement_of([]) == agreement_of([{"ada": "k"}])


def test_agreement__of_a_workspace_blind_votes_only(workspace: Workspace) -> None:
    both = Config(review=ReviewConfig(overlap=1, gold=0))
    publish(workspace, {"wren": [0.9, 0.8, 0.7]})
    for who, last in (("ada", DROP), ("ben", KEEP)):
        page = next_page(workspace, both, who)
        say(workspace, page, who, DROP, "wren-00000")
        say(workspace, page, who, last, "wren-00001")
        say(workspace, page, who, UNSURE if who == "ben" else KEEP, "wren-00002")
        confirm(workspace, page, who)
    (pair,) = agreement(workspace).pairs
    assert (pair.first, pair.second, pair.samples, pair.agreed) == ("ada", "ben", 2, 1)


def test_progress__counts_by_hand(workspace: Workspace) -> None:
    novel = publish(workspace, {"wren": [0.9, 0.8, 0.6, 0.2, 0.1], "robin": [0.95]})
    with journal(workspace.journal) as connection:
        drawn = {one.sample_id: 0.1 for one in novel if one.sample_id in ("wren-00003", "wren-00004")}
        append_audit(connection, plan_audit(drawn, 2, seed=1, content_hash="c0ffee"))
    page = next_page(workspace, PLAIN, "ada", category="wren")
    for name, action in zip(ids(page), (DROP, KEEP, UNSURE), strict=True):
        say(workspace, page, "ada", action, name)
    robin, wren = progress_by_category(workspace, PLAIN)
    assert (robin.category, robin.waiting, robin.found_noise) == ("robin", 1, None)
    assert (wren.samples, wren.kept, wren.wrong, wren.waiting, wren.second_look, wren.in_audit) == (5, 1, 1, 0, 1, 2)
    assert wren.errors_left == pytest.approx(0.6 + 0.2 + 0.1) and wren.found_noise == 0.5
    assert wren.predicted_noise is not None and wren.predicted_noise.noise_rate == 0.25


def moments(who: str, *at: tuple[float, int]) -> list[WorkMoment]:
    start = datetime(2026, 1, 5, 8, tzinfo=UTC)
    return [WorkMoment(who, start + timedelta(seconds=seconds), new) for seconds, new in at]


def test_pace__pauses_do_not_count() -> None:
    ada = moments("ada", (0, 60), (60, 60), (90, 0), (1000, 50), (1120, 30))
    (found,) = annotator_paces(ada, silence_s=120)
    assert found.images == 90 and found.hours == pytest.approx(210 / 3600)
    assert found.images_per_hour == pytest.approx(90 / 210 * 3600)
    assert annotator_paces([], 120) == []
    made = moments("ben", (0, 9)) + moments("cleo", (0, 1), (10, 1), (100, 9)) + moments("dora", (0, 1), (59, 9))
    ben, cleo, dora = annotator_paces(made, 120)
    assert ben.images_per_hour is None and dora.images_per_hour is None and cleo.images_per_hour == 360


def test_pace__work_left_until_the_promise(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9] * 10 + [0.001] * 190})
    sure = Config(review=ReviewConfig(overlap=0, gold=0, promise=0.02, page_size=5))
    sure = sure.model_copy(update={"promise": sure.promise.model_copy(update={"calibration_error": 0.0})})
    before = pace(workspace, sure)
    # 3 of 191 may be wrong. With one doubtful image left 1.1 are expected, at most 3 at the upper end; with two 2.0, 4.
    assert before.images_per_hour is None and before.minutes_left is None and before.reviews_left == 9
    for _ in range(2):
        confirm(workspace, next_page(workspace, sure, "ada"), "ada")
    after = pace(workspace, sure)
    assert after.reviews_left == 0 and after.annotators[0].images == 5 and after.images_per_hour is None


def test_pace__minutes_left_count_the_overlap_twice(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(workspace, {"wren": [0.9] * 10 + [0.001] * 190})
    monkeypatch.setattr("curation.review.overview.work_moments", lambda _: moments("ada", (0, 1), (120, 20)))
    shared = Config(review=ReviewConfig(overlap=0.5, gold=0, promise=0.02))
    found = pace(workspace, shared)
    assert found.images_per_hour == 600 and found.reviews_left is not None
    assert found.minutes_left == pytest.approx(found.reviews_left * 1.5 / 10)


def test_pace__without_a_noise_model(workspace: Workspace) -> None:
    publish(workspace, {"wren": [None, None]})
    assert pace(workspace, PLAIN).reviews_left is None


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://example.org/a?b=c#d", "https://example.org/a?b=c#d"),
        (" http://example.org ", "http://example.org"),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("//example.org", ""),
        ("http://[", ""),
        ("https://exa mple.org", ""),
        ("https://example.org/\u202e", ""),
        (None, ""),
    ],
)
def test_safe_link__only_to_the_web(address: str | None, link: str) -> None:
    assert safe_link(address) == link


@pytest.fixture
def pictured(tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path]) -> Workspace:
    """Three wrens, two robins and three eagles (base), real files, embedded at known angles, published."""
    for seed, name in enumerate(["wren/0", "wren/1", "wren/2", "robin/0", "robin/1"]):
        write_image(tmp_path / "novel" / f"{name}.jpg", seed, size=60)
    for seed in range(3):
        write_image(tmp_path / "base" / "eagle" / f"{seed}.jpg", 10 + seed)
    ingest(workspace, tmp_path / "novel", Role.NOVEL)
    ingest(workspace, tmp_path / "base", Role.BASE)
    with catalog(workspace) as connection:
        samples = sorted(read_samples(connection), key=lambda one: (one.role, one.category, one.image_id))
        novel = [one for one in samples if one.role is Role.NOVEL]
        put_stage(connection, "embed", "f", RUN, {"encoder": "hand-made"})
        put_image_facts(connection, [ImageFacts(str(one.sha256), width_px=60, height_px=60) for one in samples])
        replace_evidence(connection, evidence_columns_of([evidence_of(one.sample_id, 1.0) for one in novel]))
        replace_noise(connection, [estimate_of(one.sample_id, 0.9, "robin") for one in novel], [])
        first, second = novel[2].sample_id, novel[3].sample_id
        replace_flags(connection, [Flag(first, FlagName.LABEL_CONFLICT, "As another.", (second, "gone"))])
    angles = np.deg2rad(np.arange(len(samples)) * 10.0)  # eagles at 0 to 20, robins at 30 and 40, wrens from 50
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    write_shard(shards_of(workspace.embeddings, "hand-made"), [str(one.sha256) for one in samples], embeddings)
    publish_snapshot(workspace)
    return workspace


def wren(workspace: Workspace) -> str:
    """The id of the first wren, at 50 degrees."""
    with catalog(workspace) as connection:
        found = {(one.category, Path(one.image_id).stem): one.sample_id for one in read_samples(connection)}
    return found["wren", "0"]


def test_evidence__neighbours_copies_and_where_it_was_found(pictured: Workspace) -> None:
    found = tile_evidence(pictured, wren(pictured), neighbours=2)
    assert (found.web_category, found.suggested_category, found.width_px) == ("wren", "robin", 60)
    assert [(near.category, near.cosine) for near in found.own] == [
        ("wren", pytest.approx(np.cos(np.deg2rad(10)), abs=1e-3)),
        ("wren", pytest.approx(np.cos(np.deg2rad(20)), abs=1e-3)),
    ]
    assert [near.category for near in found.suggested] == ["robin", "robin"]
    assert [near.category for near in found.base] == ["eagle", "eagle"]
    for near in (found.own, found.suggested, found.base):
        assert all(one.cosine >= other.cosine for one, other in pairwise(near))
    assert [copy.category for copy in found.copies] == ["wren"] and found.neighbours_note == ""
    blind = tile_evidence(pictured, wren(pictured), blind=True)
    assert (blind.noise_probability, blind.explanation, blind.suggested, blind.flags) == (None, "", (), ())
    assert len(blind.own) == 2
    with pytest.raises(ReviewError, match="no sample"):
        tile_evidence(pictured, "../../etc/passwd")


def test_evidence__what_there_is_before_embeddings(workspace: Workspace) -> None:
    publish(workspace, {"wren": [0.9]})
    found = tile_evidence(workspace, "wren-00000")
    assert found.own == () and "`curate embed` makes" in found.neighbours_note
    assert (found.site, found.link) == ("example.org", "https://www.example.org/wren-00000")


def test_thumbnails__are_made_once_and_only_of_known_samples(pictured: Workspace, tmp_path: Path) -> None:
    name = wren(pictured)
    config = Config()
    made = thumbnails(pictured, config, [name, "unknown", "../secret", name], 32)
    assert made["unknown"] is None and made["../secret"] is None
    with Image.open(BytesIO(made[name] or b"")) as picture:
        assert (picture.format, picture.size) == ("JPEG", (32, 32))
    (cached,) = pictured.thumbnails.iterdir()
    cached.write_bytes(b"from the cache\xff\xd9")
    assert thumbnail(pictured, config, name, 32) == b"from the cache\xff\xd9"
    for px in (0, 2049):
        with pytest.raises(ReviewError, match="1 to 2048"):
            thumbnail(pictured, config, name, px)
    for path in tmp_path.glob("novel/wren/*"):
        path.unlink()
    assert thumbnail(pictured, config, name, 33) is None
    assert len(list(pictured.thumbnails.iterdir())) == 1


def test_gold__its_picture_and_evidence_are_those_of_the_page(pictured: Workspace) -> None:
    golden = Config(review=ReviewConfig(overlap=0, gold=0.5))
    checks = []
    for _ in range(20):  # each of three tiles is a check with probability 0.5
        page = next_page(pictured, golden, "ada", category="wren")
        assert page is not None
        with journal(pictured.journal) as connection:
            checks = [check for name in ids(page) if (check := read_gold_check(connection, name)) is not None]
        if checks:
            break
        release_page(pictured, page, "ada")
    (check,) = checks
    found = tile_evidence(pictured, check.gold_id)
    tile = next(tile for tile in page.tiles if tile.sample_id == check.gold_id)
    assert (found.sample_id, found.image_id, found.web_category) == (check.gold_id, tile.image_id, "wren")
    assert check.sample_id not in {near.sample_id for near in found.base} and len(found.base) == 2
    shown = thumbnails(pictured, golden, [check.gold_id, check.sample_id], 32)
    assert shown[check.gold_id] is not None and shown[check.gold_id] == shown[check.sample_id]
    confirm_page(pictured, page, "ada")

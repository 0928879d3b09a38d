"""The review benchmark at a tiny size: its workspace, its annotators, its simulated reviewer. No browser needed."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.review.pictures import page_data
from curation.config import Config, ReviewConfig
from curation.review.pages import next_page
from curation.sources.location import read_bytes
from curation.values import DecisionAction
from curation.workspace import Workspace, create_workspace
from tests.benchmarks.review import row_of, timed
from tests.benchmarks.review_annotator import Opened, found_after, review
from tests.benchmarks.review_load import Rhythm, work
from tests.benchmarks.review_workspace import make_workspace, with_comment, write_pictures
from tests.review_factory import publish
from tests.review_server import decisions_of


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("benchmark"), 150)


def test_make_workspace__shows_a_page_with_pictures(small: Workspace) -> None:
    page = next_page(small, small.config(), "anna", size=20)
    assert page is not None
    data = page_data(small, small.config(), page)
    assert {str(tile["picture"])[:16] for tile in data["tiles"]} == {"data:image/jpeg;"}
    assert len({tile["picture"] for tile in data["tiles"]}) > 10
    assert data["references"]


def test_write_pictures__no_two_files_are_the_same(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "pictures.tar", 5)
    assert [sha256(read_bytes(uri)).hexdigest() for uri, _ in pictures] == [digest for _, digest in pictures]
    assert len({digest for _, digest in pictures}) == 5


def test_with_comment__is_the_same_picture(tmp_path: Path) -> None:
    plain, other = tmp_path / "plain.jpg", tmp_path / "other.jpg"
    Image.new("RGB", (9, 7), "teal").save(plain)
    other.write_bytes(with_comment(plain.read_bytes(), "00000001"))
    assert plain.read_bytes() != other.read_bytes()
    with Image.open(plain) as first, Image.open(other) as second:
        assert np.array_equal(np.asarray(first), np.asarray(second))
        assert second.info["comment"] == b"00000001"


def test_work__several_annotators_decide_everything_they_say(small: Workspace) -> None:
    before = len(decisions_of(small))
    times, seconds = work(small, 2, Rhythm(pages=1, decisions=3, pause_s=0.0), "tiny")
    assert times.errors == []
    assert (len(times.page), len(times.decision)) == (2, 6)
    assert seconds > 0
    assert len(decisions_of(small)) > before + 6  # the rest of each page by Enter


def test_work__counts_what_goes_wrong(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "ws", Config())
    times, _ = work(workspace, 1, Rhythm(pages=1, decisions=1, pause_s=0.0), "nobody")
    (error,) = times.errors
    assert "nothing published" in error


def test_review__opens_everything_and_answers_as_often_right_as_it_should(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "ws", Config(review=ReviewConfig(overlap=0, gold=0)))
    samples = publish(workspace, {"wren": [0.9] * 50 + [0.1] * 50, "robin": [0.2] * 100})
    truth = {sample.sample_id: ("wren", "robin") for sample in samples[:50]}
    truth |= {sample.sample_id: (sample.category, sample.category) for sample in samples[50:]}
    opened = review(workspace, truth, 25, seed=1)
    assert len(opened.wrong) == 200
    assert opened.wrong[:50] == [True] * 50  # most suspicious first
    answers = zip(opened.wrong, opened.called_wrong, strict=True)
    assert np.mean([wrong == called for wrong, called in answers]) == pytest.approx(0.9, abs=0.06)
    relabelled = [one for one in decisions_of(workspace).values() if one.action is DecisionAction.RELABEL]
    assert len(relabelled) == found_after(opened, 200)
    assert {one.category for one in relabelled} == {"robin"}
    again = review(workspace, truth, 25, seed=1)
    assert again == opened  # on a journal without the first decisions


def test_found_after__by_hand() -> None:
    opened = Opened([True, False, True, True], [True, True, False, True])
    assert [found_after(opened, number) for number in range(5)] == [0, 1, 1, 1, 2]


def test_row_of__by_hand() -> None:
    row = row_of("x", [3.0, 1.0, 2.0], 5, errors=0)
    assert (row["n"], row["median"], row["p95"], row["max"]) == (3, 2.0, 3.0, 3.0)
    assert row["note"] == "errors 0"


def test_timed__gives_the_result_too() -> None:
    elapsed_ms, result = timed(sum, [1, 2])
    assert result == 3
    assert elapsed_ms >= 0

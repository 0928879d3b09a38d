"""Near copies: edits of a picture are found, other pictures are not, and no chain of pairs is taken for a pair."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.alignment import likeness
from curation.config import DuplicatesConfig
from curation.duplicates import connected_groups, near_copies, nearest_pairs, preference
from curation.fingerprint import FINGERPRINT_PX, fingerprint_of
from curation.image_quality import grey_picture
from curation.values import FloatArray, ImageFacts
from tests.pictures import EDITS, drawing

NO_PAIRS = np.empty((0, 2), dtype=np.int64)
CONFIG = DuplicatesConfig()


def fingerprints_of(*pictures: Image.Image) -> list[bytes]:
    return [fingerprint_of(grey_picture(picture)) for picture in pictures]


def every_pair(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.array([(one, other) for one in range(count) for other in range(one + 1, count)], dtype=np.int64)


def linked(fingerprints: list[bytes]) -> set[tuple[str, str]]:
    """Pairs of names "0", "1", ... that are near copies when all pairs are candidates."""
    names = [str(number) for number in range(len(fingerprints))]
    copies = near_copies(names, fingerprints, every_pair(len(names)), CONFIG)
    return {(one, other) for one, others in copies.items() for other in others if one < other}


@pytest.mark.parametrize("name", EDITS)
def test_near_copies__an_edited_picture_is_one(name: str) -> None:
    originals = [drawing(seed, (227, 170)) for seed in range(4)]
    edits = [EDITS[name](picture, random.Random(seed)) for seed, picture in enumerate(originals)]
    assert linked(fingerprints_of(*originals, *edits)) == {(str(seed), str(seed + 4)) for seed in range(4)}


def test_near_copies__other_pictures_are_none() -> None:
    assert linked(fingerprints_of(*(drawing(seed, (80, 60)) for seed in range(40)))) == set()


def test_near_copies__an_object_that_moved_is_another_picture() -> None:
    scene, later = drawing(7, (320, 240)), drawing(7, (320, 240))
    thing = drawing(8, (60, 60))
    scene.paste(thing, (40, 120))
    later.paste(thing, (120, 120))
    assert linked(fingerprints_of(scene, later)) == set()


def test_near_copies__blank_and_unfingerprinted_pictures_are_left_alone() -> None:
    white, grey = Image.new("RGB", (50, 50), "white"), Image.new("RGB", (50, 50), "grey")
    assert linked(fingerprints_of(drawing(1), white, grey, white)) == set()
    assert near_copies([], [], NO_PAIRS, CONFIG) == {}
    assert near_copies(["a", "b"], [b"", b""], every_pair(2), CONFIG) == {}


def test_near_copies__are_found_by_outline_without_candidates() -> None:
    pictures = [drawing(seed) for seed in range(8)]
    small = [picture.resize((48, 36)) for picture in pictures]
    copies = near_copies([*"abcdefgh", *"ABCDEFGH"], fingerprints_of(*pictures, *small), NO_PAIRS, CONFIG)
    assert {name: set(others) for name, others in copies.items()} == {
        name: {name.swapcase()} for name in "abcdefghABCDEFGH"
    }


def test_near_copies__within_a_group_all_are_compared_even_beyond_their_neighbours() -> None:
    picture = drawing(9)
    copies = fingerprints_of(*(picture.resize((100 + size, 80 + size)) for size in range(12)))
    chain = np.array(list(pairwise(range(12))), dtype=np.int64)
    one_neighbour = CONFIG.model_copy(update={"neighbours": 1})
    found = near_copies([str(number) for number in range(12)], copies, chain, one_neighbour)
    assert all(len(others) == 11 for others in found.values()) and len(found) == 12


def test_near_copies__a_chain_does_not_link_its_ends() -> None:
    # A window that moves over a long picture: neighbours overlap by nine tenths, the ends share nothing.
    long = drawing(10, (640, 160))
    windows = fingerprints_of(*(long.crop((left, 0, left + 160, 160)) for left in range(0, 481, 16)))
    pairs = {(int(one), int(other)) for one, other in linked(windows)}
    assert len({(one, other) for one, other in pairs if other - one == 1}) >= 25
    assert max(other - one for one, other in pairs) <= 5


def test_near_copies__likeness_is_the_same_from_both_sides() -> None:
    pictures = fingerprints_of(drawing(1), drawing(1).resize((50, 40)))
    copies = near_copies(["a", "b"], pictures, every_pair(2), CONFIG)
    assert copies["a"]["b"] == copies["b"]["a"] > 0.98


def test_nearest_pairs__an_index_finds_what_exact_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    centres = np.repeat(chance.standard_normal((60, 16)), 5, axis=0)
    vectors = (centres + 0.2 * chance.standard_normal(centres.shape)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[7] = 0  # a picture whose outline is blank
    exact = nearest_pairs(vectors, 4, 0.5)
    monkeypatch.setattr("curation.nearest._EXACT_UP_TO", 0)
    indexed = nearest_pairs(vectors, 4, 0.5)
    assert len(exact) > 500
    np.testing.assert_array_equal(indexed, exact)
    assert nearest_pairs(np.zeros((3, 16), np.float32), 2, 0.5).shape == (0, 2)


def thumbnail(picture: Image.Image, box: tuple[float, float, float, float]) -> torch.Tensor:
    size = (FINGERPRINT_PX, FINGERPRINT_PX)
    copy = picture.convert("L").resize(size, Image.Resampling.LANCZOS, box=box)
    return torch.from_numpy(np.asarray(copy).copy()).float()[None]


@given(
    left=st.floats(0, 20), top=st.floats(0, 20), right=st.floats(0, 20), bottom=st.floats(0, 20), seed=st.integers(0, 9)
)
@settings(max_examples=30)
def test_likeness__any_window_fits_in_both_directions(
    left: float, top: float, right: float, bottom: float, seed: int
) -> None:
    picture = drawing(seed, (200, 200))
    whole = thumbnail(picture, (0, 0, 200, 200))
    window = thumbnail(picture, (left, top, 200 - right, 200 - bottom))
    assert likeness(whole, window).item() > 0.93
    assert likeness(window, whole).item() > 0.93


def test_likeness__of_a_picture_with_itself_and_with_its_negative() -> None:
    picture = thumbnail(drawing(3), (0, 0, 160, 120))
    assert likeness(picture, picture).item() == pytest.approx(1, abs=1e-5)
    assert likeness(picture, 0.5 * picture + 30).item() == pytest.approx(1, abs=1e-4)
    assert likeness(picture, 255 - picture).item() == -1
    assert likeness(picture, torch.zeros_like(picture)).item() == -1


def test_likeness__a_pair_does_not_depend_on_the_others() -> None:
    pictures = torch.cat([thumbnail(drawing(seed), (0, 0, 160, 120)) for seed in range(20)])
    edited = torch.cat([thumbnail(drawing(seed), (0, 0, 150, 112)) for seed in range(20)])
    together = likeness(pictures, edited)
    alone = torch.cat([likeness(pictures[row : row + 1], edited[row : row + 1]) for row in range(20)])
    assert together.numpy() == pytest.approx(alone.numpy(), abs=1e-4)


def unit_vectors(count: int, dimension: int, seed: int) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


@given(count=st.integers(0, 30), neighbours=st.integers(1, 6), block=st.integers(1, 2000), seed=st.integers(0, 99))
def test_nearest_pairs__as_plain_loops_find_them(count: int, neighbours: int, block: int, seed: int) -> None:
    vectors, least = unit_vectors(count, 4, seed), 0.2
    expected = set()
    for one in range(count):
        others = sorted((float(vectors[one] @ vectors[other]), other) for other in range(count) if other != one)
        expected |= {tuple(sorted((one, other))) for cosine, other in others[-neighbours:] if cosine >= least}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curation.nearest._BLOCK_BYTES", block)
        pairs = nearest_pairs(vectors, neighbours, least)
    assert [tuple(pair) for pair in pairs.tolist()] == sorted(expected)


def test_connected_groups__by_hand() -> None:
    pairs = np.array([(5, 6), (1, 2), (2, 4), (8, 6)], dtype=np.int64)
    assert list(connected_groups(pairs)) == [[1, 2, 4], [5, 6, 8]]
    assert list(connected_groups(NO_PAIRS)) == []


def test_preference__most_pixels_then_sharpest_then_unknown() -> None:
    large = ImageFacts("a", width_px=200, height_px=100, sharpness=0.1)
    sharp = ImageFacts("b", width_px=100, height_px=100, sharpness=0.3)
    soft = ImageFacts("c", width_px=100, height_px=100, sharpness=0.2)
    unmeasured = ImageFacts("d", width_px=100, height_px=100)
    assert sorted([None, unmeasured, soft, sharp, large], key=preference) == [large, sharp, soft, unmeasured, None]

"""Fingerprints: what they hold, and that a frame is found and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from curation.fingerprint import FINGERPRINT_PX, fingerprint_of, outlines, picture_box, thumbnails
from curation.image_quality import GreyArray, grey_picture
from tests.pictures import drawing


def grey_of(image: Image.Image) -> GreyArray:
    return grey_picture(image)


def test_fingerprint__one_copy_or_two_with_a_frame_none_when_blank() -> None:
    picture = drawing(1)
    copy_bytes = FINGERPRINT_PX**2
    assert len(fingerprint_of(grey_of(picture))) == copy_bytes
    assert len(fingerprint_of(grey_of(ImageOps.expand(picture, 10, "white")))) == 2 * copy_bytes
    assert fingerprint_of(np.full((40, 60), 255, dtype=np.uint8)) == b""
    assert fingerprint_of(np.zeros((1, 1), dtype=np.uint8)) == b""


def test_fingerprint__of_a_picture_of_its_own_size_is_its_pixels() -> None:
    grey = grey_of(drawing(2, (FINGERPRINT_PX, FINGERPRINT_PX)))
    assert fingerprint_of(grey)[: grey.size] == grey.tobytes()


@given(
    left=st.integers(2, 30), top=st.integers(2, 30), right=st.integers(2, 30), bottom=st.integers(2, 30),
    colour=st.integers(0, 255),
)  # fmt: skip
@settings(max_examples=40)
def test_picture_box__is_what_a_frame_surrounds(left: int, top: int, right: int, bottom: int, colour: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 120), dtype=np.uint8)
    framed = np.pad(noise, ((top, bottom), (left, right)), constant_values=colour)
    height, width = framed.shape
    assert picture_box(framed) == (left + 1, top + 1, width - right - 1, height - bottom - 1)


def test_picture_box__without_a_frame_is_the_whole() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 70), dtype=np.uint8)
    assert picture_box(noise) == (0, 0, 70, 50)


def test_picture_box__a_frame_has_a_largest_width() -> None:
    dot = np.full((100, 100), 255, dtype=np.uint8)
    dot[48:52, 48:52] = 0
    left, top, right, bottom = picture_box(dot)
    assert (left, top, right, bottom) == (36, 36, 64, 64)


def test_thumbnails__say_whose_they_are() -> None:
    one, none, two = bytes(range(256)) * 4, b"", bytes(2 * FINGERPRINT_PX**2)
    copies, owners = thumbnails([one, none, two])
    assert copies.shape == (3, FINGERPRINT_PX, FINGERPRINT_PX)
    assert owners.tolist() == [0, 2, 2]
    assert copies[0].tobytes() == one
    assert thumbnails([])[0].shape == (0, FINGERPRINT_PX, FINGERPRINT_PX)


def test_outlines__a_mirror_image_has_the_same_another_picture_has_not() -> None:
    pictures = [drawing(3), ImageOps.mirror(drawing(3)), drawing(4)]
    copies, _ = thumbnails([fingerprint_of(grey_of(picture)) for picture in pictures])
    vectors = outlines(copies)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.999
    assert vectors[0] @ vectors[2] < 0.8


def test_outlines__brightness_and_contrast_change_nothing() -> None:
    copies, _ = thumbnails([fingerprint_of(grey_of(drawing(5)))])
    darker = (copies // 2 + 20).astype(np.uint8)
    assert outlines(copies)[0] @ outlines(darker)[0] > 0.999

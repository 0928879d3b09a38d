"""Sharpness and contrast mean what they say, at any size and brightness of the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from curation.image_quality import MEASURED_PX, contrast, grey_picture, sharpness
from tests.pictures import drawing


def sharpness_of(image: Image.Image) -> float:
    return sharpness(grey_picture(image))


def test_grey_picture__is_never_enlarged_and_never_larger_than_measured() -> None:
    assert grey_picture(drawing(1, (40, 30))).shape == (30, 40)
    assert grey_picture(drawing(1, (1024, 512))).shape == (MEASURED_PX // 2, MEASURED_PX)
    assert grey_picture(drawing(1, (5000, 1))).shape == (1, MEASURED_PX)


def test_contrast__of_half_black_half_white() -> None:
    grey = np.zeros((8, 8), dtype=np.uint8)
    assert contrast(grey) == 0
    grey[:4] = 255
    assert contrast(grey) == 127.5


def test_sharpness__by_hand() -> None:
    # Columns 0, 1, 0, 1: every Laplacian inside is 2 or -2, at the outer columns 1 or -1; rows agree.
    grey = np.tile(np.array([0, 1, 0, 1], dtype=np.uint8), (4, 1))
    # Tiles are single pixels here, so no tile has contrast: the picture is too small to judge.
    assert sharpness(grey) == 0
    grey = np.tile(np.array([0, 1] * 8, dtype=np.uint8), (16, 1))  # tiles of 2 x 2, variance 1/4 each
    # The tenth of the tiles (6 of 64) that is judged lies where it may: inside, every Laplacian is 2 or -2.
    assert sharpness(grey) == pytest.approx(4 / 0.25, rel=0.15)


def test_sharpness__falls_with_blur_and_with_enlarging() -> None:
    sharp = drawing(2, (240, 180))
    values = [sharpness_of(sharp.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[-1]
    small = sharp.resize((60, 45)).resize(sharp.size, Image.Resampling.BICUBIC)
    assert sharpness_of(small) < 0.3 * sharpness_of(sharp)


def test_sharpness__a_plain_background_does_not_blur_a_picture() -> None:
    alone = drawing(3, (120, 120))
    on_sky = Image.new("RGB", (240, 240), (150, 180, 220))
    on_sky.paste(alone, (60, 60))
    assert sharpness_of(on_sky) > 0.5 * sharpness_of(alone)


@given(factor=st.floats(0.3, 1.0), seed=st.integers(0, 20))
def test_sharpness__does_not_depend_on_brightness(factor: float, seed: int) -> None:
    bright = grey_picture(drawing(seed, (64, 64)))
    dark = np.rint(bright * factor).astype(np.uint8)
    assert sharpness(dark) == pytest.approx(sharpness(bright), rel=0.25)  # other tiles may have most contrast


def test_sharpness__of_one_colour_is_zero() -> None:
    assert sharpness(np.full((50, 70), 200, dtype=np.uint8)) == 0
    assert sharpness(np.full((1, 1), 200, dtype=np.uint8)) == 0

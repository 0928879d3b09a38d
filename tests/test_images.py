"""Bytes become upright RGB pictures or a reason, never an exception, never a half-grey picture."""

from __future__ import annotations

import io
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize  # type: ignore[import-untyped]

from curation.images import decode, shorter_side_px, square_pixels
from curation.signatures import describe_content, image_format
from tests.hostile import BOMB_SIDE_PX, READ, encoded, make_hostile_files, picture

MAX_PIXELS = 80_000_000

# Every format that is read, in the variants that take other ways through Pillow: (format, options).
VARIANTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("PPM", {}),
    ("JPEG2000", {}),
    ("AVIF", {}),
)


@cache
def variant_bytes(number: int) -> bytes:
    image_format, options = VARIANTS[number]
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise), image_format, **options)


def rgb(data: bytes) -> np.ndarray:
    decoded = decode(data, MAX_PIXELS)
    assert decoded.image is not None, decoded.facts.reason
    assert decoded.image.mode == "RGB"
    return np.asarray(decoded.image)


def reason(data: bytes, max_pixels: int = MAX_PIXELS) -> str:
    decoded = decode(data, max_pixels)
    assert decoded.image is None
    assert decoded.facts.reason is not None
    return decoded.facts.reason


@pytest.mark.parametrize("number", range(len(VARIANTS)))
def test_decode__every_format_with_its_facts(number: int) -> None:
    data = variant_bytes(number)
    facts = decode(data, MAX_PIXELS).facts
    assert (facts.format, facts.width_px, facts.height_px, facts.frames) == (VARIANTS[number][0], 56, 40, 1)
    assert (facts.size_bytes, facts.reason) == (len(data), None)


def test_decode__the_hostile_files_as_expected(tmp_path: Path) -> None:
    for name, expectation in make_hostile_files(tmp_path).items():
        if (tmp_path / name).is_file():  # the links and the pipe have no bytes
            decoded = decode((tmp_path / name).read_bytes(), MAX_PIXELS)
            assert (decoded.image is not None) == (decoded.facts.reason is None) == (expectation == READ), name


@settings(max_examples=150)
@given(st.integers(0, len(VARIANTS) - 1), st.floats(0, 1, exclude_max=True))
def test_decode__a_truncated_image_is_whole_or_refused(number: int, share: float) -> None:
    whole = variant_bytes(number)
    decoded = decode(whole[: int(share * len(whole))], MAX_PIXELS)
    if decoded.image is not None:  # only bytes that no pixel depends on were cut
        assert np.array_equal(np.asarray(decoded.image), rgb(whole))


@settings(max_examples=150)
@given(st.integers(0, len(VARIANTS) - 1), st.data())
def test_decode__altered_bytes_never_raise(number: int, data: st.DataObject) -> None:
    altered = bytearray(variant_bytes(number))
    for _ in range(data.draw(st.integers(1, 6))):
        end = data.draw(st.sampled_from((40, 200, len(altered))))
        altered[data.draw(st.integers(0, min(end, len(altered)) - 1))] = data.draw(st.integers(0, 255))
    decoded = decode(bytes(altered), MAX_PIXELS, target_px=16)
    assert (decoded.image is None) == (decoded.facts.reason is not None)


@given(st.binary(max_size=400))
def test_decode__arbitrary_bytes_are_refused(data: bytes) -> None:
    assert reason(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"  <!DOCTYPE html><html></html>", "looks like HTML"),
        (b"<html><body><svg></svg></body></html>", "looks like HTML"),
        (b"<?xml version='1.0'?><svg xmlns='x'></svg>", "SVG is not a supported"),
        ("Kein Bild für Sie".encode(), "looks like text"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"PK\x03\x04abc", "a ZIP archive"),
        (b"\0\0\0\x18ftypisom....", "a video"),
        (b"\0\0\0\x18ftypheic....", "HEIF is not a supported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "looks like text"),
        (b"\xff\xd8\xff\xe0", "begins as JPEG"),
        (bytes(range(128, 256)), "not an image of a supported format"),
    ],
)
def test_decode__the_reason_names_what_it_is_instead(data: bytes, told: str) -> None:
    assert told in reason(data)


def test_describe_content__text_cut_inside_a_character() -> None:
    assert describe_content("é".encode() * 700) == "not an image: it looks like text"


@pytest.mark.parametrize("number", range(len(VARIANTS)))
def test_image_format__knows_what_is_read(number: int) -> None:
    if VARIANTS[number][0] != "PPM":  # "P6" is too short a mark to be told from text
        assert image_format(variant_bytes(number)[:32]) is not None


@pytest.mark.parametrize("text", [b"BMW cars\n", b"id,image\n1,a.jpg\n", b"{}", b""])
def test_image_format__text_is_none(text: bytes) -> None:
    assert image_format(text) is None


def test_decode__pixel_limit_from_the_header(tmp_path: Path) -> None:
    make_hostile_files(tmp_path)
    decoded = decode((tmp_path / "bomb.png").read_bytes(), MAX_PIXELS)
    assert f"{BOMB_SIDE_PX} x {BOMB_SIDE_PX} pixels" in str(decoded.facts.reason)
    assert decoded.facts.width_px == BOMB_SIDE_PX


def test_decode__pixel_limit_is_inclusive() -> None:
    data = encoded(picture(0, (10, 10)), "PNG")
    assert decode(data, 100).image is not None
    assert "more than the limit of 99" in reason(data, 99)


def test_decode__pixel_limit_is_ours_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode(encoded(picture(0, (10, 10)), "PNG"), 100).facts.reason is None


def test_decode__leaves_pillow_and_the_warnings_as_they_were() -> None:
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    decode(variant_bytes(0), 100)
    decode(variant_bytes(0), MAX_PIXELS)
    assert limit == Image.MAX_IMAGE_PIXELS
    assert filters == warnings.filters


def test_decode__no_warning_for_damaged_exif() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(256))
    data = encoded(picture(0), "JPEG", exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert decode(data, MAX_PIXELS).image is not None
    assert not caught


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode__every_exif_orientation_is_upright(image_format: str, orientation: int) -> None:
    upright = np.zeros((32, 48, 3), dtype=np.uint8)
    upright[:16, :24] = (250, 10, 10)  # red top left, green top right: tells all eight apart
    upright[:16, 24:] = (10, 250, 10)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = Image.fromarray(upright)
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(stored, image_format, exif=exif), MAX_PIXELS)
    assert (decoded.facts.width_px, decoded.facts.height_px) == (48, 32)
    assert np.abs(np.asarray(decoded.image, dtype=int)[4::24, 8::24] - upright[4::24, 8::24]).max() < 40


def test_decode__transparency_lies_on_white() -> None:
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (200, 0, 0, 128))
    assert (rgb(encoded(clear, "PNG")) == 255).all()
    assert np.abs(rgb(encoded(half, "PNG")).astype(int) - (227, 127, 127)).max() <= 1
    assert (rgb(encoded(Image.new("LA", (8, 8), (0, 0)), "PNG")) == 255).all()
    palette = Image.new("RGB", (8, 8), (9, 9, 9)).quantize(2)
    assert (rgb(encoded(palette, "PNG", transparency=palette.getpixel((0, 0)))) == 255).all()
    assert (rgb(encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3))) == 255).all()
    assert (rgb(encoded(Image.new("L", (8, 8), 7), "PNG", transparency=7)) == 255).all()


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_decode__sixteen_bits_are_scaled_not_clipped(image_format: str) -> None:
    values = np.array([[0, 257, 32_896, 65_535]], dtype=np.uint16)
    assert rgb(encoded(Image.fromarray(values), image_format))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),  # [0, 1]
        ([0.0, 100.0, 255.0], [0, 100, 255]),  # 8 bits
        ([0.0, 32_896.0, 65_535.0], [0, 128, 255]),  # 16 bits
        ([-1.0, 0.0, 1.0], [0, 128, 255]),  # anything else: from smallest to largest
        ([0.0, float("nan"), 1.0], [0, 0, 255]),
        ([7e9, 7e9, 7e9], [0, 0, 0]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
        ([-1e-40, 0.0, 1e-40], [0, 0, 0]),
    ],
)
def test_decode__float_tiff(values: list[float], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert rgb(encoded(image, "TIFF"))[0, :, 0].tolist() == expected


def test_decode__cmyk_jpeg_keeps_its_colours() -> None:
    red = Image.new("RGB", (16, 16), (220, 30, 30))
    inverted_as_adobe_does = encoded(red.convert("CMYK"), "JPEG")
    assert b"Adobe" in inverted_as_adobe_does
    assert np.abs(rgb(inverted_as_adobe_does).astype(int) - (220, 30, 30)).max() < 8


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_decode__first_frame_of_an_animation(image_format: str) -> None:
    colours = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    first, *others = [Image.new("RGB", (16, 16), colour) for colour in colours]
    options = {"compression": "raw"} if image_format == "TIFF" else {"lossless": True}
    data = encoded(first, image_format, save_all=True, append_images=others, **options)
    assert decode(data, MAX_PIXELS).facts.frames == 3
    assert (rgb(data) == (255, 0, 0)).all()


def test_decode__two_pictures_of_a_camera_are_no_animation() -> None:
    data = encoded(picture(0), "MPO", save_all=True, append_images=[picture(1)])
    facts = decode(data, MAX_PIXELS).facts
    assert (facts.format, facts.frames, facts.reason) == ("MPO", 1, None)


def test_decode__large_jpeg_at_a_fraction_of_its_size_tells_the_full_one() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(0, (1600, 1200)), "JPEG", exif=exif)
    decoded = decode(data, MAX_PIXELS, target_px=100)
    assert decoded.image is not None
    assert decoded.image.size == (300, 400)
    assert (decoded.facts.width_px, decoded.facts.height_px) == (1200, 1600)
    whole = decode(data, MAX_PIXELS).image
    assert whole is not None
    difference = square_pixels(decoded.image, 88, 0.875).astype(int) - square_pixels(whole, 88, 0.875)
    assert np.abs(difference).mean() < 1


def test_decode__a_programming_error_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_image: Image.Image) -> Image.Image:
        raise AttributeError("a mistake of ours")

    monkeypatch.setattr("curation.images._to_rgb", broken)
    with pytest.raises(AttributeError, match="a mistake of ours"):
        decode(variant_bytes(0), MAX_PIXELS)


@settings(max_examples=80)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from((8, 32, 57)),
    st.sampled_from((0.5, 0.875, 0.9, 0.95, 1.0)),
)
def test_square_pixels__equals_the_standard_transform(
    width: int, height: int, input_px: int, crop_share: float
) -> None:
    # Grey enough that nothing is clipped between Pillow's two passes, whose order depends on the sizes.
    noise = np.random.default_rng(width * 1000 + height).integers(96, 160, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    shorter_px = shorter_side_px(input_px, crop_share)
    slow = Compose([Resize(shorter_px, InterpolationMode.BICUBIC), CenterCrop(input_px)])(image)
    difference = square_pixels(image, input_px, crop_share).astype(int) - np.asarray(slow)
    assert np.abs(difference).max() <= 2  # each of two passes rounds


def test_square_pixels__one_by_ten_thousand() -> None:
    image = Image.new("RGB", (1, 10_000), (10, 20, 30))
    pixels = square_pixels(image, 224, 0.875)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == (10, 20, 30)).all()


@pytest.mark.parametrize("crop_share", [0.0, 1.1])
def test_square_pixels__impossible_crop_share(crop_share: float) -> None:
    with pytest.raises(ValueError, match="crop_share"):
        square_pixels(picture(0), 8, crop_share)


def test_hostile_files__the_bomb_is_small_and_real(tmp_path: Path) -> None:
    make_hostile_files(tmp_path)
    data = (tmp_path / "bomb.png").read_bytes()
    assert len(data) < 100_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            assert Image.open(io.BytesIO(data)).size == (BOMB_SIDE_PX, BOMB_SIDE_PX)
        finally:
            Image.MAX_IMAGE_PIXELS = limit

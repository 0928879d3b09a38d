"""Drawn pictures with much detail, and the edits under which a picture stays the same one to a person."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

Edit = Callable[[Image.Image, random.Random], Image.Image]

_FRAMES = ("white", "black", (128, 128, 128), (200, 30, 40))


def drawing(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Overlapping shapes of many sizes on a soft background, no colour extreme; differs for every seed."""
    rng = np.random.default_rng(seed)
    width, height = size
    image = Image.fromarray(rng.integers(60, 200, (3, 4, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(3, max(4, width // 3)), rng.integers(3, max(4, height // 3))
        colour = tuple(int(value) for value in rng.integers(40, 216, 3))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((int(x), int(y), int(x + w), int(y + h)), fill=colour)
    return image


def recompressed(image: Image.Image, quality: int, image_format: str = "JPEG") -> Image.Image:
    """The image after a lossy file."""
    file = io.BytesIO()
    image.save(file, image_format, quality=quality)
    return Image.open(file).convert("RGB")


def resized(image: Image.Image, scale: float) -> Image.Image:
    size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC)


def cropped(image: Image.Image, keep: float, rng: random.Random) -> Image.Image:
    """A window of `keep` of each side, anywhere."""
    width, height = round(image.width * keep), round(image.height * keep)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def cropped_on_one_side(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
    width, height = image.size
    across, down = round(width * share), round(height * share)
    boxes = [(across, 0, width, height), (0, down, width, height), (0, 0, width - across, height)]
    return image.crop(rng.choice([*boxes, (0, 0, width, height - down)]))


def framed(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
    return ImageOps.expand(image, round(share * min(image.size)), rng.choice(_FRAMES))


def squared(image: Image.Image, rng: random.Random) -> Image.Image:
    """In the middle of a square of one colour, at least a quarter larger than the shorter side."""
    side = max(*image.size, round(1.25 * min(image.size)))
    square = Image.new("RGB", (side, side), rng.choice(_FRAMES))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def retouched(image: Image.Image, rng: random.Random) -> Image.Image:
    """Brighter or darker, with more or less contrast, by a fifth."""
    brighter = ImageEnhance.Brightness(image).enhance(rng.choice((0.8, 1.2)))
    return ImageEnhance.Contrast(brighter).enhance(rng.choice((0.8, 1.2)))


def _jpeg(image: Image.Image, rng: random.Random) -> Image.Image:
    return recompressed(image, rng.randint(30, 95))


EDITS: Mapping[str, Edit] = {
    "resize to a half": lambda image, rng: _jpeg(resized(image, 0.5), rng),
    "resize to double": lambda image, rng: _jpeg(resized(image, 2.0), rng),
    "thumbnail of 64 px": lambda image, rng: _jpeg(resized(image, 64 / max(image.size)), rng),
    "JPEG 30": lambda image, _: recompressed(image, 30),
    "WebP 50": lambda image, _: recompressed(image, 50, "WEBP"),
    "crop 10 %": lambda image, rng: _jpeg(cropped(image, 0.9, rng), rng),
    "crop 10 % on one side": lambda image, rng: _jpeg(cropped_on_one_side(image, 0.1, rng), rng),
    "frame of 5 %": lambda image, rng: _jpeg(framed(image, 0.05, rng), rng),
    "frame of 15 %": lambda image, rng: _jpeg(framed(image, 0.15, rng), rng),
    "squared": lambda image, rng: _jpeg(squared(image, rng), rng),
    "mirror": lambda image, rng: _jpeg(ImageOps.mirror(image), rng),
    "brightness and contrast": lambda image, rng: _jpeg(retouched(image, rng), rng),
    "squeezed by 15 %": lambda image, rng: _jpeg(image.resize((image.width, round(0.85 * image.height))), rng),
    "mirror, crop 10 %, half": lambda image, rng: _jpeg(resized(cropped(ImageOps.mirror(image), 0.9, rng), 0.5), rng),
    "retouch, frame 10 %, resize": lambda image, rng: _jpeg(resized(framed(retouched(image, rng), 0.1, rng), 0.7), rng),
    "crop 10 %, frame 5 %": lambda image, rng: _jpeg(framed(cropped(image, 0.9, rng), 0.05, rng), rng),
}

# Beyond what is promised: reported, not required.
HARDER_EDITS: Mapping[str, Edit] = {
    "crop 20 %": lambda image, rng: _jpeg(cropped(image, 0.8, rng), rng),
}

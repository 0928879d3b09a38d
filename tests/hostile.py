"""Image files that break curation tools, and decoders that break their process: made here, for tests of every room."""

from __future__ import annotations

import io
import os
import random
import signal
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from curation.decoding_worker import DecodedImage, DecodeSettings, ImageReference, decode_reference

READ, UNREADABLE = "read", "unreadable"

BOMB_SIDE_PX = 20_000  # 400 megapixels, five times the default limit, in a file of some 50 kB


def make_hostile_files(folder: Path) -> dict[str, str]:
    """Write one file of each hostile kind into `folder`; file name -> "read" or "unreadable".

    The names are as the file system gives them: one is not UTF-8. Every readable image shows something else, so that
    no two are duplicates.
    """
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, (make, expectation) in _CONTENTS.items():
        (folder / name).write_bytes(make())
        expected[name] = expectation
    return expected | _special_files(folder)


def picture(seed: int, size: tuple[int, int] = (48, 32)) -> Image.Image:
    """A smooth RGB picture that compresses like a photograph and differs for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    """The bytes of an image file."""
    target = io.BytesIO()
    image.save(target, image_format, **options)
    return target.getvalue()


def _jpeg(seed: int) -> bytes:
    return encoded(picture(seed), "JPEG")


def _truncated() -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (160, 240, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), "JPEG")
    return whole[: len(whole) // 2]  # well behind the header: a careless reader shows a half-grey picture


def _animated(image_format: str, seed: int) -> bytes:
    frames = [picture(seed + step) for step in range(3)]
    return encoded(frames[0], image_format, save_all=True, append_images=frames[1:], duration=100)


def _sixteen_bit() -> bytes:
    ramp = np.linspace(0, 65535, 48 * 32).astype(np.uint16).reshape(32, 48)
    return encoded(Image.fromarray(ramp), "PNG")


def _transparent_palette() -> bytes:
    return encoded(picture(9).quantize(16), "PNG", transparency=0)


def _rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(10), "JPEG", exif=exif)


def _float_tiff() -> bytes:
    return encoded(Image.fromarray(np.linspace(0, 1, 48 * 32, dtype=np.float32).reshape(32, 48)), "TIFF")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG file: length, kind, content, checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _bomb() -> bytes:
    header = struct.pack(">IIBBBBB", BOMB_SIDE_PX, BOMB_SIDE_PX, 1, 0, 0, 0, 0)  # one bit a pixel
    packer = zlib.compressobj(9)
    row = bytes(1 + BOMB_SIDE_PX // 8) * 100
    pixels = b"".join(packer.compress(row) for _ in range(BOMB_SIDE_PX // 100)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    whole = encoded(picture(12), "PNG")
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(8 * 2**20), 9))
    return whole[:33] + text + whole[33:]  # right behind the signature (8 bytes) and the header (25)


_HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>No such image</body></html>\n"
_SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0h9v9z"/></svg>'

_CONTENTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "plain.jpg": (lambda: _jpeg(0), READ),
    "truncated.jpg": (_truncated, UNREADABLE),
    "zero_bytes.jpg": (lambda: b"", UNREADABLE),
    "html.jpg": (lambda: _HTML, UNREADABLE),
    "text.jpg": (lambda: b"The requested picture is not available in your country.\n", UNREADABLE),
    "drawing.svg": (lambda: _SVG, UNREADABLE),
    "random_bytes.jpg": (lambda: random.Random(2).randbytes(5_000), UNREADABLE),
    "bomb.png": (_bomb, UNREADABLE),
    "text_bomb.png": (_text_bomb, UNREADABLE),
    "animated.gif": (lambda: _animated("GIF", 20), READ),
    "animated.webp": (lambda: _animated("WEBP", 30), READ),
    "cmyk.jpg": (lambda: encoded(picture(5).convert("CMYK"), "JPEG"), READ),
    "sixteen_bit.png": (_sixteen_bit, READ),
    "one_bit.png": (lambda: encoded(picture(6).convert("1"), "PNG"), READ),
    "grey_alpha.png": (lambda: encoded(picture(7).convert("LA"), "PNG"), READ),
    "transparent_palette.png": (_transparent_palette, READ),
    "float.tiff": (_float_tiff, READ),
    "rotated.jpg": (_rotated, READ),
    "one_pixel.png": (lambda: encoded(picture(11, (1, 1)), "PNG"), READ),
    "wrong_extension.png": (lambda: _jpeg(13), READ),
    "no_extension": (lambda: _jpeg(14), READ),
}


def _special_files(folder: Path) -> dict[str, str]:
    """Files whose trouble is not in their bytes."""
    locked = folder / "no_permission.jpg"
    locked.write_bytes(_jpeg(15))
    locked.chmod(0)
    (folder / "vanished.jpg").symlink_to(folder / "nothing_here.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    undecodable = os.fsdecode(b"caf\xe9.jpg")
    (folder / undecodable).write_bytes(_jpeg(16))
    return {
        "no_permission.jpg": READ if os.geteuid() == 0 else UNREADABLE,  # permission does not bind root
        "vanished.jpg": UNREADABLE,
        "loop.jpg": UNREADABLE,
        "pipe.jpg": UNREADABLE,
        undecodable: READ,
    }


def _file_name(reference: ImageReference) -> str:
    return reference.uri.rpartition("/")[2]


def decode_or_crash(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """A decoder that segfaults on images with "crash" in their file's name, as a broken library does."""
    if "crash" in _file_name(reference):
        os.kill(os.getpid(), signal.SIGSEGV)
    return decode_reference(reference, settings)


def decode_or_hang(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """A decoder that never comes back from images with "hang" in their file's name."""
    while "hang" in _file_name(reference):
        time.sleep(1)
    return decode_reference(reference, settings)


def decode_or_fail(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """A decoder with a programming error."""
    raise AttributeError(f"no attribute for {reference.sha256}")


def decode_or_crash_once(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """A decoder whose process is killed from outside, once: a file beside the image remembers it."""
    memory = Path(reference.uri.removeprefix("file://")).parent / "killed"
    if "crash" in _file_name(reference) and not memory.exists():
        memory.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return decode_reference(reference, settings)


def decode_or_be_killed(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """A decoder whose process is killed each time it has an image with "crash" in its file's name."""
    if "crash" in _file_name(reference):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode_reference(reference, settings)


def decode_or_note_who_is_beside(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """One that is killed as above the first time, then notes whether anything is decoded beside that image."""
    folder = Path(reference.uri.removeprefix("file://")).parent
    busy = folder / f"busy-{os.getpid()}"
    if "crash" in _file_name(reference):
        if not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.2)  # whoever may decode beside it has begun by now
        (folder / "beside").write_text(" ".join(path.name for path in folder.glob("busy-*")))
        return decode_reference(reference, settings)
    busy.touch()
    time.sleep(0.01)
    decoded = decode_reference(reference, settings)
    busy.unlink()
    return decoded

"""What one decoding process does: read the bytes of one image after the other, decode them, answer.

It is started with `python -c` (see `curation.decoding`) and imports neither torch nor pydantic, so it is up in a
third of a second and small.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

from curation.fingerprint import fingerprint_of
from curation.image_quality import MEASURED_PX, contrast, grey_picture, sharpness
from curation.images import PixelArray, decode, shorter_side_px, square_pixels
from curation.sources.location import UnreadableImageError, read_bytes
from curation.values import ImageFacts


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image by the digest its bytes had when it was ingested, "" where they were never read, and where they lie."""

    sha256: str
    uri: str


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """What is asked of every image: see `square_pixels` and `ImagesConfig`."""

    input_px: int
    crop_share: float
    max_pixels: int


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """One answer; `pixels` is uint8 of shape (input_px, input_px, 3), None exactly when `facts.reason` is set."""

    facts: ImageFacts
    pixels: PixelArray | None


DecodeFunction = Callable[[ImageReference, DecodeSettings], DecodedImage]


def decode_reference(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """Read, check and decode one image."""
    try:
        data = read_bytes(reference.uri)
    except UnreadableImageError as error:
        return DecodedImage(ImageFacts(sha256=reference.sha256, reason=error.reason), None)
    target_px = max(shorter_side_px(settings.input_px, settings.crop_share), MEASURED_PX // 2)  # decoded at twice that
    decoded = decode(data, settings.max_pixels, target_px)
    if reference.sha256 not in ("", decoded.facts.sha256):
        reason = "changed since it was ingested; ingest its source again"
        return DecodedImage(ImageFacts(sha256=reference.sha256, reason=reason), None)
    if decoded.image is None:
        return DecodedImage(decoded.facts, None)
    try:
        pixels = square_pixels(decoded.image, settings.input_px, settings.crop_share)
        return DecodedImage(measured(decoded.facts, decoded.image), pixels)
    except MemoryError:
        return DecodedImage(replace(decoded.facts, reason="decoding needs more memory than there is"), None)


def measured(facts: ImageFacts, image: Image.Image) -> ImageFacts:
    """The facts of an upright RGB image with its quality and its fingerprint."""
    grey = grey_picture(image)
    return replace(facts, sharpness=sharpness(grey), contrast=contrast(grey), fingerprint=fingerprint_of(grey))


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """The first message to a worker: what to do with every image, and how long one may take."""

    decode: DecodeFunction
    timeout_s: float


@dataclass(frozen=True, slots=True)
class DecodeRun:
    """Every other message: images to be decoded in the same way."""

    references: Sequence[ImageReference]
    settings: DecodeSettings


READY = "ready"  # the first message of a worker: from now on an end of the process is an image's fault


def serve(descriptor: int) -> None:
    """Answer until the other side closes. Messages: a `WorkerOrder`, then `DecodeRun`s.

    Each reference is answered by its own message: a `DecodedImage`, or the traceback of a programming error as text.
    An image that takes too long ends this process: the alarm's default action is the kernel's, so it works inside any
    decoder and even after the parent has died.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with Connection(descriptor) as connection:
        try:
            order: WorkerOrder = connection.recv()
            connection.send(READY)
            _silence_decoders()
            while True:
                run: DecodeRun = connection.recv()
                for reference in run.references:
                    connection.send(_answer(reference, run.settings, order))
        except (EOFError, ConnectionError):  # the parent is done, or dead
            return


def _silence_decoders() -> None:
    """libtiff and libjpeg write their complaints straight to the standard error; the image's reason tells them too."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def _answer(reference: ImageReference, settings: DecodeSettings, order: WorkerOrder) -> DecodedImage | str:
    signal.setitimer(signal.ITIMER_REAL, order.timeout_s)
    try:
        return order.decode(reference, settings)
    except Exception:
        return traceback.format_exc()  # raised again by the parent
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

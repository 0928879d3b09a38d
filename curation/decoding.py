"""Decode many images in guarded processes: a decoder that crashes or hangs costs its own image and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.decoding_turns import Turns
from curation.decoding_worker import (
    READY,
    DecodedImage,
    DecodeFunction,
    DecodeRun,
    DecodeSettings,
    ImageReference,
    WorkerOrder,
    decode_reference,
)
from curation.errors import CurationError
from curation.images import PixelArray
from curation.values import ImageFacts

if TYPE_CHECKING:
    from curation.config import ImagesConfig

__all__ = ["DECODERS_FAULT", "KILLED", "DecodedBatch", "DecodingPool", "ImageReference", "decode_images"]

_RUN = 16  # images a worker gets at once: few messages, and a batch is still shared by several workers
_RUNS_AHEAD = 3  # for every worker: one in hand, one waiting, one that the slowest image of a batch holds up
_STARTS = 3  # of a worker that is killed before it is up: that too happens where memory runs out
_GRACE_S = 10.0  # a worker ends itself at the time-out; after this much more (it sleeps in the kernel) it is killed
_REAP_S = 5.0  # a killed process that is still not gone by then waits for a dead disk: it is left to the system

# The reason of an image that may well be healthy: `curate embed` tries it again the next time.
KILLED = "decoding was killed (out of memory?), and again with this image alone; the next run tries it again"
_CRASHED, _TOO_LONG = "the decoder crashed", "decoding took longer than"
DECODERS_FAULT = (KILLED, _CRASHED, _TOO_LONG)  # how the reasons begin that are not those of the bytes

# A process of our own making rather than multiprocessing's: those import the caller's main module again, which costs
# seconds with torch in it and runs a script without a main guard twice. Arguments: descriptor, then sys.path.
_WORKER = "import sys; sys.path[:] = sys.argv[2:]; from curation.decoding_worker import serve; serve(int(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """A batch of images: the facts of all of them in the order asked, and the pixels of those that could be read.

    `pixels` is uint8 of shape (K, input_px, input_px, 3); `rows` (K,) says which facts each belongs to.
    """

    facts: tuple[ImageFacts, ...]
    pixels: PixelArray
    rows: NDArray[np.intp]


def decode_images(
    references: Sequence[ImageReference],
    *,
    input_px: int,
    crop_share: float,
    config: ImagesConfig,
    batch_size: int = 64,
    decode: DecodeFunction = decode_reference,
    pool: DecodingPool | None = None,
) -> Generator[DecodedBatch, None, None]:
    """Decode images to squares of `input_px` in batches of `batch_size` references (the last may be shorter), in order.

    Batches are decoded ahead while the caller works on the one it was given; a fixed number, so that memory stays
    bounded. An image that cannot be read, that crashes its decoder, or that takes longer than `config.timeout_s` has a
    `reason` in its facts. Closing the generator ends the processes at once. `decode` must be importable by name.

    With a `pool` its processes and its decode function are used, and they stay: for callers who decode little, often.
    """
    settings = DecodeSettings(input_px, crop_share, config.max_pixels)
    size = min(processes_for(config), max(1, -(-len(references) // _RUN)))
    batches_ahead = max(2, -(-size * _RUN * _RUNS_AHEAD // batch_size))
    starts = iter(range(0, len(references), batch_size))
    ahead: deque[list[Future[list[DecodedImage]]]] = deque()
    workers = DecodingPool(size, decode, config.timeout_s) if pool is None else pool
    try:
        while True:
            for start in starts:
                ahead.append(workers.submit(references[start : start + batch_size], settings))
                if len(ahead) > batches_ahead:
                    break
            if not ahead:
                return
            yield _to_batch([image for run in ahead.popleft() for image in run.result()], input_px)
    finally:
        if pool is None:
            workers.close()


def processes_for(config: ImagesConfig) -> int:
    """How many decoding processes the configuration asks for."""
    return config.workers or len(os.sched_getaffinity(0))


def _to_batch(images: list[DecodedImage], input_px: int) -> DecodedBatch:
    rows = [row for row, image in enumerate(images) if image.pixels is not None]
    pixels = np.empty((len(rows), input_px, input_px, 3), dtype=np.uint8)
    if rows:
        np.stack([image.pixels for image in images if image.pixels is not None], out=pixels)
    return DecodedBatch(tuple(image.facts for image in images), pixels, np.array(rows, dtype=np.intp))


class DecodingPool:
    """Worker processes, and as many threads that each feed one and wait for it. A lost worker is replaced.

    Processes are started when they are needed. For any number of callers in any thread.
    """

    def __init__(self, size: int, decode: DecodeFunction, timeout_s: float) -> None:
        self._order = WorkerOrder(decode, timeout_s)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="decoding")
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._living: set[_Worker] = set()
        self._lock = threading.Lock()
        self._turns = Turns()
        self._closed = False

    def submit(
        self, references: Sequence[ImageReference], settings: DecodeSettings
    ) -> list[Future[list[DecodedImage]]]:
        """Have a batch decoded in runs that several workers share; the runs' answers are in the order of the batch."""
        runs = (references[first : first + _RUN] for first in range(0, len(references), _RUN))
        return [self._threads.submit(self._decode_run, run, settings) for run in runs]

    def close(self) -> None:
        """End every worker, whatever it is doing, then the threads, which see their workers end."""
        with self._lock:
            self._closed = True
            for worker in self._living:
                worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in list(self._living):
            self._bury(worker)

    def _decode_run(self, references: Sequence[ImageReference], settings: DecodeSettings) -> list[DecodedImage]:
        """One answer for each reference.

        The first that is unanswered when a worker dies was in its hand, and is tried once more while no other image is
        decoded: it may have been healthy, and the memory short.
        """
        done: list[DecodedImage] = []
        while len(done) < len(references):
            with self._turns.beside_others():
                answers, lost = self._attempt(references[len(done) :], settings)
            done += answers
            if lost is not None and not lost.timed_out:
                with self._turns.alone():
                    answers, lost = self._attempt(references[len(done) : len(done) + 1], settings)
                done += answers
            if lost is not None:
                done.append(DecodedImage(ImageFacts(references[len(done)].sha256, reason=lost.cause_of_death), None))
        return done

    def _attempt(
        self, references: Sequence[ImageReference], settings: DecodeSettings
    ) -> tuple[list[DecodedImage], _Worker | None]:
        """The answers of one worker, and that worker where it died before the last of them."""
        worker = self._take()
        try:
            answers = list(worker.answers(DecodeRun(references, settings)))
        except RuntimeError:
            self._bury(worker)
            raise
        if len(answers) == len(references):
            self._idle.put(worker)
            return answers, None
        self._bury(worker)
        return answers, worker

    def _take(self) -> _Worker:
        while True:
            try:
                idle = self._idle.get_nowait()
            except Empty:
                break
            if idle.is_alive:  # else killed from outside while it had nothing to do, which no image is to blame for
                return idle
            self._bury(idle)
        for starts_left in reversed(range(_STARTS)):
            with self._lock:
                if self._closed:
                    raise CancelledError
                worker = _Worker(self._order.timeout_s)
                self._living.add(worker)
            if worker.begin(self._order):
                return worker
            self._bury(worker)
            if not (worker.was_killed and starts_left):
                break
        if worker.was_killed:
            raise CurationError(
                f"a decoding process was killed before its first image, {_STARTS} times.",
                hint="Is there memory left? Set images.workers to 1 to need less, then run it again.",
            )
        raise CurationError(
            f"a decoding process ended before its first image: {worker.cause_of_death}.",
            hint="Its own message is on the standard error; check the installation.",
        )

    def _bury(self, worker: _Worker) -> None:
        with self._lock:
            self._living.discard(worker)
        worker.end()


class _Worker:
    """One worker process and the connection to it."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._stuck = False
        self._connection, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, arguments of our own
                [sys.executable, "-c", _WORKER, str(theirs.fileno()), *sys.path],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C reaches the parent alone, even while the worker is still starting
            )

    def begin(self, order: WorkerOrder) -> bool:
        """Give the order and wait until the worker is up, so that a failing start is never blamed on an image."""
        try:
            self._connection.send(order)
            return bool(self._connection.recv() == READY)
        except (EOFError, ConnectionError):
            return False

    def answers(self, run: DecodeRun) -> Iterator[DecodedImage]:
        """The answers in order; fewer than references where the process ends."""
        try:
            self._connection.send(run)
            for reference in run.references:
                if not self._connection.poll(self._timeout_s + _GRACE_S):
                    self._stuck = True
                    return
                answer = self._connection.recv()
                if isinstance(answer, str):
                    raise RuntimeError(f"the decoder failed on {reference.uri}:\n{answer}")
                yield answer
        except (EOFError, ConnectionError):
            return

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def timed_out(self) -> bool:
        return self._stuck or self._process.returncode == -signal.SIGALRM

    @property
    def was_killed(self) -> bool:
        """Whether it did not end by itself: the kernel does that where memory runs out."""
        return not self._stuck and self._process.returncode == -signal.SIGKILL

    @property
    def cause_of_death(self) -> str:
        """Why the process ended, as the reason of the image it was working on."""
        status = self._process.returncode
        if self.timed_out:
            return f"{_TOO_LONG} {self._timeout_s:g} s"
        if self.was_killed:
            return KILLED
        if status is not None and status < 0:
            return f"{_CRASHED} ({signal.Signals(-status).name})"
        return f"{_CRASHED} (exit status {status})"

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Close the connection, which ends an idle process, and make sure that it is gone."""
        self._connection.close()
        if self._stuck:
            self.kill()
        try:
            self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            self.kill()

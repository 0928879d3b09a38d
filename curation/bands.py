"""How work is spread over cores: bands of rows over plain threads, or one thread for many small steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


def for_each_band(work: Callable[[slice], None], rows: int, band: int) -> None:
    """Call `work` for each of the slices of `band` rows that cover `rows`, on as many threads as torch uses.

    Inside, torch runs on one thread and without gradients. On a busy machine this is several times faster than torch's
    own threads, which all wait for the slowest after every layer (measured: 94 against 17 to 49 GFLOP/s with both
    cores shared). numba's thread pools are avoided for another reason: they abort the process after a fork.
    """
    bands = [slice(top, min(top + band, rows)) for top in range(0, rows, band)]
    usual = torch.get_num_threads()
    threads = min(usual, len(bands))
    if threads <= 1:
        try:
            torch.set_num_threads(1)
            for part in bands:
                work(part)
        finally:
            torch.set_num_threads(usual)
        return

    @torch.inference_mode()
    def alone(part: slice) -> None:
        work(part)

    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for done in [pool.submit(alone, part) for part in bands]:
                done.result()
    finally:
        torch.set_num_threads(usual)  # the workers' setting is also the default of threads that start later


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch and BLAS on one thread inside the block.

    For loops of small steps: after each of them the threads of a pool wait for the slowest by spinning. On two cores,
    bird training took 5.5 s with two threads and 7.4 s with one; with both cores busy more than 100 s and 27 s. The
    result does not depend on the number of cores then, either.
    """
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(usual)

"""Decoding in guarded processes: order, reasons, and that a crash or a hang costs its own image and nothing else."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from curation import decoding
from curation.config import ImagesConfig
from curation.decoding import KILLED, DecodedBatch, DecodingPool, ImageReference, decode_images
from curation.decoding_worker import DecodedImage, DecodeFunction, DecodeSettings, decode_reference, measured
from curation.errors import CurationError
from curation.images import decode, square_pixels
from curation.sources.location import file_uri
from curation.values import ImageFacts
from tests.hostile import (
    READ,
    decode_or_be_killed,
    decode_or_crash,
    decode_or_crash_once,
    decode_or_fail,
    decode_or_hang,
    decode_or_note_who_is_beside,
    encoded,
    make_hostile_files,
    picture,
)

INPUT_PX, CROP_SHARE = 24, 0.875
REPOSITORY = Path(__file__).parents[1]


def write_images(folder: Path, names: list[str]) -> list[ImageReference]:
    references = []
    for seed, name in enumerate(names):
        data = encoded(picture(seed), "PNG")
        (folder / name).write_bytes(data)
        references.append(ImageReference(hashlib.sha256(data).hexdigest(), file_uri(folder / name)))
    return references


def numbered(count: int, **special: int) -> list[str]:
    """File names 0.png, 1.png ...; `crash=3` makes the fourth "3_crash.png"."""
    words = {number: word for word, number in special.items()}
    return [f"{number}_{words[number]}.png" if number in words else f"{number}.png" for number in range(count)]


def decoded_batches(
    references: list[ImageReference],
    decode: DecodeFunction = decode_reference,
    *,
    workers: int = 2,
    timeout_s: float = 30.0,
    batch_size: int = 64,
) -> Generator[DecodedBatch, None, None]:
    return decode_images(
        references,
        input_px=INPUT_PX,
        crop_share=CROP_SHARE,
        config=ImagesConfig(workers=workers, timeout_s=timeout_s, max_pixels=80_000_000),
        batch_size=batch_size,
        decode=decode,
    )


def facts_of(batches: Iterable[DecodedBatch]) -> list[ImageFacts]:
    return [facts for batch in batches for facts in batch.facts]


_others: set[int] = set()


@pytest.fixture(autouse=True)
def others() -> None:
    """The decoders that the tests of pictures have left for the next picture are none of ours."""
    _others.clear()
    _others.update(children())


def children() -> set[int]:
    """Processes started by this test and not yet gone."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()} - _others


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids: set[int], patience_s: float = 20.0) -> set[int]:
    deadline = time.monotonic() + patience_s
    while (left := {pid for pid in pids if is_running(pid)}) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def test_decode_images__batches_in_order_with_their_pixels(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(75))
    broken = (8, 40)
    for number in broken:
        references[number] = ImageReference("0" * 64, file_uri(tmp_path / "nothing.png"))
    batches = list(decoded_batches(references, batch_size=30))
    assert [len(batch.facts) for batch in batches] == [30, 30, 15]
    assert [facts.sha256 for facts in facts_of(batches)] == [reference.sha256 for reference in references]
    for start, batch in zip((0, 30, 60), batches, strict=True):
        assert batch.rows.tolist() == [row for row in range(len(batch.facts)) if start + row not in broken]
        assert batch.pixels.dtype == np.uint8
        assert batch.pixels.shape == (len(batch.rows), INPUT_PX, INPUT_PX, 3)
        for row, pixels in zip(batch.rows, batch.pixels, strict=True):
            assert np.array_equal(pixels, square_pixels(picture(start + row), INPUT_PX, CROP_SHARE))
    assert not children()


def test_decode_images__nothing_to_do() -> None:
    assert list(decoded_batches([])) == []


def test_decode_images__all_unreadable_still_has_a_shape() -> None:
    (batch,) = decoded_batches([ImageReference("0" * 64, "file:///nowhere/1.png")])
    assert batch.pixels.shape == (0, INPUT_PX, INPUT_PX, 3)
    assert batch.facts[0].reason == "the file has vanished"


def test_decode_images__every_hostile_file_is_accounted_for(tmp_path: Path) -> None:
    expected = make_hostile_files(tmp_path)
    references = [ImageReference(_digest(tmp_path / name), file_uri(tmp_path / name)) for name in expected]
    facts = facts_of(decoded_batches(references))
    found = {name: fact.reason is None for name, fact in zip(expected, facts, strict=True)}
    assert found == {name: expectation == READ for name, expectation in expected.items()}


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes() if file.is_file() else b"").hexdigest()
    except OSError:
        return "0" * 64


def test_decode_images__bytes_that_changed(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(2))
    (tmp_path / "1.png").write_bytes(encoded(picture(99), "PNG"))
    same, changed = facts_of(decoded_batches(references))
    assert same.reason is None
    assert changed.reason == "changed since it was ingested; ingest its source again"
    assert changed.sha256 == references[1].sha256


@pytest.mark.parametrize("position", [0, 5, 39])
def test_decode_images__a_crash_costs_one_image(tmp_path: Path, position: int) -> None:
    references = write_images(tmp_path, numbered(40, crash=position))
    facts = facts_of(decoded_batches(references, decode_or_crash))
    assert [number for number, fact in enumerate(facts) if fact.reason] == [position]
    assert facts[position].reason == "the decoder crashed (SIGSEGV)"
    assert facts[position].sha256 == references[position].sha256


def test_decode_images__every_image_crashes(tmp_path: Path) -> None:
    references = write_images(tmp_path, ["crash1.png", "crash2.png"])
    facts = facts_of(decoded_batches(references, decode_or_crash))
    assert {fact.reason for fact in facts} == {"the decoder crashed (SIGSEGV)"}


def test_decode_images__a_worker_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(20, crash=4))
    assert not any(fact.reason for fact in facts_of(decoded_batches(references, decode_or_crash_once)))
    assert (tmp_path / "killed").exists()


def test_decode_images__an_image_whose_process_is_killed_twice_says_so(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(20, crash=4))
    facts = facts_of(decoded_batches(references, decode_or_be_killed))
    assert [number for number, fact in enumerate(facts) if fact.reason] == [4]
    assert facts[4].reason == KILLED and facts[4].size_bytes == 0


def test_decode_images__what_was_in_hand_is_tried_again_alone(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(120, crash=4))
    facts = facts_of(decoded_batches(references, decode_or_note_who_is_beside))
    assert not any(fact.reason for fact in facts)
    assert (tmp_path / "beside").read_text() == ""


def test_decode_images__a_worker_that_is_killed_as_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    references = write_images(tmp_path, numbered(1))
    died = tmp_path / "died"
    once = f"import os; p = {str(died)!r}; f = os.path.exists(p); open(p, 'w').close(); f or os.kill(os.getpid(), 9); "
    monkeypatch.setattr("curation.decoding._WORKER", once + decoding._WORKER)
    assert facts_of(decoded_batches(references))[0].reason is None and died.exists()
    monkeypatch.setattr("curation.decoding._WORKER", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(CurationError, match=r"killed before its first image, 3 times.*images\.workers"):
        list(decoded_batches(references))
    assert not children()


def test_decode_images__a_hang_costs_one_image(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(20, hang=7))
    facts = facts_of(decoded_batches(references, decode_or_hang, timeout_s=0.5))
    assert [number for number, fact in enumerate(facts) if fact.reason] == [7]
    assert facts[7].reason == "decoding took longer than 0.5 s"


def test_decode_images__a_worker_that_no_alarm_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.decoding._GRACE_S", 0.2)
    references = write_images(tmp_path, numbered(3, stop=1))
    facts = facts_of(decoded_batches(references, stop_the_process, timeout_s=0.5))
    assert [fact.reason for fact in facts] == [None, "decoding took longer than 0.5 s", None]
    assert not children()


def stop_the_process(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """A process that sleeps in the kernel, as one does on a dead network disk: an alarm does not reach it."""
    if "_stop" in reference.uri:
        os.kill(os.getpid(), signal.SIGSTOP)
    return decode_reference(reference, settings)


def test_decode_images__a_programming_error_stops_with_its_traceback(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(3))
    with pytest.raises(RuntimeError, match=r"0\.png[\s\S]*decode_or_fail[\s\S]*no attribute"):
        list(decoded_batches(references, decode_or_fail))
    assert not children()


def test_decode_images__a_worker_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.decoding._WORKER", "raise SystemExit(3)")
    with pytest.raises(CurationError, match=r"before its first image.*exit status 3"):
        list(decoded_batches(write_images(tmp_path, numbered(1))))
    assert not children()


def test_decode_images__closing_early_ends_the_workers(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(200, hang=70))
    threads = set(threading.enumerate())
    with closing(decoded_batches(references, decode_or_hang, batch_size=8)) as batches:
        next(batches)
        assert children()
    assert not children()
    assert not set(threading.enumerate()) - threads


def test_decode_images__decodes_a_bounded_number_ahead(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(400))
    with closing(decoded_batches(references, leave_a_trace, workers=1, batch_size=16)) as batches:
        next(batches)
        traces = tmp_path / "traces"
        deadline = time.monotonic() + 20
        while len(list(traces.iterdir())) < 64 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)  # were it unbounded, more would follow
        assert len(list(traces.iterdir())) == 64  # the batch in hand and three ahead


def leave_a_trace(reference: ImageReference, settings: DecodeSettings) -> DecodedImage:
    """A decoder that leaves a file for every image it was given."""
    image = Path(reference.uri.removeprefix("file://"))
    (image.parent / "traces").mkdir(exist_ok=True)
    (image.parent / "traces" / image.name).touch()
    return decode_reference(reference, settings)


# A script without a main guard, which spells out the ids of its workers and then works on them for ever.
SCRIPT = """
import hashlib, sys
from pathlib import Path
from curation.config import ImagesConfig
from curation.decoding import ImageReference, decode_images
from curation.sources.location import file_uri
from tests.hostile import decode_or_hang
from tests.test_decoding import children

print("started", flush=True)
files = sorted(Path(sys.argv[1]).glob("*.png"))
references = [ImageReference(hashlib.sha256(file.read_bytes()).hexdigest(), file_uri(file)) for file in files]
config = ImagesConfig(workers=2, timeout_s=float(sys.argv[2]))
for batch in decode_images(
    references, input_px=24, crop_share=1.0, config=config, batch_size=4, decode=decode_or_hang
):
    print("workers", *children(), flush=True)
"""


def start_script(folder: Path, timeout_s: float) -> tuple[subprocess.Popen[str], set[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(folder), str(timeout_s)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    word, *pids = process.stdout.readline().split()
    assert word == "workers"
    return process, {int(pid) for pid in pids}


def test_decode_images__no_orphans_when_the_parent_is_killed(tmp_path: Path) -> None:
    write_images(tmp_path, numbered(60, hang=20))
    process, workers = start_script(tmp_path, timeout_s=2.0)
    process.kill()
    process.communicate()
    assert workers
    assert not wait_until_gone(workers)


def test_decode_images__interrupt_ends_the_workers(tmp_path: Path) -> None:
    write_images(tmp_path, numbered(60, hang=20))
    process, workers = start_script(tmp_path, timeout_s=600.0)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert "started" not in output  # the script ran once: no worker imported it
    assert errors.count("KeyboardInterrupt") == 1
    assert not wait_until_gone(workers)


def test_decoding_worker__imports_neither_torch_nor_pydantic() -> None:
    code = "import sys, curation.decoding_worker; print({'torch', 'pydantic', 'pyarrow', 'pytest'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"


def test_decode_reference__reads_and_decodes(tmp_path: Path) -> None:
    (reference,) = write_images(tmp_path, ["one.png"])
    (batch,) = decoded_batches([reference])
    decoded = decode((tmp_path / "one.png").read_bytes(), 80_000_000)
    assert decoded.image is not None
    assert batch.facts[0] == measured(decoded.facts, decoded.image)


def test_decoding_pool__stays_for_the_next_and_replaces_who_was_killed(tmp_path: Path) -> None:
    references = write_images(tmp_path, numbered(40))
    with closing(DecodingPool(2, decode_reference, 30.0)) as pool:

        def decoded(chosen: list[ImageReference]) -> list[ImageFacts]:
            return facts_of(decode_images(chosen, input_px=8, crop_share=1.0, config=ImagesConfig(), pool=pool))

        first = decoded(references[:20])
        workers = children()
        assert workers
        assert decoded(references[20:])[0].reason is None
        assert workers <= children()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert wait_until_gone(workers) == set()
        again = decoded(references[:20])
        assert again == first  # no image is to blame
    assert not children()

"""What a night leaves behind: gathered from a workspace, kept on disk, read back, damage named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from curation.embedding_shards import shards_of, write_shard
from curation.errors import HistoryError
from curation.history.gathering import GatheredNight, night_facts
from curation.history.keeping import novel_ids_of, read_history, write_night
from curation.history.night import NewImages, NoiseLevel, PromiseNight
from curation.store.connection import catalog
from curation.store.decisions import append_decision
from curation.store.flags import replace_flags
from curation.store.images import put_image_facts
from curation.store.journal import journal
from curation.store.noise import replace_noise
from curation.store.runs import put_stage
from curation.store.samples import put_samples, read_samples, remove_samples
from curation.store.snapshot import publish_snapshot
from curation.values import CategoryNoise, Decision, DecisionAction, FlagName, ImageFacts, Role, Sample
from curation.workspace import Workspace
from tests.history_worlds import WORLDS, nights_of
from tests.report_factory import estimate, flag, novel

BEGUN = datetime(2026, 1, 5, 2, tzinfo=UTC)


def fill(workspace: Workspace, samples: list[Sample], *, away: float = 0.0, bad: int = 0) -> None:
    """Add samples with a noise probability of 0.25 and embeddings around one direction, `away` from it; the first
    `bad` of them have no pixels."""
    random = np.random.default_rng(len(samples))
    facts = [
        ImageFacts(str(item.sha256), reason="broken" if place < bad else None) for place, item in enumerate(samples)
    ]
    with catalog(workspace) as connection:
        put_samples(connection, samples)
        put_image_facts(connection, facts)
        everything = read_samples(connection, Role.NOVEL)
        names = sorted({item.category for item in everything})
        replace_noise(
            connection,
            [estimate(item, 0.25) for item in everything if item not in samples[:bad]],
            [CategoryNoise(name, 9, 0.25, 0.2, 0.3) for name in names],
        )
        replace_flags(connection, [flag(everything[0], FlagName.OUTLIER), flag(everything[0], FlagName.LOW_QUALITY)])
        rates = {"noise rate": 0.25, "noise rate, low": 0.2, "noise rate, high": 0.3}
        put_stage(connection, "noise", "f", "r", {"judged": len(everything), **rates})
        put_stage(connection, "embed", "f", "r", {"encoder": "e"})
    if samples[bad:]:
        directions = random.normal(size=(len(samples) - bad, 8)) + np.array([3, away, 0, 0, 0, 0, 0, 0])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        digests = [str(item.sha256) for item in samples[bad:]]
        write_shard(shards_of(workspace.embeddings, "e"), digests, directions.astype(np.float32))
    publish_snapshot(workspace)


def night(workspace: Workspace, number: int, *, write: bool = True, **more: object) -> GatheredNight:
    begun = BEGUN + timedelta(days=number)
    gathered = night_facts(
        workspace,
        night_id=f"{begun:%Y%m%dT%H%M%S}-00000{number}",
        started_at=begun,
        finished_at=begun + timedelta(hours=1),
        **more,  # type: ignore[arg-type]
    )
    if write:
        write_night(workspace, gathered.facts, gathered.novel_ids)
    return gathered


def test_nights__the_first_knows_of_nothing_new_and_the_second_does(workspace: Workspace) -> None:
    old = [novel(n, "wren" if n % 2 else "robin") for n in range(60)]
    fill(workspace, old)
    first = night(workspace, 0).facts
    assert (first.images, first.new, first.gone, first.shift, first.sites) == (60, None, None, None, None)
    assert first.note.startswith("The first night") and first.samples == {"novel": 60}
    assert first.noise == NoiseLevel(0.25, 0.2, 0.3) and first.flagged == 1
    fill(
        workspace, [novel(n, "wren", source_url="https://www.a.org/x", query="a wren") for n in range(100, 130)], bad=2
    )
    with journal(workspace.journal) as connection:
        append_decision(connection, Decision(old[1].sample_id, DecisionAction.KEEP, "anna"))
    second = night(
        workspace, 1, kept={"wren": 50}, promise=PromiseNight(0.02, True, 50), durations_s={"embed": 3.5}
    ).facts
    assert second.new == NewImages(30, 2, 28, 0.25, 0.0) and second.gone == 0 and second.note == ""
    assert second.sites is not None and second.sites.counts == {"a.org": 30}
    assert second.queries is not None and second.queries.counts == {"a wren": 30}
    assert second.unreadable == 2 and second.decisions == 1
    robin, wren = second.categories
    assert (robin.category, robin.images, robin.new, robin.kept) == ("robin", 30, NewImages(0, 0, 0), 0)
    assert (wren.images, wren.decisions, wren.kept, wren.noise) == (60, 1, 50, NoiseLevel(0.25, 0.2, 0.3))
    assert second.shift is not None and second.shift.new == 28 and second.shift.mmd.p_value > 0.01
    assert wren.shift is not None and robin.shift is None
    assert read_history(workspace).nights == (first, second)


def test_nights__new_images_that_lie_elsewhere(workspace: Workspace) -> None:
    fill(workspace, [novel(n) for n in range(60)])
    night(workspace, 0)
    fill(workspace, [novel(n) for n in range(100, 130)], away=9.0)
    shift = night(workspace, 1).facts.shift
    assert shift is not None and shift.mmd.p_value == shift.energy.p_value == 0.001 and shift.mmd.excess > 10


def test_nights__nothing_new_and_something_gone(workspace: Workspace) -> None:
    samples = [novel(n) for n in range(30)]
    fill(workspace, samples)
    night(workspace, 0)
    with catalog(workspace) as connection:
        remove_samples(connection, [item.sample_id for item in samples[:4]])
    publish_snapshot(workspace)
    facts = night(workspace, 1).facts
    assert (facts.images, facts.new, facts.gone, facts.shift, facts.sites) == (26, NewImages(0, 0, 0), 4, None, None)


def test_nights__a_new_category_has_nothing_to_be_compared_with(workspace: Workspace) -> None:
    fill(workspace, [novel(n) for n in range(30)])
    night(workspace, 0)
    fill(workspace, [novel(n, "robin") for n in range(100, 130)])
    facts = night(workspace, 1).facts
    assert facts.new is not None and facts.new.images == 30 and facts.shift is None


def test_nights__a_rebuilt_catalogue_changes_nothing(workspace: Workspace) -> None:
    samples = [novel(n) for n in range(30)]
    fill(workspace, samples)
    night(workspace, 0)
    workspace.catalog.unlink()
    fill(workspace, samples[::-1])
    assert night(workspace, 1).facts.new == NewImages(0, 0, 0)


@pytest.mark.parametrize("damage", [None, b"", b"\x93NUMPY\x01\x00", b"junk"])
def test_nights__a_lost_list_is_said(workspace: Workspace, damage: bytes | None) -> None:
    fill(workspace, [novel(n) for n in range(30)])
    night(workspace, 0)
    path = next(workspace.history.glob("*.npy"))
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    facts = night(workspace, 1).facts
    assert facts.new is None and facts.gone is None and "is not known" in facts.note
    assert night(workspace, 2).facts.new == NewImages(0, 0, 0)


def test_nights__the_same_night_can_be_written_again(workspace: Workspace) -> None:
    fill(workspace, [novel(n) for n in range(30)])
    night(workspace, 0)
    fill(workspace, [novel(n) for n in range(100, 110)])
    once, again = night(workspace, 1), night(workspace, 1, status="failed")
    assert once.facts.new == again.facts.new and again.facts.new is not None and again.facts.new.images == 10
    assert [item.status for item in read_history(workspace).nights] == ["done", "failed"]
    for number in range(2, 5):
        night(workspace, number)
    assert len(list(workspace.history.glob("*.npy"))) == 2 and len(read_history(workspace).nights) == 5


def test_history__every_kind_of_night_is_read_as_written(workspace: Workspace) -> None:
    random = np.random.default_rng(0)
    written = nights_of(WORLDS["idle nights"], 6, random)
    for facts in written[::-1]:
        write_night(workspace, facts, np.array([1, 2], dtype=np.uint64))
    assert read_history(workspace).nights == tuple(written)
    assert read_history(workspace).before(written[2].night_id) == tuple(written[:2])
    ids = novel_ids_of(workspace, written[-1].night_id)
    assert ids is not None and ids.tolist() == [1, 2]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"night_id": "x"}', b"\xff\xfe"])
def test_history__a_damaged_file_is_named_and_left_out(workspace: Workspace, damage: bytes) -> None:
    assert read_history(workspace).nights == ()
    one, other = nights_of(WORLDS["plain"], 2, np.random.default_rng(0))
    for facts in (one, other):
        write_night(workspace, facts, np.zeros(0, np.uint64))
    path = workspace.history / f"{one.night_id}.json"
    path.write_bytes(damage)
    history = read_history(workspace)
    assert history.nights == (other,) and history.damaged == (str(path),)


def test_history__that_cannot_be_written_is_our_error(workspace: Workspace) -> None:
    workspace.history.write_text("in the way")
    (facts,) = nights_of(WORLDS["plain"], 1, np.random.default_rng(0))
    with pytest.raises(HistoryError, match="cannot be written"):
        write_night(workspace, facts, np.zeros(0, np.uint64))

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from curation.config import Config
from curation.errors import StoreBusyError, StoreError
from curation.evidence_columns import evidence_columns_of
from curation.store.connection import catalog
from curation.store.evidence import (
    read_evidence,
    read_evidence_columns,
    replace_evidence,
)
from curation.store.flags import count_flags, read_flags, replace_flags
from curation.store.images import (
    image_facts_digest,
    images_to_embed,
    put_image_facts,
    read_image_facts,
    unusable_images,
)
from curation.store.noise import read_category_noise, read_noise_estimates, replace_noise
from curation.store.runs import put_stage, read_stages, start_run
from curation.store.samples import (
    KnownEntry,
    category_names,
    count_samples,
    known_entries,
    put_samples,
    read_samples,
    readable_samples,
    remove_samples,
    unreadable_samples,
    update_crawl_facts,
)
from curation.store.schema import MIGRATIONS
from curation.store.snapshot import KEPT_SNAPSHOTS, current_snapshot, publish_new_results, publish_snapshot, snapshot
from curation.values import (
    CategoryNoise,
    CategorySimilarity,
    CrawlFacts,
    Evidence,
    Flag,
    FlagName,
    ImageFacts,
    NoiseEstimate,
    Role,
    Sample,
    SourceEntry,
    sample_id_of,
)
from curation.workspace import Workspace


def make_sample(
    number: int, *, role: Role = Role.NOVEL, category: str = "Sparrow", reason: str | None = None
) -> Sample:
    digest = None if reason else f"{number:064x}"
    return Sample(
        sample_id=sample_id_of(role, category, f"{number}.jpg", digest),
        image_id=f"{number}.jpg",
        role=role,
        category=category,
        uri=f"file:///images/{number}.jpg",
        version="10-20",
        sha256=digest,
        reason=reason,
        source="/images",
        crawl=CrawlFacts(
            source_url=f"https://example.org/{number}", query="sparrow", rank=number, title="Ein Spatz", license="CC0"
        ),
    )


def test_samples__come_back_as_they_went_in(workspace: Workspace) -> None:
    samples = [
        make_sample(1),
        make_sample(2, role=Role.BASE, category="Wren"),
        make_sample(3, reason="it has vanished"),
    ]
    with catalog(workspace) as connection:
        put_samples(connection, samples)
        put_samples(connection, samples[:1])  # again: no second row
    with catalog(workspace) as connection:
        assert read_samples(connection) == sorted(samples, key=lambda sample: sample.sample_id)
        assert read_samples(connection, Role.BASE) == [samples[1]]
        assert category_names(connection, Role.NOVEL) == {"Sparrow"}
        assert [row[0] for row in readable_samples(connection, Role.NOVEL)] == [samples[0].sample_id]
        assert unreadable_samples(connection) == [(samples[2].sample_id, "novel", "it has vanished")]
        assert count_samples(connection)["novel"] == {"samples": 2, "categories": 1, "unreadable": 1}
        known = known_entries(connection, "/images", Role.NOVEL)
        assert known[samples[0].uri, "Sparrow"] == KnownEntry(samples[0].sample_id, samples[0].image_id, "10-20")
        remove_samples(connection, [samples[0].sample_id])
        assert len(read_samples(connection)) == 2


def test_images__unreadable_ones_are_listed_again_only_when_no_bytes_came(workspace: Workspace) -> None:
    good, damaged, away = make_sample(1), make_sample(2), make_sample(3)
    with catalog(workspace) as connection:
        put_samples(connection, [good, damaged, away])
        put_image_facts(
            connection,
            [
                ImageFacts(damaged.sha256 or "", format="JPEG", size_bytes=100, reason="truncated"),
                ImageFacts(away.sha256 or "", reason="the file has vanished"),
            ],
        )
        assert {digest for digest, _ in images_to_embed(connection)} == {good.sha256, away.sha256}
        assert read_image_facts(connection)[damaged.sha256 or ""].reason == "truncated"
        assert unusable_images(connection) == {damaged.sha256, away.sha256}


def test_evidence_and_flags__replace_what_was_there(workspace: Workspace) -> None:
    evidence = Evidence("a", 1.25, None, 0.5, 0.25, (CategorySimilarity("Wren", 0.75),))
    flags = [Flag("a", FlagName.OUTLIER, "It is unlike the rest."), Flag("a", FlagName.LEAK, "It is a test image.")]
    with catalog(workspace) as connection:
        replace_evidence(connection, evidence_columns_of([Evidence("old", 1.0, 0.1, None, None, ())]))
        replace_evidence(connection, evidence_columns_of([evidence]))
        replace_flags(connection, flags[:1])
        replace_flags(connection, flags)
    with catalog(workspace) as connection:
        assert read_evidence(connection) == {"a": evidence}
        assert {flag.name for flag in read_flags(connection)["a"]} == {FlagName.OUTLIER, FlagName.LEAK}
        assert count_flags(connection) == {"leak": 1, "outlier": 1}


def test_evidence__as_columns(workspace: Workspace) -> None:
    near = (CategorySimilarity("Wren", 0.75), CategorySimilarity("Robin", 0.5))
    evidence = [
        Evidence("a", 1.25, None, 0.5, 0.25, near),
        Evidence("b", 0.5, 0.125, None, None, ()),
        Evidence("c", 1.0, None, 0.25, -0.5, near[1:]),
    ]
    with catalog(workspace) as connection:
        assert read_evidence_columns(connection).rows() == []
        replace_evidence(connection, evidence_columns_of(evidence))
    with catalog(workspace) as connection:
        found = read_evidence_columns(connection)
        assert list(read_evidence(connection).values()) == found.rows() == evidence
    assert found.of([2, 0]).rows() == [evidence[2], evidence[0]]


def test_stages__keep_the_last_state(workspace: Workspace) -> None:
    with catalog(workspace) as connection:
        start_run(connection, "r1", "run", Config())
        put_stage(connection, "embed", "f1", "r1", {"images": 1})
        put_stage(connection, "embed", "f2", "r1", {"images": 2})
        state = read_stages(connection)["embed"]
    assert (state.fingerprint, state.summary) == ("f2", {"images": 2})


def test_catalog__an_error_rolls_back(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError, match="stop"), catalog(workspace) as connection:
        put_samples(connection, [make_sample(1)])
        raise RuntimeError("stop")
    with catalog(workspace) as connection:
        assert read_samples(connection) == []


@pytest.mark.parametrize("read_only", [False, True])
def test_catalog__a_busy_file_names_the_process_that_holds_it(workspace: Workspace, read_only: bool) -> None:
    with catalog(workspace):
        pass  # a reader creates none
    hold = f"""
        import sys, duckdb
        connection = duckdb.connect(sys.argv[1], read_only={read_only})
        print("held", flush=True)
        sys.stdin.read()
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(hold), str(workspace.catalog)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(StoreBusyError, match=f"process {holder.pid}"), catalog(workspace, timeout_s=0.2):
            pass
        assert holder.stdin is not None
        holder.stdin.close()
        with catalog(workspace, timeout_s=20) as connection:  # waits for the holder to go
            assert read_samples(connection) == []


def test_catalog__a_damaged_file_says_what_to_do(workspace: Workspace) -> None:
    workspace.catalog.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreError, match="move it away"), catalog(workspace):
        pass


def test_noise__comes_back_and_is_replaced_whole(workspace: Workspace) -> None:
    estimates = [
        NoiseEstimate("a", 0.75, 0.5, None, 0.5, "It is unlike the others."),
        NoiseEstimate("b", 0.25, 0.25, "linnet", 0.75, "It is like the others."),
    ]
    rates = [CategoryNoise("linnet", 2, 0.5, 0.25, 0.75)]
    with catalog(workspace) as connection:
        replace_noise(connection, estimates, rates)
        assert read_noise_estimates(connection) == {"a": estimates[0], "b": estimates[1]}
        assert read_category_noise(connection) == rates
        replace_noise(connection, estimates[:1], [])
        assert read_noise_estimates(connection) == {"a": estimates[0]}
        assert read_category_noise(connection) == []


def test_migrations__an_older_catalogue_keeps_its_rows(workspace: Workspace) -> None:
    measured = ImageFacts(
        "b" * 64, "JPEG", "RGB", 8, 6, 1, 9, None, sharpness=0.25, contrast=40.5, fingerprint=b"\0\xff"
    )
    with patch("curation.store.schema.MIGRATIONS", MIGRATIONS[:1]), catalog(workspace) as connection:
        connection.execute("INSERT INTO images VALUES (?, 'JPEG', 'RGB', 8, 6, 1, 9, NULL)", ["a" * 64])
    with catalog(workspace) as connection:
        before = image_facts_digest(connection)
        put_image_facts(connection, [measured])
        assert read_image_facts(connection) == {
            "a" * 64: ImageFacts("a" * 64, "JPEG", "RGB", 8, 6, 1, 9, None),
            "b" * 64: measured,
        }
        after = image_facts_digest(connection)
        put_image_facts(connection, [measured])
        assert image_facts_digest(connection) == after != before
        assert unusable_images(connection) == set()


def test_migrations__samples_without_licences_keep_their_facts(workspace: Workspace) -> None:
    sample = make_sample(1)
    with patch("curation.store.schema.MIGRATIONS", MIGRATIONS[:5]), catalog(workspace) as connection:
        connection.execute(
            "INSERT INTO samples VALUES (?, ?, 'novel', 'Sparrow', ?, ?, ?, NULL, '/images', ?, 'sparrow', 1, ?, NULL)",
            [
                *(sample.sample_id, sample.image_id, sample.uri, sample.version, sample.sha256),
                *(sample.crawl.source_url, sample.crawl.title),
            ],
        )
    with catalog(workspace) as connection:
        assert read_samples(connection) == [replace(sample, crawl=replace(sample.crawl, license=None))]
        put_samples(connection, [sample])
        assert read_samples(connection) == [sample]


def test_update_crawl_facts__changes_what_differs_in_one_source_and_role(workspace: Workspace) -> None:
    one, two, base = make_sample(1), make_sample(2), make_sample(1, role=Role.BASE)
    other = replace(make_sample(3), source="/others")
    told = CrawlFacts(license="CC BY 4.0")
    entries = [SourceEntry(s.image_id, s.category, s.uri, s.version, told) for s in (one, other)]
    entries.append(SourceEntry(two.image_id, two.category, two.uri, two.version, two.crawl))
    with catalog(workspace) as connection:
        put_samples(connection, [one, two, base, other])
        assert update_crawl_facts(connection, "/images", Role.NOVEL, entries) == 1
        assert update_crawl_facts(connection, "/images", Role.NOVEL, entries) == 0
        assert update_crawl_facts(connection, "/images", Role.NOVEL, []) == 0
        expected = [replace(one, crawl=told), two, base, other]
        assert read_samples(connection) == sorted(expected, key=lambda sample: sample.sample_id)


def test_migrations__a_newer_catalogue_is_refused(workspace: Workspace) -> None:
    with catalog(workspace) as connection:
        connection.execute("UPDATE schema_version SET version = ?", [len(MIGRATIONS) + 1])
    with pytest.raises(StoreError, match="newer version"), catalog(workspace):
        pass


def test_snapshot__does_not_change_with_the_catalogue(workspace: Workspace) -> None:
    with catalog(workspace) as connection:
        put_samples(connection, [make_sample(1)])
    publish_snapshot(workspace)
    with snapshot(workspace) as reader, catalog(workspace) as connection:  # both at once, in one process
        put_samples(connection, [make_sample(2)])
        assert len(read_samples(reader)) == 1
    publish_snapshot(workspace)
    with snapshot(workspace) as reader:
        assert len(read_samples(reader)) == 2


def test_snapshot__old_ones_go_and_partial_ones_are_never_current(workspace: Workspace) -> None:
    with pytest.raises(StoreError, match="nothing published"):
        current_snapshot(workspace)
    (workspace.snapshots / ".1.partial").write_bytes(b"left by a killed process")
    paths = [publish_snapshot(workspace) for _ in range(KEPT_SNAPSHOTS + 2)]
    assert current_snapshot(workspace) == paths[-1]
    assert sorted(workspace.snapshots.glob("[0-9]*.duckdb")) == paths[-KEPT_SNAPSHOTS:]


def test_snapshot__of_new_results_only_or_in_place_of_a_damaged_one(workspace: Workspace) -> None:
    with catalog(workspace) as connection:
        put_stage(connection, "score", "a", "r", {})
    publish_new_results(workspace)
    first = current_snapshot(workspace)
    publish_new_results(workspace)
    assert current_snapshot(workspace) == first
    with catalog(workspace) as connection:
        put_stage(connection, "score", "b", "r", {})
    publish_new_results(workspace)
    second = current_snapshot(workspace)
    assert second != first
    second.write_bytes(second.read_bytes()[:4000])
    publish_new_results(workspace)
    with snapshot(workspace) as reader:
        assert read_stages(reader)["score"].fingerprint == "b"


def test_snapshot__works_in_a_folder_with_a_quote_in_its_name(tmp_path: Path) -> None:
    root = tmp_path / "it's"
    (root / "snapshots").mkdir(parents=True)
    assert publish_snapshot(Workspace(root)).is_file()
    assert (root / "snapshots" / "CURRENT").is_file()

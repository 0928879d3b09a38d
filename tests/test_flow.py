"""The golden flow on drawn images: stages run when they must and only then, and the numbers mean what they say."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from curation.config import Config, EmbeddingConfig, NoiseConfig, SimilarityConfig
from curation.errors import NoiseModelError
from curation.files import replace_text
from curation.flow import STAGES, StageResult, run_stages
from curation.stages.ingest import ingest
from curation.store.connection import catalog
from curation.store.decisions import append_decision
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.journal import journal
from curation.store.noise import read_category_noise, read_noise_estimates
from curation.store.runs import read_stages
from curation.store.samples import read_samples
from curation.store.snapshot import current_snapshot, snapshot
from curation.values import Decision, DecisionAction, Evidence, FlagName, Role, Sample
from curation.workspace import Workspace, create_workspace
from tests.hostile import make_hostile_files

CONFIG = Config(
    embedding=EmbeddingConfig(shard_size=64),
    similarity=SimilarityConfig(batches=150, batch_size=48, categories_per_batch=6, held_out=0.3),
    noise=NoiseConfig(made_images=500),
)


def changed(section: str, **values: object) -> Config:
    """The configuration of these tests with one section changed."""
    return CONFIG.model_copy(update={section: getattr(CONFIG, section).model_copy(update=values)})


def ingested(folder: Path, images: Path, config: Config = CONFIG) -> Workspace:
    workspace = create_workspace(folder, config)
    for role in Role:
        ingest(workspace, images / role.value, role)
    return workspace


def evidence_of(workspace: Workspace) -> dict[str, Evidence]:
    with catalog(workspace) as connection:
        return read_evidence(connection)


def novel_samples(workspace: Workspace) -> list[Sample]:
    with catalog(workspace) as connection:
        return read_samples(connection, Role.NOVEL)


def truth_of(images: Path) -> Mapping[str, bool]:
    """Image id -> whether its web category is wrong."""
    with (images / "truth.csv").open(newline="") as file:
        return {row["image"].removeprefix("novel/"): row["noise"] != "clean" for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_demo: Path) -> Workspace:
    """A workspace on which everything has run; tests must not change it."""
    workspace = ingested(tmp_path_factory.mktemp("finished") / "ws", small_demo)
    run_stages(workspace, CONFIG, command="run")
    return workspace


def test_flow__wrong_images_have_lower_weights(finished: Workspace, small_demo: Path) -> None:
    evidence, wrong = evidence_of(finished), truth_of(small_demo)
    samples = novel_samples(finished)
    weights = np.array([evidence[sample.sample_id].weight for sample in samples])
    truth = [wrong[sample.image_id] for sample in samples]
    assert roc_auc_score(truth, -weights) > 0.75  # a smoke test on 48 images; `curate demo` and the benchmarks measure
    for category in {sample.category for sample in samples}:
        own = [evidence[sample.sample_id].weight for sample in samples if sample.category == category]
        assert np.mean(own) == pytest.approx(1, abs=1e-5)


def test_flow__every_flag_of_doubt_names_its_reason(finished: Workspace) -> None:
    with catalog(finished) as connection:
        flags = [flag for found in read_flags(connection).values() for flag in found]
    assert {flag.name for flag in flags} & {FlagName.OUTLIER, FlagName.LABEL_FLIP}
    assert all(flag.reason.endswith(".") and "%" in flag.reason for flag in flags)


def test_flow__every_scored_sample_has_a_noise_probability(finished: Workspace, small_demo: Path) -> None:
    with catalog(finished) as connection:
        estimates, rates = read_noise_estimates(connection), read_category_noise(connection)
        summary = read_stages(connection)["noise"].summary
    assert estimates.keys() == evidence_of(finished).keys()
    wrong, samples = truth_of(small_demo), novel_samples(finished)
    probabilities = [estimates[sample.sample_id].noise_probability for sample in samples]
    assert roc_auc_score([wrong[sample.image_id] for sample in samples], probabilities) > 0.75
    assert {rate.category for rate in rates} == {sample.category for sample in samples}
    assert all(0 <= rate.low <= rate.noise_rate <= rate.high <= 1 for rate in rates)
    assert summary["noise rate"] == pytest.approx(np.mean(probabilities), abs=1e-5)


def test_flow__too_few_base_categories_say_what_still_works(tmp_path: Path, small_demo: Path) -> None:
    few = tmp_path / "few"
    for folder in sorted((small_demo / "base").iterdir())[:5]:
        shutil.copytree(folder, few / folder.name)
    workspace = create_workspace(tmp_path / "ws", CONFIG)
    ingest(workspace, few, Role.BASE)
    ingest(workspace, small_demo / "novel", Role.NOVEL)
    with pytest.raises(NoiseModelError, match="at least 6 base categories"):
        run_stages(workspace, CONFIG, command="run")
    assert evidence_of(workspace)  # the weights are there
    results = run_stages(workspace, changed("noise", enabled=False), command="run")
    assert results[-1].stage == "flag" and results[-1].summary["judged"] == 0
    with catalog(workspace) as connection:
        assert read_noise_estimates(connection) == {}


def test_flow__the_published_snapshot_is_the_finished_catalogue(finished: Workspace) -> None:
    with snapshot(finished) as connection:
        assert read_evidence(connection) == evidence_of(finished)


def test_flow__publishes_once_at_the_end_also_after_a_kill_before(tmp_path: Path, small_demo: Path) -> None:
    workspace = ingested(tmp_path / "ws", small_demo)
    before = current_snapshot(workspace)

    def only_the_old_one(_: StageResult) -> None:
        assert current_snapshot(workspace) == before

    run_stages(workspace, CONFIG, command="run", told=only_the_old_one)
    published = current_snapshot(workspace)
    assert published != before
    replace_text(workspace.snapshots / "CURRENT", before.name)  # as if killed when all stages had finished
    run_stages(workspace, CONFIG, command="run")
    with snapshot(workspace) as reader:
        assert {stage.name for stage in STAGES} == read_stages(reader).keys()


def test_flow__another_configuration_runs_only_what_depends_on_it(tmp_path: Path, small_demo: Path) -> None:
    workspace = ingested(tmp_path / "ws", small_demo)
    run_stages(workspace, CONFIG, command="run")

    def ran(config: Config) -> list[str]:
        return [result.stage for result in run_stages(workspace, config, command="run") if result.ran]

    assert ran(CONFIG) == []
    assert ran(changed("flags", noise_probability=0.7)) == ["flag"]
    workspace.network.unlink()
    assert ran(CONFIG) == ["train-similarity", "flag"]  # the same network again: scores stay; flags go back
    workspace.noise_model.unlink()
    assert ran(CONFIG) == ["train-noise"]  # the same model again
    sample = novel_samples(workspace)[0]
    with journal(workspace.journal) as connection:
        append_decision(connection, Decision(sample.sample_id, DecisionAction.KEEP, "ada"))
    assert ran(CONFIG) == ["noise", "flag"]
    next(workspace.embeddings.rglob("*.safetensors")).unlink()
    assert ran(CONFIG) == ["embed"]


def test_flow__a_new_image_does_not_change_other_categories(tmp_path: Path, small_demo: Path) -> None:
    workspace = ingested(tmp_path / "ws", small_demo)
    run_stages(workspace, CONFIG, command="run")
    before = evidence_of(workspace)
    names = sorted({sample.category for sample in novel_samples(workspace)})
    more = tmp_path / "more" / names[0]
    more.mkdir(parents=True)
    (more / "new.jpg").write_bytes(next((small_demo / "test" / names[0]).iterdir()).read_bytes())
    ingest(workspace, tmp_path / "more", Role.NOVEL)
    results = {result.stage: result for result in run_stages(workspace, CONFIG, command="run")}
    assert not results["embed"].ran  # the test image is known by content
    assert not results["train-similarity"].ran and results["score"].ran
    after = evidence_of(workspace)
    others = [sample.sample_id for sample in novel_samples(workspace) if sample.category != names[0]]
    assert len(after) == len(before) + 1
    assert [after[name].weight for name in others] == [before[name].weight for name in others]


def test_flow__every_hostile_file_ends_as_a_sample_with_pixels_or_a_reason(tmp_path: Path, small_demo: Path) -> None:
    workspace = create_workspace(tmp_path / "ws", CONFIG)
    ingest(workspace, small_demo / "base", Role.BASE)
    ingest(workspace, small_demo / "novel", Role.NOVEL)
    folder = tmp_path / "hostile" / "Wren"
    folder.mkdir(parents=True)
    expected = make_hostile_files(folder)
    ingest(workspace, tmp_path / "hostile", Role.NOVEL)
    run_stages(workspace, CONFIG, command="run")
    evidence = evidence_of(workspace)
    with catalog(workspace) as connection:
        flags = read_flags(connection)
    hostile = [sample for sample in novel_samples(workspace) if sample.category == "Wren"]
    assert len(hostile) == len(expected)
    unreadable = {
        sample.image_id
        for sample in hostile
        if FlagName.UNREADABLE in {flag.name for flag in flags.get(sample.sample_id, ())}
    }
    scored = {sample.image_id for sample in hostile if sample.sample_id in evidence}
    assert unreadable.isdisjoint(scored) and len(unreadable) + len(scored) == len(expected)
    assert len(scored) == sum(outcome == "read" for outcome in expected.values())
    assert not any(result.ran for result in run_stages(workspace, CONFIG, command="run"))  # bad images stay decided

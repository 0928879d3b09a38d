"""Promise, budget and audit through the store: what `curate export` and `curate audit` do with noise estimates."""

from __future__ import annotations

import csv
import json
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from curation.config import Config
from curation.current_set import current_set, noise_calibration, read_facts
from curation.errors import AuditError, ExportError
from curation.evidence_columns import evidence_columns_of
from curation.export.reading import check_export, read_export
from curation.sources.location import file_uri
from curation.stages.audit import draw_audit, report_audit, samples_to_audit
from curation.stages.export import export
from curation.stages.scores import write_score_table
from curation.store.category_ids import number_categories
from curation.store.connection import catalog
from curation.store.decisions import append_decision
from curation.store.evidence import replace_evidence
from curation.store.flags import replace_flags
from curation.store.journal import journal
from curation.store.noise import replace_noise
from curation.store.runs import put_stage
from curation.store.samples import put_samples
from curation.store.snapshot import publish_snapshot
from curation.values import (
    Decision,
    DecisionAction,
    Evidence,
    Flag,
    FlagName,
    NoiseEstimate,
    Role,
    Sample,
    sample_id_of,
)
from curation.workspace import Workspace
from tests.cleaned_set_factory import picture

CONFIG = Config()
SUMMARIES = {"embed": {"encoder": "builtin"}, "train-similarity": {"network": "n1"}, "flag": {}}

# Noise probabilities of 200 novel samples: 150 trusted, 20 in doubt, 30 most probably wrong; float32 in the store.
NOISE = [0.001] * 150 + [0.2] * 20 + [0.95] * 30


def fill(workspace: Workspace, noise: list[float | None] | None = None) -> list[Sample]:
    """Put scored and flagged samples into the store, as the stages would have; sample 0 is a leak."""
    folder = workspace.root / "images"
    folder.mkdir()
    samples = []
    for number in range(len(NOISE)):
        path = folder / f"{number:03d}.jpg"
        path.write_bytes(picture(number, size=4))
        digest = sha256(path.read_bytes()).hexdigest()
        name = sample_id_of(Role.NOVEL, "Wren", path.name, digest)
        samples.append(Sample(name, path.name, Role.NOVEL, "Wren", file_uri(path), "1", digest, None, str(folder)))
    ids = [sample.sample_id for sample in samples]
    with catalog(workspace) as connection:
        put_samples(connection, samples)
        replace_evidence(connection, evidence_columns_of([Evidence(name, 1.0, None, 0.9, 0.5, ()) for name in ids]))
        outliers = [Flag(name, FlagName.OUTLIER, "Unlike the rest.") for name in ids[170:]]
        replace_flags(connection, [Flag(ids[0], FlagName.LEAK, "In the test set."), *outliers])
        known = [value for value in zip(ids, noise or NOISE, strict=True) if value[1] is not None]
        replace_noise(
            connection,
            [NoiseEstimate(name, value or 0, value or 0, None, value or 0, "Odd.") for name, value in known],
            [],
        )
        for stage, summary in SUMMARIES.items():
            put_stage(connection, stage, "f", "r", summary)
    with journal(workspace.journal) as connection_to_journal:
        number_categories(connection_to_journal, ["Wren"])
    publish_snapshot(workspace)
    return samples


def decide(workspace: Workspace, decisions: dict[str, DecisionAction]) -> None:
    with journal(workspace.journal) as connection:
        for name, action in decisions.items():
            append_decision(connection, Decision(name, action, "first"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_export__without_a_promise_flags_decide(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    done = export(workspace, CONFIG, export_format="csv", out=tmp_path / "out")
    assert done.receipt.set_aside_by_reason == {"leak": 1, "outlier": 30}
    assert done.promise is None and done.reviews is None and not (tmp_path / "out" / "review.csv").exists()
    assert read_export(tmp_path / "out").samples[0].noise_probability == pytest.approx(0.001)


def test_promise__probabilities_decide_in_the_place_of_noise_flags(workspace: Workspace, tmp_path: Path) -> None:
    samples = fill(workspace)
    decide(workspace, {samples[199].sample_id: DecisionAction.KEEP, samples[1].sample_id: DecisionAction.DROP})
    done = export(workspace, CONFIG, export_format="csv", out=tmp_path / "out", promise=0.03)
    assert done.promise is not None
    assert done.promise.candidates == 198 and done.promise.confirmed == 1  # neither the leak nor the dropped one
    assert done.receipt.set_aside_by_reason == {"dropped": 1, "leak": 1, "promise": done.promise.set_aside}
    exported = read_export(tmp_path / "out")
    check_export(exported)
    kept = {sample.image_id for sample in exported.samples}
    assert len(kept) == done.promise.kept and {"002.jpg", "149.jpg", "199.jpg"} <= kept and "198.jpg" not in kept
    assert exported.manifest.provenance["promise"]["noise"]["high"] == done.promise.noise.high <= 0.03
    reasons = {row["image_id"]: row["detail"] for row in rows_of(tmp_path / "out" / "set_aside.csv")}
    assert reasons["198.jpg"].startswith("Noise probability 0.9500; to keep noise<=0.03, those up to 0.")


def test_promise__what_cannot_be_kept_writes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, [0.2] * len(NOISE))
    with pytest.raises(ExportError, match=r"noise<=0\.02 cannot be promised: the best"):
        export(workspace, CONFIG, export_format="csv", out=tmp_path / "out", promise=0.02)
    assert not (tmp_path / "out").exists()


def test_promise__needs_a_probability_of_every_sample(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, [None, None, *NOISE[2:]])
    with pytest.raises(ExportError, match="1 of 199 samples have no noise probability yet"):
        export(workspace, CONFIG, export_format="csv", out=tmp_path / "out", promise=0.02)


def test_budget__lists_the_most_suspicious_of_the_export(workspace: Workspace, tmp_path: Path) -> None:
    samples = fill(workspace)
    done = export(workspace, CONFIG, export_format="csv", out=tmp_path / "out", budget=25)
    check_export(read_export(tmp_path / "out"))
    rows = rows_of(tmp_path / "out" / "review.csv")
    assert {row["image_id"] for row in rows[:20]} == {sample.image_id for sample in samples[150:170]}
    assert rows[0]["noise_probability"] == "0.200000" and rows[0]["explanation"] == "Odd." and len(rows) == 25
    assert done.reviews is not None and done.reviews.errors_found == pytest.approx(20 * 0.2 + 5 * 0.001, abs=1e-3)
    assert done.reviews.noise_after.high < done.reviews.noise_now.high / 5
    with pytest.raises(ExportError, match="from 1, not 0"):
        export(workspace, CONFIG, export_format="csv", out=tmp_path / "other", budget=0)


def test_budget__reviews_make_room_under_the_same_promise(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    before = export(workspace, CONFIG, export_format="csv", out=tmp_path / "before", promise=0.06, budget=15)
    assert before.promise is not None and before.reviews is not None and before.reviews.kept_after is not None
    listed = [row["sample_id"] for row in rows_of(tmp_path / "before" / "review.csv")]
    kept = {sample.sample_id for sample in read_export(tmp_path / "before").samples}
    assert len(listed) == 15 and set(listed) <= kept
    found_wrong = listed[: round(before.reviews.errors_found)]
    decide(
        workspace,
        {name: DecisionAction.DROP if name in found_wrong else DecisionAction.KEEP for name in listed},
    )
    after = export(workspace, CONFIG, export_format="csv", out=tmp_path / "after", promise=0.06)
    assert after.promise is not None
    assert after.promise.kept == before.reviews.kept_after > before.promise.kept - len(found_wrong)
    assert after.promise.noise.high <= 0.06


def test_audit__from_the_draw_to_the_figure(workspace: Workspace, tmp_path: Path) -> None:
    samples = fill(workspace)
    decide(workspace, {samples[5].sample_id: DecisionAction.KEEP})
    drawn = draw_audit(workspace, CONFIG, 60, seed=4, out=tmp_path / "audit.csv")
    rows = rows_of(tmp_path / "audit.csv")
    assert [row["sample_id"] for row in rows] == list(drawn.plan.drawn) == samples_to_audit(workspace)
    assert set(rows[0]) == {"sample_id", "image_id", "web_category", "uri"}  # what the model thinks would sway people
    assert (drawn.plan.population, drawn.plan.confirmed) == (168, 1)
    wrong = drawn.plan.drawn[:6]
    decide(
        workspace, {name: DecisionAction.DROP if name in wrong else DecisionAction.KEEP for name in drawn.plan.drawn}
    )
    workspace.catalog.unlink()  # an audit is people's work: it outlives the catalogue
    audit, result = report_audit(workspace)
    assert audit == drawn and samples_to_audit(workspace) == [] and result.wrong == 6
    assert result.noise == pytest.approx(0.1 * 168 / 169, rel=0.05) and result.noise_low < 0.1 < result.noise_high


def test_audit__of_a_promised_set_draws_from_what_it_keeps(workspace: Workspace) -> None:
    fill(workspace)
    kept = current_set(read_facts(workspace), CONFIG, 0.03)
    drawn = draw_audit(workspace, CONFIG, 50, seed=0, promise=0.03)
    assert drawn.plan.population == len(kept.undecided) and drawn.plan.promise == 0.03
    assert drawn.plan.content_hash == kept.cleaned_set.content_hash
    assert set(drawn.plan.drawn) <= {sample.sample_id for sample in kept.undecided}


def test_audit__errors_leave_nothing_behind(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    with pytest.raises(AuditError, match="no audit has been drawn"):
        report_audit(workspace)
    with pytest.raises(AuditError, match="cannot be written"):
        draw_audit(workspace, CONFIG, 10, seed=0, out=tmp_path / "no folder" / "audit.csv")
    with pytest.raises(AuditError, match="no audit has been drawn"):
        samples_to_audit(workspace)


def test_calibration__a_finished_audit_takes_the_place_of_what_the_model_says(workspace: Workspace) -> None:
    fill(workspace)
    stated = noise_calibration(read_facts(workspace), CONFIG)
    assert stated.source.endswith("off by 0.05")
    with catalog(workspace) as connection:
        put_stage(connection, "noise", "f", "r", {"calibration error": 0.01})
    publish_snapshot(workspace)
    assert noise_calibration(read_facts(workspace), CONFIG).high < stated.high
    drawn = draw_audit(workspace, CONFIG, 150, seed=1).plan.drawn
    wrong = dict.fromkeys(drawn[:30], DecisionAction.DROP)  # far more than the model expects
    decide(workspace, wrong | dict.fromkeys(drawn[30:149], DecisionAction.KEEP))
    assert noise_calibration(read_facts(workspace), CONFIG).source.endswith("off by 0.01")  # one is still open
    decide(workspace, {drawn[149]: DecisionAction.KEEP})
    measured = noise_calibration(read_facts(workspace), CONFIG)
    assert measured.source == "measured by audit 1: 30 of 150 wrong" and measured.low > 0


def test_scores__show_what_the_noise_model_says(workspace: Workspace, tmp_path: Path) -> None:
    samples = fill(workspace)
    with catalog(workspace) as connection:
        estimates = [NoiseEstimate(samples[3].sample_id, 0.75, 0.5, "Robin", 0.6, "Odd.")]
        estimates.append(NoiseEstimate(samples[4].sample_id, 1.0, 0.5, None, 0.6, "Odd."))
        replace_noise(connection, estimates, [])
        evidence = [Evidence(sample.sample_id, 1.0, None, 0.9, 0.5, ()) for sample in samples]
        replace_evidence(connection, evidence_columns_of(evidence))
    publish_snapshot(workspace)
    write_score_table(workspace, tmp_path / "scores.csv")
    rows = {row["image_id"]: row for row in rows_of(tmp_path / "scores.csv")}
    told = [(rows[name]["noise_probability"], rows[name]["suggested_category"]) for name in ("003.jpg", "004.jpg")]
    assert told == [("0.75", "Robin"), ("1", "")]
    assert rows["005.jpg"]["noise_probability"] == "" and rows["005.jpg"]["suggested_category"] == ""


def test_command__promise_budget_and_audit(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)

    def curate(*arguments: str | Path) -> str:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    target = ("--format", "csv", "--out", tmp_path / "out")
    table = curate("export", workspace.root, *target, "--promise", "noise<=3%", "--budget", "10")
    assert "promised of its novel samples" in table and "review.csv would give" in table
    told = curate(
        "export", workspace.root, *target, "--overwrite", "--promise", "noise<=3%", "--budget", "10", "--json"
    )
    printed = json.loads(told)
    assert printed["promise"]["kept"] == printed["kept"] and printed["reviews"]["reviews"] == 10
    drawn = curate("audit", workspace.root, "--n", "40", "--seed", "3", "--out", tmp_path / "audit.csv")
    assert "drew 40 of 169 undecided samples in 4 strata (seed 3)" in drawn and "audit.csv" in drawn
    assert json.loads(curate("audit", workspace.root, "--n", "20", "--json"))["audit_id"] == 2
    report = json.loads(curate("audit", workspace.root, "--json"))
    assert (report["audit_id"], report["open"], report["noise"]) == (2, 20, None)
    assert "by noise probability" in curate("audit", workspace.root)

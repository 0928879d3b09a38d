"""Workspaces for the tests of the review: made in the catalogue and published, without images and without a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from curation.config import Config, ReviewConfig
from curation.evidence_columns import evidence_columns_of
from curation.review.deciding import confirm_page, decide
from curation.review.values import ReviewPage, Verdict
from curation.store.category_ids import number_categories
from curation.store.connection import catalog
from curation.store.evidence import replace_evidence
from curation.store.flags import replace_flags
from curation.store.images import put_image_facts
from curation.store.journal import journal
from curation.store.noise import replace_noise
from curation.store.runs import put_stage, read_run, start_run
from curation.store.samples import put_samples
from curation.store.snapshot import publish_snapshot
from curation.values import (
    CategoryNoise,
    CategorySimilarity,
    CrawlFacts,
    DecisionAction,
    Evidence,
    Flag,
    FlagName,
    ImageFacts,
    NoiseEstimate,
    Role,
    Sample,
)
from curation.workspace import Workspace

PLAIN = Config(review=ReviewConfig(overlap=0, gold=0))  # one annotator a sample, no checks
RUN = "20260105T070000-aaaaaa"
_STAGES = {"embed": {"encoder": "none"}, "train-similarity": {"network": "none"}, "flag": {}}  # what exports ask about


def sample_of(category: str, number: int, role: Role = Role.NOVEL, **changes: object) -> Sample:
    name = f"{re.sub('[^0-9A-Za-z_-]', '_', category)}-{number:05d}"
    facts: dict[str, object] = {
        "sample_id": name,
        "image_id": f"{category}/{number}.jpg",
        "role": role,
        "category": category,
        "uri": f"file:///nowhere/{name}.jpg",
        "version": "1",
        "sha256": name.encode().hex().ljust(64, "0")[:64],
        "reason": None,
        "source": "/nowhere",
        "crawl": CrawlFacts(source_url=f"https://www.example.org/{name}", query=category, rank=number, title=name),
    }
    return Sample(**facts | changes)  # type: ignore[arg-type]


def estimate_of(sample_id: str, noise: float, suggested: str | None = None, probability: float = 0.9) -> NoiseEstimate:
    return NoiseEstimate(sample_id, noise, noise, suggested, probability, f"Said of {sample_id}.")


def evidence_of(sample_id: str, weight: float, nearest: Sequence[str] = ("wren", "robin", "tern")) -> Evidence:
    near = tuple(CategorySimilarity(name, 0.9 - place / 10) for place, name in enumerate(nearest))
    return Evidence(sample_id, weight, None, 0.5, 0.5, near)


def publish(
    workspace: Workspace,
    noise: Mapping[str, Sequence[float | None]],
    *,
    base: int = 12,
    suggested: Mapping[str, str] | None = None,
    flags: Sequence[tuple[str, FlagName]] = (),
    unreadable: Sequence[str] = (),
    run_id: str = RUN,
) -> list[Sample]:
    """Novel categories with these noise probabilities, one sample each (`None`: only a weight of 1); two base ones.

    The weight of a sample is 1.5 minus its noise probability.
    """
    novel = [sample_of(name, number) for name, chances in noise.items() for number in range(len(chances))]
    chances = dict(zip([one.sample_id for one in novel], [c for row in noise.values() for c in row], strict=True))
    clean = [sample_of(name, number, Role.BASE) for name in ("eagle", "owl") for number in range(base // 2)]
    everything = [*novel, *clean]
    with catalog(workspace) as connection:
        if read_run(connection, run_id) is None:
            start_run(connection, run_id, "run", Config())
        for stage, summary in _STAGES.items():
            put_stage(connection, stage, "f", run_id, summary)
        put_samples(connection, everything)
        put_image_facts(
            connection,
            [
                ImageFacts(str(one.sha256), width_px=40, height_px=30, reason="broken")
                if one.sample_id in unreadable
                else ImageFacts(str(one.sha256), width_px=40, height_px=30)
                for one in everything
            ],
        )
        evidence = [evidence_of(name, 1.0 if chance is None else 1.5 - chance) for name, chance in chances.items()]
        replace_evidence(connection, evidence_columns_of(evidence))
        replace_noise(
            connection,
            [
                estimate_of(name, chance, (suggested or {}).get(name))
                for name, chance in chances.items()
                if chance is not None
            ],
            [CategoryNoise(name, len(row), 0.25, 0.2, 0.3) for name, row in noise.items()],
        )
        replace_flags(connection, [Flag(name, flag, f"It is {flag}.") for name, flag in flags])
    with journal(workspace.journal) as to_journal:
        number_categories(to_journal, {one.category for one in everything})
    publish_snapshot(workspace)
    return novel


def say(workspace: Workspace, page: ReviewPage | None, who: str, action: DecisionAction, *sample_ids: str) -> int:
    """Decide the same of these tiles of a page, or of all of them."""
    assert page is not None
    names = sample_ids or [tile.sample_id for tile in page.tiles]
    category = "robin" if action is DecisionAction.RELABEL else None
    return decide(workspace, page, who, [Verdict(name, action, category, "key") for name in names])


def confirm(workspace: Workspace, page: ReviewPage | None, who: str) -> int:
    assert page is not None
    return confirm_page(workspace, page, who)


def ids(page: ReviewPage | None) -> list[str]:
    assert page is not None
    return [tile.sample_id for tile in page.tiles]

"""The first screen of a report: the figures that matter, what made them, and what they lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from curation import __version__
from curation.report.inputs import ReportInputs
from curation.report.rates import NoiseRate, total_rate
from curation.values import FlagName, Role


@dataclass(frozen=True, slots=True)
class Transfer:
    """How far the noise model may be trusted on these images: confidence, [0, 1], and what it means as a sentence."""

    confidence: float
    trusted: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Headline:
    """Counts of samples and categories by role, the noise rate of all novel ones, and where the figures are from.

    `suspected` counts the novel samples flagged as outlier or label flip, `reviewed` those that a person found right or
    wrong. Times are UTC. Names of what made the figures are empty where it has not run.
    """

    workspace: str
    made_at: datetime
    run_id: str
    run_command: str
    run_at: datetime | None
    tool: str
    encoder: str
    network: str
    noise_model: str
    samples: dict[str, int]
    categories: dict[str, int]
    unreadable: int
    noise_rate: NoiseRate | None
    transfer: Transfer | None
    suspected: int
    suspected_at: float
    reviewed: int


def headline(inputs: ReportInputs) -> Headline:
    """Gather it; nothing is made up where something has not run."""
    novel = inputs.of_role(Role.NOVEL)
    return Headline(
        workspace=inputs.workspace,
        made_at=inputs.made_at,
        run_id=inputs.run.run_id if inputs.run else "",
        run_command=inputs.run.command if inputs.run else "",
        run_at=inputs.run.started_at if inputs.run else None,
        tool=f"webnoise-curation {inputs.run.tool_version if inputs.run else __version__}",
        encoder=_named(inputs, "embed", "encoder"),
        network=_named(inputs, "train-similarity", "network"),
        noise_model=_named(inputs, "train-noise", "noise model"),
        samples=dict(Counter(sample.role.value for sample in inputs.samples)),
        categories=dict(Counter(role for role, _ in {(s.role.value, s.category) for s in inputs.samples})),
        unreadable=len(inputs.unreadable),
        noise_rate=total_rate(inputs),
        transfer=_transfer(inputs),
        suspected=sum(inputs.carries(sample.sample_id, FlagName.OUTLIER, FlagName.LABEL_FLIP) for sample in novel),
        suspected_at=inputs.suspected_at,
        reviewed=sum(inputs.verdict(sample) is not None for sample in novel),
    )


def gaps(inputs: ReportInputs) -> Iterator[str]:
    """What the report cannot say, and what to do about it, one sentence each."""
    novel, base = inputs.of_role(Role.NOVEL), inputs.of_role(Role.BASE)
    if not base:
        yield "There are no base images yet: `curate ingest WS SOURCE --role base` adds clean, labelled ones."
    if not novel:
        yield "There are no novel images yet: `curate ingest WS SOURCE --role novel` adds those from the web."
    if not inputs.noise_enabled:
        yield (
            "The noise model is switched off (noise.enabled = false in curate.toml), so there are no noise "
            "probabilities: pictures are ranked by their weights."
        )
    elif novel and not inputs.estimates:
        yield "No noise probability has been estimated yet: `curate run WS` does it."
    elif late := sum(
        sample.sample_id not in inputs.estimates and sample.sample_id not in inputs.unreadable for sample in novel
    ):
        yield f"{late:,} novel images came after the last run and are in no figure: `curate run WS` judges them."
    yield from _unlearned(inputs)
    for path in inputs.damaged:
        yield f"The record of an earlier report, {path}, is damaged; it was passed over. It can be deleted."


def _unlearned(inputs: ReportInputs) -> Iterator[str]:
    decided = sum(inputs.verdict(sample) is not None for sample in inputs.estimated())
    state = inputs.stages.get("noise")
    learned = 0 if state is None else int(state.summary.get("decisions learned from", 0))
    if decided > learned:
        yield f"{decided - learned:,} decisions came after the last run: `curate run WS` learns from them."


def _named(inputs: ReportInputs, stage: str, key: str) -> str:
    state = inputs.stages.get(stage)
    return "" if state is None else str(state.summary.get(key, ""))


def _transfer(inputs: ReportInputs) -> Transfer | None:
    state = inputs.stages.get("noise")
    if state is None or "transfer" not in state.summary:
        return None
    summary = state.summary
    return Transfer(float(summary["transfer"]["confidence"]), bool(summary["trusted"]), str(summary["note"]))

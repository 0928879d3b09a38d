"""`curate scores`: the score table as a file, and contact sheets of the weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from curation.contact_sheet import Tile, contact_sheet
from curation.errors import ExportError
from curation.progress import Progress, silent
from curation.scores import score_table, write_scores
from curation.sources.location import UnreadableImageError, read_bytes
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.noise import read_noise_estimates
from curation.store.samples import read_samples
from curation.store.snapshot import is_published, snapshot
from curation.values import Evidence, Flag, FlagName, Role, Sample
from curation.workspace import Workspace

_TILES = 10  # of each kind: one row
_CATEGORIES_A_SHEET = 12  # more make a picture that no screen shows at a legible size
_RED = "#c0392b"


def write_score_table(workspace: Workspace, path: Path) -> int:
    """Write one row for every novel sample; returns their number."""
    _refuse_nothing(workspace, is_published(workspace))
    with snapshot(workspace) as connection:
        samples, evidence, flags = read_samples(connection), read_evidence(connection), read_flags(connection)
        estimates = read_noise_estimates(connection)
    _refuse_nothing(workspace, bool(evidence))
    novel = [sample for sample in samples if sample.role is Role.NOVEL]
    table = score_table(novel, evidence, estimates, flags)
    write_scores(table, path)
    return int(table.num_rows)


def draw_weight_sheets(workspace: Workspace, folder: Path, progress: Progress = silent) -> list[Path]:
    """For every novel category a row of its lowest and a row of its highest weights; suspects have a red frame."""
    _refuse_nothing(workspace, is_published(workspace))
    with snapshot(workspace) as connection:
        samples = read_samples(connection, Role.NOVEL)
        evidence, flags = read_evidence(connection), read_flags(connection)
    _refuse_nothing(workspace, bool(evidence))
    categories: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.sample_id in evidence:
            categories[sample.category].append(sample)
    names = sorted(categories)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for start in range(0, len(names), _CATEGORIES_A_SHEET):
        tiles = [
            tile
            for name in names[start : start + _CATEGORIES_A_SHEET]
            for tile in _rows(categories[name], evidence, flags)
        ]
        paths.append(folder / f"weights-{1 + start // _CATEGORIES_A_SHEET:03d}.png")
        contact_sheet(tiles, paths[-1], title="Lowest and highest sample weights of each category", columns=_TILES)
        progress("drawing sheets", min(start + _CATEGORIES_A_SHEET, len(names)), len(names))
    return paths


def _rows(samples: Sequence[Sample], evidence: dict[str, Evidence], flags: dict[str, list[Flag]]) -> list[Tile]:
    ranked = sorted(samples, key=lambda sample: (evidence[sample.sample_id].weight, sample.sample_id))
    lowest = ranked[: min(_TILES, len(ranked) // 2)]
    highest = ranked[::-1][: min(_TILES, len(ranked) - len(lowest))]
    name = samples[0].category
    return [
        *(_tile(sample, f"{name}: lowest weights", evidence, flags) for sample in lowest),
        *(_tile(sample, f"{name}: highest weights", evidence, flags) for sample in highest),
    ]


def _tile(sample: Sample, group: str, evidence: dict[str, Evidence], flags: dict[str, list[Flag]]) -> Tile:
    names = [flag.name for flag in flags.get(sample.sample_id, ())]
    try:
        image = read_bytes(sample.uri)
    except UnreadableImageError:
        image = b""  # drawn as a blank
    frame = _RED if {FlagName.OUTLIER, FlagName.LABEL_FLIP} & set(names) else None
    caption = (f"{evidence[sample.sample_id].weight:.2f}", names[0].value.replace("_", " ") if names else "")
    return Tile(image, caption, group, frame)


def _refuse_nothing(workspace: Workspace, there_is_evidence: bool) -> None:
    if not there_is_evidence:
        raise ExportError("nothing has been scored yet.", hint=f"`curate run {workspace.root}` does it.")

"""What must be true after people, exports and nights have worked on one workspace at once."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curation.errors import CurationError
from curation.export.reading import check_export, read_export
from curation.flow import run_stages
from curation.stages.ingest import ingest
from curation.store.connection import Connection, catalog, read_only
from curation.store.evidence import read_evidence
from curation.store.flags import read_flags
from curation.store.journal import copy_journal, journal
from curation.store.noise import read_noise_estimates
from curation.store.samples import read_samples
from curation.values import FlagName, Role
from curation.workspace import Workspace, create_workspace
from tests.benchmarks.together_people import Seen
from tests.benchmarks.together_set import Place

_ROUNDED = 1e-6  # tables have six decimals, and a float32 near 1 is exact to 1e-7


@dataclass(frozen=True, slots=True)
class Results:
    """What a catalogue or a snapshot says: novel samples, weights, noise probabilities, (sample, flag) of all flags."""

    novel: frozenset[str]
    weights: Mapping[str, float]
    noise: Mapping[str, float]
    flags: frozenset[tuple[str, str]]


def results_of(connection: Connection) -> Results:
    flags = read_flags(connection)
    return Results(
        frozenset(sample.sample_id for sample in read_samples(connection, Role.NOVEL)),
        {name: one.weight for name, one in read_evidence(connection).items()},
        {name: one.noise_probability for name, one in read_noise_estimates(connection).items()},
        frozenset((name, flag.name.value) for name, raised in flags.items() for flag in raised),
    )


def wrong_in_journal(workspace: Workspace, everybody: Iterable[Seen]) -> list[str]:
    """Every acknowledged record that is not there exactly once and in its order, and every record nobody gave."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with journal(workspace.journal) as connection:
        rows = connection.execute("SELECT annotator, sample_id, action FROM decisions ORDER BY decision_id")
        for annotator, sample_id, action in rows:
            found[annotator][sample_id].append(action)
    wrong = []
    for seen in everybody:
        written = found[seen.annotator]
        for sample_id in seen.acknowledged.keys() | written.keys():
            told, there = seen.acknowledged.get(sample_id, []), written.get(sample_id, [])
            if len(told) != len(there) or any(one not in ("", other) for one, other in zip(told, there, strict=True)):
                wrong.append(f"{seen.annotator} was told of {told} on {sample_id}, the journal has {there}")
    return wrong


def wrong_in_snapshots(snapshots: Sequence[Path], *, suspected_at: float) -> list[str]:
    """Published snapshots whose tables do not belong together."""
    return [f"{path.name}: {sentence}" for path in snapshots for sentence in _disagreements(_read(path), suspected_at)]


def _read(snapshot: Path) -> Results:
    with read_only(snapshot) as connection:
        return results_of(connection)


def _disagreements(results: Results, suspected_at: float) -> list[str]:
    suspect = {name for name, chance in results.noise.items() if chance >= suspected_at}
    flagged = {name for name, flag in results.flags if flag in (FlagName.OUTLIER, FlagName.LABEL_FLIP)}
    found = []
    if results.weights.keys() != results.noise.keys():
        found.append("weights and noise probabilities are of different samples")
    if suspect & results.novel != flagged & results.novel:
        found.append(f"{len(suspect ^ flagged)} samples are suspected and not flagged, or flagged and not suspected")
    return found


def wrong_in_exports(exports: Sequence[Path], snapshots: Sequence[Path]) -> list[str]:
    """Exports that are damaged, or whose samples and weights are not those of one published snapshot."""
    published = [_read(path) for path in snapshots]
    wrong = []
    for folder in exports:
        try:
            check_export(read_export(folder))
        except CurationError as error:
            wrong.append(f"{folder.name}: {error}")
            continue
        kept = {row["sample_id"]: row for row in _rows(folder / "samples.csv")}
        known = kept.keys() | {row["sample_id"] for row in _rows(folder / "set_aside.csv")}
        if not any(_is_of(kept, known, results) for results in published):
            wrong.append(f"{folder.name}: its {len(known):,} samples and their weights are of no published snapshot")
    return wrong


def _is_of(kept: Mapping[str, Mapping[str, str]], known: set[str], results: Results) -> bool:
    return known == results.novel and all(_is_row_of(name, row, results) for name, row in kept.items())


def _is_row_of(name: str, row: Mapping[str, str], results: Results) -> bool:
    """With the numbers of the snapshot; what people confirmed has noise probability 0 and weight 1 at least."""
    weight, noise = float(row["weight"]), float(row["noise_probability"])
    expected = results.weights.get(name, -1.0)
    if noise == 0.0 and weight >= 1.0:
        return weight == 1.0 or abs(weight - expected) < _ROUNDED
    return abs(weight - expected) < _ROUNDED and abs(noise - results.noise.get(name, -1.0)) < _ROUNDED


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def differences_from_rebuild(place: Place, folder: Path) -> tuple[float, list[str]]:
    """How the workspace differs from a quiet rebuild from the same sources, decisions and embeddings.

    The largest difference of any weight or noise probability, and in words what is no rounding: more than a millionth,
    other samples, other flags.
    """
    config = place.workspace.config()
    rebuilt = create_workspace(folder, config)
    copy_journal(place.workspace.journal, rebuilt.journal)
    shutil.copytree(place.workspace.embeddings, rebuilt.embeddings, dirs_exist_ok=True)
    for path, role in place.sources:
        ingest(rebuilt, path, role)
    run_stages(rebuilt, config, command="benchmark")
    with catalog(place.workspace) as connection:
        found = results_of(connection)
    with catalog(rebuilt) as connection:
        expected = results_of(connection)
    sets = {
        "novel samples": (found.novel, expected.novel),
        "flags": (found.flags, expected.flags),
        "samples with a weight": (found.weights.keys(), expected.weights.keys()),
        "samples with a noise probability": (found.noise.keys(), expected.noise.keys()),
    }
    words = [
        f"{len(one ^ other):,} {what} are only in one of both, such as {sorted(map(str, one ^ other))[:3]}"
        for what, (one, other) in sets.items()
        if one != other
    ]
    apart = max(_apart(found.weights, expected.weights), _apart(found.noise, expected.noise))
    return apart, [*words, *([f"numbers differ by {apart:.2g}"] if apart > _ROUNDED else [])]


def _apart(found: Mapping[str, float], expected: Mapping[str, float]) -> float:
    return max((abs(found[name] - expected[name]) for name in found.keys() & expected.keys()), default=0.0)

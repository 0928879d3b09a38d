"""What has changed from one export to another: which samples came, went, or changed their category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from curation.export.reading import ExportedSet, read_export


@dataclass(frozen=True, slots=True)
class ExportDifference:
    """Counts of samples by category: `added` are in the newer export only, `removed` in the older one only.

    `moved` counts (category before, category after) of those in both. `same` of them are unchanged in category.
    `removed_because` counts the reasons that the newer export gives for those it has set aside.
    """

    added: dict[str, int]
    removed: dict[str, int]
    moved: dict[tuple[str, str], int]
    same: int
    removed_because: dict[str, int]


def export_difference(older: Path, newer: Path) -> ExportDifference:
    """Compare two export folders; raises `ExportError` for a folder that is none."""
    return difference_of(read_export(older, verify=False), read_export(newer, verify=False))


def difference_of(older: ExportedSet, newer: ExportedSet) -> ExportDifference:
    """Compare two exports by sample id."""
    before = {sample.sample_id: sample.category for sample in older.samples}
    after = {sample.sample_id: sample.category for sample in newer.samples}
    both = before.keys() & after.keys()
    gone = before.keys() - after.keys()
    reasons = {sample.sample_id: sample.reason for sample in newer.set_aside()}
    moved = Counter((before[name], after[name]) for name in both if before[name] != after[name])
    return ExportDifference(
        added=_counted(after[name] for name in after.keys() - before.keys()),
        removed=_counted(before[name] for name in gone),
        moved=dict(sorted(moved.items())),
        same=len(both) - sum(moved.values()),
        removed_because=_counted(reasons.get(name, "not in the workspace any more") for name in gone),
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))

"""What has changed from one export to another: which samples came, went, or changed their category, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.export.reading import ExportedSet, read_export
from curation.values import CleanedSample

_GONE = "not in the workspace any more"
_NEW = "new in the workspace"


@dataclass(frozen=True, slots=True)
class SampleChange:
    """One sample that is in one of two exports only, or under another category in each.

    `before` and `after` are its categories in the older and the newer export, `None` where it is not in; `reason` says
    why in words. `sample` is what the newer export that has it says of it, and its bytes are at `image_uri`.
    """

    sample: CleanedSample
    image_uri: str
    before: str | None
    after: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class ExportDifference:
    """Counts of samples by category: `added` are in the newer export only, `removed` in the older one only.

    `moved` counts (category before, category after) of those in both. `same` of them are unchanged in category.
    `removed_because` counts the reasons that the newer export gives for those it has set aside, `added_because` what
    the older one said of those that came. Samples that an export of everything marks as set aside count as not in it.
    """

    added: dict[str, int]
    removed: dict[str, int]
    moved: dict[tuple[str, str], int]
    same: int
    removed_because: dict[str, int]
    added_because: dict[str, int]


def export_difference(older: Path, newer: Path) -> ExportDifference:
    """Compare two export folders; raises `ExportError` for a folder that is none."""
    return difference_of(read_export(older, verify=False), read_export(newer, verify=False))


def difference_of(older: ExportedSet, newer: ExportedSet) -> ExportDifference:
    """Compare two exports by sample id."""
    return counted(changes_between(older, newer), older)


def counted(changes: Iterable[SampleChange], older: ExportedSet) -> ExportDifference:
    """The changes since `older` in numbers."""
    changes = tuple(changes)
    came = [change for change in changes if change.before is None]
    went = [change for change in changes if change.after is None]
    moved = Counter((c.before, c.after) for c in changes if c.before is not None and c.after is not None)
    return ExportDifference(
        added=_counted(change.after or "" for change in came),
        removed=_counted(change.before or "" for change in went),
        moved=dict(sorted(moved.items())),
        same=len(_places(older)) - len(went) - sum(moved.values()),
        removed_because=_counted(change.reason for change in went),
        added_because=_counted(change.reason for change in came),
    )


def changes_between(older: ExportedSet, newer: ExportedSet) -> tuple[SampleChange, ...]:
    """Every sample that came, went or moved, by sample id."""
    before, after = _places(older), _places(newer)
    said_before, said_after = _reasons(older), _reasons(newer)
    changes = []
    for sample_id in sorted(before.keys() | after.keys()):
        was, now = before.get(sample_id), after.get(sample_id)
        left = None if was is None else older.samples[was].category
        right = None if now is None else newer.samples[now].category
        if left == right:
            continue
        if now is None:
            reason = said_after.get(sample_id, _GONE)
        elif was is None:
            reason = f"was {said_before[sample_id]}" if sample_id in said_before else _NEW
        else:
            reason = f"was {left}"
        there, place = (older, was) if now is None else (newer, now)
        if place is not None:
            changes.append(SampleChange(there.samples[place], there.image_uri(place), left, right, reason))
    return tuple(changes)


def _places(exported: ExportedSet) -> dict[str, int]:
    """Sample id -> index, of the samples that are not marked."""
    return {sample.sample_id: index for index, sample in enumerate(exported.samples) if sample.set_aside is None}


def _reasons(exported: ExportedSet) -> Mapping[str, str]:
    """Sample id -> why it is not in, or only marked."""
    marked = {sample.sample_id: sample.set_aside for sample in exported.samples if sample.set_aside is not None}
    return {item.sample_id: item.reason for item in exported.set_aside()} | marked


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))

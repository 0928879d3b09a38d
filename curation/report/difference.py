"""What two exports differ in, as one HTML page: what came, went and moved, with pictures and reasons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from curation.decoding import ImageReference
from curation.export.difference import ExportDifference, SampleChange, counted
from curation.export.reading import ExportedSet
from curation.report.page import UNDRAWN, render_template
from curation.report.pictures import Picture
from curation.report.thumbnails import Thumbnail
from curation.values import FlagName

_A_GROUP = 12  # pictures: two rows on a wide screen
_MOST_PICTURES = 480  # of the whole page: about 3 MB of thumbnails
_SUSPICIONS = (FlagName.OUTLIER, FlagName.LABEL_FLIP)


@dataclass(frozen=True, slots=True)
class ChangeGroup:
    """The changes of one kind in one category (`before` of what went, `after` of the others; both where it moved)."""

    before: str | None
    after: str | None
    samples: int
    reasons: Mapping[str, int]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class DifferenceFacts:
    """All that the page says. In each group the most surprising changes are shown: the most doubtful of what came, the
    most trusted of what went. `left_out` counts changes without a picture."""

    tool: str
    older: ExportedSet
    newer: ExportedSet
    counts: ExportDifference
    came: tuple[ChangeGroup, ...]
    went: tuple[ChangeGroup, ...]
    moved: tuple[ChangeGroup, ...]
    left_out: int

    @property
    def pictures(self) -> list[Picture]:
        return [
            picture for groups in (self.came, self.went, self.moved) for group in groups for picture in group.pictures
        ]


def difference_facts(older: ExportedSet, newer: ExportedSet, changes: Sequence[SampleChange]) -> DifferenceFacts:
    """Gather what the page shows of the changes from `older` to `newer`."""
    came = _grouped([change for change in changes if change.before is None])
    went = _grouped([change for change in changes if change.after is None])
    moved = _grouped([change for change in changes if None not in (change.before, change.after)])
    number = len(came) + len(went) + len(moved)
    a_group = max(1, min(_A_GROUP, _MOST_PICTURES // max(1, number)))
    room = _MOST_PICTURES
    made: list[tuple[ChangeGroup, ...]] = []
    for groups in (moved, came, went):  # people's own decisions first, if there is no room for all
        shown = []
        for members in groups:
            few = members[: min(a_group, room)]
            room -= len(few)
            shown.append(_group(members, few))
        made.append(tuple(shown))
    told = sum(len(group.pictures) for groups in made for group in groups)
    return DifferenceFacts(
        tool=f"webnoise-curation {newer.manifest.tool_version}",
        older=older,
        newer=newer,
        counts=counted(changes, older),
        moved=made[0],
        came=made[1],
        went=made[2],
        left_out=len(changes) - told,
    )


def render_difference(facts: DifferenceFacts, thumbnails: Mapping[str, Thumbnail]) -> str:
    """The whole page; `thumbnails` by SHA-256."""

    def thumbnail(picture: Picture) -> Thumbnail:
        return thumbnails.get(picture.sha256 or "", UNDRAWN)

    return render_template("curation.report", "difference.html", (), facts=facts, thumbnail=thumbnail)


def references(pictures: Iterable[Picture]) -> list[ImageReference]:
    """What is to be drawn."""
    return [ImageReference(picture.sha256 or "", picture.uri) for picture in pictures]


def _grouped(changes: Iterable[SampleChange]) -> list[list[SampleChange]]:
    """By category, largest group first; in each the most surprising first."""
    groups: dict[tuple[str | None, str | None], list[SampleChange]] = defaultdict(list)
    for change in changes:
        groups[change.before, change.after].append(change)
    largest_first = sorted(groups.items(), key=lambda item: (-len(item[1]), f"{item[0]}"))
    return [sorted(members, key=_least_expected) for _, members in largest_first]


def _least_expected(change: SampleChange) -> tuple[float, str]:
    noise = change.sample.noise_probability
    doubt = 0.5 if noise is None else noise
    return (doubt if change.after is None else -doubt, change.sample.sample_id)


def _group(members: Sequence[SampleChange], shown: Sequence[SampleChange]) -> ChangeGroup:
    reasons = Counter(change.reason for change in members)
    return ChangeGroup(
        before=members[0].before,
        after=members[0].after,
        samples=len(members),
        reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        pictures=tuple(_picture(change) for change in shown),
    )


def _picture(change: SampleChange) -> Picture:
    sample = change.sample
    return Picture(
        sample_id=sample.sample_id,
        image_id=sample.image_id,
        role=sample.role.value,
        category=change.after or change.before or "",
        uri=change.image_uri,
        sha256=sample.sha256,
        noise_probability=sample.noise_probability,
        suggested_category=sample.suggested_category if sample.suggested_probability is not None else sample.category,
        explanation="",
        weight=sample.weight,
        decision="",
        suspected=any(name in sample.flags for name in _SUSPICIONS),
        note=change.reason if change.before and change.after else change.reason.replace("_", " "),
    )

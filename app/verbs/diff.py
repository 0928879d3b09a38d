"""`curate diff`: what has changed from one export to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.verbs.options import JsonOption, WorkspaceArgument

if TYPE_CHECKING:
    from curation.stages.diff import ExportsCompared


def diff(
    workspace: WorkspaceArgument,
    older: Annotated[str, typer.Argument(metavar="A", help="The older export: a folder, or a name in WS/exports.")],
    newer: Annotated[str, typer.Argument(metavar="B", help="The newer one.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Also write a page with pictures of what changed.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two exports: which images came, went or moved to another category, and why.

    Example: curate diff birds cleaned-monday cleaned-tuesday --out changes.html
    """
    from app.terminal import print_json, progress_bars
    from curation.stages.diff import diff as compare
    from curation.workspace import open_workspace

    opened = open_workspace(workspace)
    with progress_bars() as progress:
        found = compare(opened, opened.config(), older, newer, page=out, progress=progress)
    if as_json:
        print_json(_document(found, out))
        return
    _print(found)
    if out is not None:
        print(f"wrote {out}")


def _document(found: ExportsCompared, page: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    counts = asdict(found.counts)
    counts["moved"] = [
        {"before": before, "after": after, "samples": number} for (before, after), number in found.counts.moved.items()
    ]
    names = ("sample_id", "image_id", "web_category", "noise_probability", "weight")
    return {
        "older": {"folder": found.older.folder, "content_hash": found.older.manifest.content_hash},
        "newer": {"folder": found.newer.folder, "content_hash": found.newer.manifest.content_hash},
        **counts,
        "changes": [
            {name: getattr(change.sample, name) for name in names}
            | {"before": change.before, "after": change.after, "reason": change.reason, "image": change.image_uri}
            for change in found.changes
        ],
        "page": page,
    }


def _print(found: ExportsCompared) -> None:
    from app.terminal import print_table

    counts = found.counts
    rows: list[tuple[str, str, int]] = [("unchanged", "", counts.same)]
    rows += [("came", category, number) for category, number in counts.added.items()]
    rows += [("came because", reason, number) for reason, number in counts.added_because.items()]
    rows += [("went", category, number) for category, number in counts.removed.items()]
    rows += [("went because", reason, number) for reason, number in counts.removed_because.items()]
    rows += [("moved", f"{before} → {after}", number) for (before, after), number in counts.moved.items()]
    print_table(f"{found.older.folder.name} → {found.newer.folder.name}", ("change", "what", "images"), rows)

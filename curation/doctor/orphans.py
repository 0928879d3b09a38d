"""`orphans`: embeddings that no sample needs, or that an encoder made which is not used any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import CATALOGUE_TIMEOUT_S, DoctorInputs
from curation.embedding_shards import Shards, folder_of, listed_digests
from curation.forgetting import forget_removed_images
from curation.store.connection import catalog_as_it_is
from curation.store.samples import image_digests


def find(inputs: DoctorInputs) -> list[Finding]:
    """Folders of other encoders, and embeddings of images that no sample shows."""
    facts, workspace = inputs.catalogue, inputs.workspace
    folders = sorted(path for path in workspace.embeddings.glob("*") if path.is_dir())
    if facts is None or not folders or "embed" not in facts.stages:
        return [ok("there are no embeddings that a stage does not know.")]
    used = folder_of(workspace.embeddings, facts.stages["embed"].summary["encoder"])
    findings = [_other_encoder(folder) for folder in folders if folder != used]
    with catalog_as_it_is(workspace, timeout_s=CATALOGUE_TIMEOUT_S) as connection:
        shown = set(image_digests(connection))
    findings += _unwanted(used, shown, lambda: _forget(inputs))
    return findings or [ok("every embedding belongs to a sample.")]


def _other_encoder(folder: Path) -> Finding:
    size = sum(path.stat().st_size for path in folder.glob("*"))
    return warning(
        f"{folder} holds {size / 1e6:.0f} MB of embeddings by an encoder that is not used now.",
        "Delete the folder, unless you want to change back: then nothing has to be embedded again.",
    )


def _unwanted(folder: Path, shown: set[str], forget: Callable[[], str]) -> list[Finding]:
    """Where most embeddings are unwanted, nothing is taken away: it is rather the catalogue that is wrong."""
    try:
        listed = listed_digests(Shards(folder))
    except SafetensorError:
        return [warning("a damaged shard hides which images are embedded.", "--fix deletes it; then look again.")]
    unwanted = listed - shown
    if not unwanted:
        return []
    return [
        warning(
            f"{len(unwanted):,} of {len(listed):,} embeddings are of images that no sample shows any more.",
            "They cost space alone; --fix drops them, if they are the minority.",
            forget if 2 * len(unwanted) < len(listed) else None,
        )
    ]


def _forget(inputs: DoctorInputs) -> str:
    return f"dropped {forget_removed_images(inputs.workspace):,} embeddings."

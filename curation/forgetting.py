"""What is kept of images that are no samples any more, taken away: embeddings of every encoder, and thumbnails.

What people decided of them stays in the journal.
"""

from __future__ import annotations

from curation.embedding_shards import Shards, drop_images
from curation.store.connection import catalog
from curation.store.samples import image_digests
from curation.workspace import Workspace


def forget_removed_images(workspace: Workspace) -> int:
    """Drop embeddings and thumbnails of all images that no sample shows; returns how many embeddings went."""
    with catalog(workspace) as connection:
        shown = set(image_digests(connection))
    folders = sorted(path for path in workspace.embeddings.iterdir() if path.is_dir())
    dropped = sum(drop_images(Shards(folder), shown) for folder in folders)
    for path in workspace.thumbnails.glob("*-*.jpg"):
        if path.name.partition("-")[0] not in shown:
            path.unlink(missing_ok=True)
    return dropped

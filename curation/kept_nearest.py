"""The nearest neighbours that the search for near copies found last time, in one file a space of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation.kept_arrays import keep, read_kept
from curation.nearest import Nearest, find_nearest, update_nearest
from curation.values import FloatArray


@dataclass(frozen=True, slots=True)
class KeptNearest:
    """Neighbours in `folder`; those that another `version` left are not used.

    A version names everything that a vector depends on but its image.
    """

    folder: Path
    version: str

    def find(self, space: str, names: Sequence[str], vectors: FloatArray, count: int) -> Nearest:
        """As `find_nearest`; what is known of vectors of the same names is used, and the result kept."""
        path = self.folder / f"nearest-{space}.npz"
        kept = self._read(path)
        if kept is not None and kept.names == tuple(names) and kept.rows.shape[1] == count:
            return kept
        found = find_nearest(names, vectors, count) if kept is None else update_nearest(kept, names, vectors, count)
        names_kept = np.array(found.names, dtype=np.bytes_)
        keep(path, self.version, names=names_kept, rows=found.rows.astype(np.int32), cosine=found.cosine)
        return found

    def _read(self, path: Path) -> Nearest | None:
        kept = read_kept(path, self.version)
        if kept is None:
            return None
        names = tuple(kept["names"].astype(np.str_).tolist())
        return Nearest(names, kept["rows"].astype(np.int64), kept["cosine"])

"""The nearest neighbours that the search for near copies found last time, in one file a space of vectors."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from curation.files import replace_bytes
from curation.nearest import Nearest, find_nearest, update_nearest
from curation.values import FloatArray

_log = logging.getLogger(__name__)


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
        self._write(path, found)
        return found

    def _read(self, path: Path) -> Nearest | None:
        if not path.is_file():
            return None
        try:
            with np.load(path) as arrays:
                if str(arrays["version"]) != self.version:
                    return None
                names, rows, cosine = arrays["names"].astype(np.str_), arrays["rows"], arrays["cosine"]
        except (OSError, ValueError, KeyError, BadZipFile, EOFError) as error:
            _log.warning("%s cannot be used (%s); neighbours are looked for anew.", path, error)
            return None
        return Nearest(tuple(names.tolist()), rows.astype(np.int64), cosine)

    def _write(self, path: Path, found: Nearest) -> None:
        data = io.BytesIO()
        np.savez(
            data,
            version=np.array(self.version),
            names=np.array(found.names, dtype=np.bytes_),
            rows=found.rows.astype(np.int32),
            cosine=found.cosine,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, data.getvalue())

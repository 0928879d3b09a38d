"""Arrays that a stage keeps for its next run, in one file: a cache, of use to the version that wrote it alone."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from curation.files import replace_bytes

_log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]


def read_kept(path: Path, version: str) -> Arrays | None:
    """What was kept; `None` where there is nothing, by another `version` or damaged, which is logged."""
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            if str(arrays["version"]) != version:
                return None
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, BadZipFile, EOFError) as error:
        _log.warning("%s cannot be used (%s); what it holds is worked out anew.", path, error)
        return None


def keep(path: Path, version: str, **arrays: NDArray[Any]) -> None:
    """Put these in the place of what was kept."""
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, version=np.array(version), **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(path, data.getvalue())

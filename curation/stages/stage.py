"""What a stage is: a name, a fingerprint of its inputs, and the work."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from curation.config import Config
from curation.progress import Progress
from curation.workspace import Workspace

Summary = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """`fingerprint` changes exactly when `run` would have something to do; `run` returns the stage's figures.

    `intact` tells from those figures whether the files that the stage made are still there. Only `run` imports torch
    and the like: whether a stage is out of date is asked often, and loading them takes seconds.
    """

    name: str
    fingerprint: Callable[[Workspace, Config], str]
    run: Callable[[Workspace, Config, Progress], Summary]
    intact: Callable[[Workspace, Summary], bool]


def fingerprint_of(*parts: Any) -> str:
    """A digest of plain values (anything JSON can hold), 16 hex digits."""
    return sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

"""The history on disk: a JSON file a night, never thrown away, and which novel samples there were the last night.

`<night id>.json` is the night. `<night id>.npy` are the ids of its novel samples as ascending numbers of 64 bits (8 MB
a million), by which the next night knows what is new; those of the last two nights are kept, so that the last one can
be written again. They are written first: a night counts from the moment its JSON file is there.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter

from curation.errors import HistoryError
from curation.files import replace_bytes
from curation.history.night import NightFacts
from curation.seal import seal, unseal
from curation.store.nights import IdNumbers
from curation.workspace import Workspace

_KEPT_LISTS = 2
_NIGHT = TypeAdapter(NightFacts)


@dataclass(frozen=True, slots=True)
class History:
    """Every night that can be read, oldest first, and the paths of damaged files, which are left out."""

    nights: tuple[NightFacts, ...]
    damaged: tuple[str, ...] = ()

    def before(self, night_id: str) -> tuple[NightFacts, ...]:
        """The nights before this one."""
        return tuple(night for night in self.nights if night.night_id < night_id)


NO_HISTORY = History(())


def read_history(workspace: Workspace) -> History:
    """All nights of the workspace; a damaged file is named, not an error. There are none before the first night."""
    nights, damaged = [], []
    for path in sorted(workspace.history.glob("[0-9]*.json")):
        try:
            nights.append(_NIGHT.validate_json(unseal(path.read_bytes())))
        except (ValueError, OSError):
            damaged.append(str(path))  # whoever shows the history names it
    return History(tuple(sorted(nights, key=lambda night: night.night_id)), tuple(damaged))


def write_night(workspace: Workspace, night: NightFacts, novel_ids: IdNumbers) -> None:
    """Add a night, or replace it whole, with the ids of its novel samples; raises `HistoryError`."""
    listed = io.BytesIO()
    np.save(listed, novel_ids)
    try:
        workspace.history.mkdir(exist_ok=True)
        replace_bytes(workspace.history / f"{night.night_id}.npy", listed.getvalue())
        replace_bytes(workspace.history / f"{night.night_id}.json", seal(_NIGHT.dump_json(night, indent=1)))
        for old in sorted(workspace.history.glob("[0-9]*.npy"))[:-_KEPT_LISTS]:
            old.unlink()
    except OSError as error:
        raise HistoryError(
            f"{workspace.history} cannot be written: {error.strerror or error}.",
            hint="Free some space or check permissions, then run the night again.",
        ) from error


def novel_ids_of(workspace: Workspace, night_id: str) -> IdNumbers | None:
    """The ids of the novel samples of a night, ascending; `None` where its list is lost or damaged."""
    try:
        ids: IdNumbers = np.load(workspace.history / f"{night_id}.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return ids if ids.dtype == np.uint64 and ids.ndim == 1 else None

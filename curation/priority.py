"""Nights and exports give way: who reviews on the same machine gets the processor first."""

from __future__ import annotations

import os

BEHIND_PEOPLE = 10  # niceness; while a core is wanted by both, a person's process gets nine times as much of it


def give_way(niceness: int) -> None:
    """Lower the priority of this process, and of those that it will start, to at least this niceness (0 to 19).

    Where it was started with a higher niceness, as by `nice` or systemd, it stays there.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)

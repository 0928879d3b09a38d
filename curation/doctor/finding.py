"""What a check of the doctor says: how bad it is, one sentence, what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`ok`; a `warning` costs space, time or certainty; with a `problem` something does not work or is lost."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is what to do, empty where all is well.

    `repair` does it where that is safe: it loses nothing that cannot be made again. It says in one sentence what it
    did, and is called while no other command changes the workspace.
    """

    level: Level
    sentence: str
    advice: str = ""
    repair: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding with the name of its check and, where it was to be repaired, what came of that."""

    check: str
    level: Level
    sentence: str
    advice: str
    can_be_fixed: bool
    fixed: bool = False
    done: str = ""

    @property
    def is_open_problem(self) -> bool:
        """Whether something does not work, still."""
        return self.level is Level.PROBLEM and not self.fixed


def ok(sentence: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, sentence)


def warning(sentence: str, advice: str, repair: Callable[[], str] | None = None) -> Finding:
    """It costs something."""
    return Finding(Level.WARNING, sentence, advice, repair)


def problem(sentence: str, advice: str, repair: Callable[[], str] | None = None) -> Finding:
    """Something does not work, or is lost."""
    return Finding(Level.PROBLEM, sentence, advice, repair)

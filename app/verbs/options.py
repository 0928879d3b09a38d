"""Arguments and options that several verbs share, each spelt and explained once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

WorkspaceArgument = Annotated[Path, typer.Argument(metavar="WS", help="The workspace folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print figures as JSON.")]


class RoleName(StrEnum):
    """Roles as the command line spells them."""

    base = "base"
    novel = "novel"
    test = "test"


class DeviceName(StrEnum):
    """Where torch computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"

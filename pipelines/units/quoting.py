"""Text of any content (paths, mostly) as systemd, cron and Kubernetes each read it back unchanged.

None of them can hold a line break or another character that cannot be printed: callers refuse those first.
"""

from __future__ import annotations

import json


def systemd_quoted(text: str) -> str:
    """One word of a systemd setting: quoted, and without specifiers (systemd.syntax(7), systemd.unit(5))."""
    escaped = systemd_text(text.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}"'


def systemd_text(text: str) -> str:
    """Text of a systemd setting that is not taken apart into words; `%` alone would begin a specifier."""
    return text.replace("%", "%%")


def cron_quoted(text: str) -> str:
    r"""One word of a crontab's command: quoted for `sh`, and `%`, which cron takes as a line break, as `\%`.

    The quotes are closed and opened before each `%`, since cron reads a backslash of the text before it as part of
    `\\`, whatever the shell's quotes say (crontab(5)).
    """
    inside = text.replace("'", "'\"'\"'").replace("%", "''\\%")
    return f"'{inside}'"


def yaml_quoted(text: str) -> str:
    """A scalar of YAML: JSON's strings are YAML's."""
    return json.dumps(text, ensure_ascii=False)


def kubernetes_argument(text: str) -> str:
    """An argument of a container, as YAML; `$(NAME)` in it would stand for a variable."""
    return yaml_quoted(text.replace("$", "$$"))

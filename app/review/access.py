"""Who is at the browser and what they may do: by login where one is configured, by the name they give where not.

Asked again at every write, from the configuration as it stands then, so that a role taken away counts at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import streamlit as st

from curation.config import Config
from curation.errors import ConfigError
from curation.workspace import Workspace

LONGEST_NAME = 60
_NAME_KEY = "annotator_name"


class AccessRole(StrEnum):
    """What a person may do: decide, or also settle conflicts and revert what others decided."""

    ANNOTATOR = "annotator"
    LEAD = "lead"


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides, as the journal names them, and their role."""

    name: str
    role: AccessRole


def secrets_file(workspace: Workspace) -> Path:
    """Where the login is configured, in Streamlit's own form."""
    return workspace.root / "secrets.toml"


def login_is_configured(workspace: Workspace) -> bool:
    """Whether `secrets.toml` has an `[auth]` section; raises `ConfigError` where the file cannot be read."""
    path = secrets_file(workspace)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", hint="Correct it; it configures the login.") from error
    return isinstance(values.get("auth"), dict) and bool(values["auth"])


def current_person(workspace: Workspace, config: Config) -> Person | None:
    """Who is at the browser; `None` where nobody has logged in or said their name, or the login has no role."""
    if login_is_configured(workspace):
        return person_of_login(st.user.to_dict(), config)
    name = st.session_state.get(_NAME_KEY, "")
    if not name:
        return None
    return Person(name, AccessRole.LEAD if name in config.review.leads else AccessRole.ANNOTATOR)


def person_of_login(user: Mapping[str, Any], config: Config) -> Person | None:
    """The person behind a login, by the address that the identity provider vouches for, spelt as configured."""
    address = str(user.get("email") or "").strip().casefold()
    if not user.get("is_logged_in") or not address or user.get("email_verified") is False:
        return None
    for names, role in ((config.review.leads, AccessRole.LEAD), (config.review.annotators, AccessRole.ANNOTATOR)):
        for name in names:
            if name.strip().casefold() == address:
                return Person(name, role)
    return None


def may_export(person: Person, *, with_login: bool) -> bool:
    """At one's own machine everybody may; from elsewhere a lead."""
    return not with_login or person.role is AccessRole.LEAD


def set_name(name: str) -> None:
    """Take the name that somebody has given, without control characters and not endlessly long; empty signs out."""
    st.session_state[_NAME_KEY] = "".join(filter(str.isprintable, name)).strip()[:LONGEST_NAME]

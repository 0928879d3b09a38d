"""`versions`: Python and the libraries are there, and new enough."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from curation import __version__
from curation.doctor.finding import Finding, ok, problem, warning
from curation.doctor.inputs import DoctorInputs

DISTRIBUTION = "webnoise-curation"
_NEEDED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?>=(?P<least>[0-9.]+)$")


def find(inputs: DoctorInputs) -> list[Finding]:  # noqa: ARG001 - every check has this signature
    """One finding on Python and what is installed, one more for each library that is missing or too old."""
    try:
        needed = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return [warning(f"{DISTRIBUTION} runs from a source tree and is not installed.", "`pip install -e .` there.")]
    return judge(needed)


def judge(needed: list[str]) -> list[Finding]:
    """The findings on requirements as `importlib.metadata` lists them; those of extras are left out."""
    found, bad = [], []
    for name, least in (match.groups() for line in needed if (match := _NEEDED.match(line))):
        try:
            installed = version(name)
        except PackageNotFoundError:
            if not (name == "faiss-cpu" and _is_installed("faiss-gpu")):
                bad.append(problem(f"{name} is not installed.", f"pip install '{name}>={least}'"))
            continue
        found.append(f"{name} {installed}")
        if _numbers(installed) < _numbers(least):
            bad.append(problem(f"{name} {installed} is older than {least}.", f"pip install '{name}>={least}'"))
    libraries = ", ".join(found)
    return [ok(f"Python {platform.python_version()}, {DISTRIBUTION} {__version__}; {libraries}."), *bad]


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: 2.14.0+cpu -> (2, 14, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[^0-9.]", text)[0]))

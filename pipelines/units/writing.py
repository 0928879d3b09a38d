"""The units of one workspace as text, and as files in a folder of the operator's."""

from __future__ import annotations

import shlex
import string
from importlib.resources import files
from pathlib import Path

from curation import __version__
from curation.errors import UnitsError
from curation.files import replace_text
from curation.workspace import Workspace
from pipelines.units.place import Place, place_of_nights
from pipelines.units.quoting import cron_quoted, kubernetes_argument, systemd_quoted, systemd_text, yaml_quoted

_TEMPLATES = {  # file name, with the name of the units -> template
    "{name}.service": "nightly.service",
    "{name}.timer": "nightly.timer",
    "{name}.cron": "nightly.cron",
    "{name}-cronjob.yaml": "nightly-cronjob.yaml",
    "Dockerfile": "Dockerfile",
}


class _Template(string.Template):
    """`@{name}`, since `$` belongs to the shell, to Docker and to Kubernetes."""

    delimiter = "@"


def write_units(workspace: Workspace, folder: Path) -> list[Path]:
    """Write the units of `workspace` into `folder`; a file that is there already is never overwritten.

    Raises `UnitsError` where the workspace's path cannot be written down in units, or the folder not be written to.
    """
    texts = {folder.absolute() / name: text for name, text in units(place_of_nights(workspace)).items()}
    for path in texts:
        if path.exists():
            raise UnitsError(f"{path} is there already.", hint="Move it away, or name another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            replace_text(path, text)
    except OSError as error:
        raise UnitsError(
            f"{folder} cannot be written: {error.strerror}.", hint="Name a folder that you own, with some space."
        ) from error
    return list(texts)


def units(place: Place) -> dict[str, str]:
    """Every file's name and text."""
    words = _words(place)
    templates = files("pipelines.units").joinpath("templates")
    return {
        name.format(name=place.name): _Template(
            templates.joinpath(template).read_text(encoding="utf-8"),
        ).substitute(words)
        for name, template in _TEMPLATES.items()
    }


def _words(place: Place) -> dict[str, str | int]:
    """What stands in templates, each quoted for the place it stands in."""
    workspace, command = str(place.workspace), str(place.command)
    writable = [workspace, *([f"-{place.cache}"] if place.cache else []), "/tmp", "/var/tmp"]  # noqa: S108 - a setting
    return {
        "name": place.name,
        "version": __version__,
        "user": place.user,
        "group": place.group,
        "uid": place.uid,
        "gid": place.gid,
        "not_root": "true" if place.uid else "false",
        "workspace": workspace,
        "workspace_shell": shlex.quote(workspace),
        "mounts_shell": " ".join(_docker_mounts(place)),
        "workspace_systemd": systemd_text(workspace),
        "start_systemd": " ".join(systemd_quoted(word) for word in (f":{command}", "nightly", workspace)),
        "writable_systemd": " ".join(systemd_quoted(path) for path in writable),
        "start_cron": f"{cron_quoted(command)} nightly {cron_quoted(workspace)}",
        "workspace_yaml": yaml_quoted(workspace),
        "workspace_argument": kubernetes_argument(workspace),
        "source_mounts_yaml": "".join(
            f'\n                - {{name: "source-{number}", mountPath: {yaml_quoted(str(path))}, readOnly: true}}'
            for number, path in enumerate(place.sources, start=1)
        ),
        "source_volumes_yaml": "".join(
            f'\n            - name: "source-{number}"\n'
            f"              hostPath: {{path: {yaml_quoted(str(path))}, type: Directory}}"
            for number, path in enumerate(place.sources, start=1)
        ),
    }


def _docker_mounts(place: Place) -> list[str]:
    """`-v` options: the workspace, and read-only what nights read, each at the path it has outside."""
    mounts = [f"{place.workspace}:{place.workspace}", *(f"{path}:{path}:ro" for path in place.sources)]
    return [f"-v {shlex.quote(mount)}" for mount in mounts]

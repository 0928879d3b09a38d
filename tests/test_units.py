"""The files that start a night by itself, as systemd, cron, `sh`, Kubernetes and Docker read them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curation.config import parse_config, write_config
from curation.errors import UnitsError
from curation.workspace import Workspace
from pipelines.units.place import Place, folders_outside, place_of_nights
from pipelines.units.quoting import cron_quoted, kubernetes_argument, systemd_quoted, yaml_quoted
from pipelines.units.writing import units, write_units
from tests.test_cli import curate

ROOT = Path(__file__).parent.parent
PLAIN = Place(
    workspace=Path("/data/birds"),
    command=Path("/opt/curate/bin/curate"),
    sources=(Path("/data/web"),),
    user="daemon",
    group="daemon",
    uid=1,
    gid=1,
    cache=Path("/home/daemon/.cache"),
)
NASTY = (
    "two words",
    "100%n",
    'it\'s "so"',
    "$HOME $(id) ${X} `id` $$",
    "back\\slash\\",
    "\\%'%",
    " -blanks # ; | ",
    "Vögel 🐦",
    "@{name}{name}",
)
PATHS = st.text(st.characters(exclude_characters="/:").filter(str.isprintable), min_size=1).map("/{}".format)

SYSTEMD_ANALYZE = shutil.which("systemd-analyze") or ""
VERIFY = (SYSTEMD_ANALYZE, "verify", "--man=no")
needs_systemd = pytest.mark.skipif(
    not SYSTEMD_ANALYZE, reason="systemd-analyze is not here (Debian: the package systemd)"
)


def place(tmp_path: Path, name: str) -> Place:
    """A workspace called `name`, and a command in a like place that says what it was given and ends with $STATUS."""
    command = tmp_path / re.sub(r"[\\'\"]", "", name) / "bin" / "curate"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\nprintf "<%s>" "$@"\nexit "${STATUS:-0}"\n')
    command.chmod(0o755)
    return dataclasses.replace(PLAIN, workspace=tmp_path / name, command=command, sources=(tmp_path / f"{name}.web",))


def written(place: Place, folder: Path) -> dict[str, Path]:
    """The units in files, by suffix."""
    folder.mkdir()
    for name, text in units(place).items():
        (folder / name).write_text(text, encoding="utf-8")
    return {path.suffix: path for path in folder.iterdir()}


# systemd


@needs_systemd
@pytest.mark.parametrize("name", ("birds", *NASTY))
def test_systemd__accepts_service_and_timer_and_reads_paths_as_they_are(tmp_path: Path, name: str) -> None:
    where = place(tmp_path, name)
    files = written(where, tmp_path / "units")
    command = [*VERIFY, str(files[".service"]), str(files[".timer"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    loud = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "SYSTEMD_LOG_LEVEL": "debug"}
    )
    understood = (loud.stdout + loud.stderr).splitlines()
    assert f"\t\tWorkingDirectory: {where.workspace}" in understood
    assert f"\t\tReadWritePaths: {where.workspace} -{where.cache} /tmp /var/tmp" in understood
    (started,) = (line.partition(": ")[2] for line in understood if line.startswith("\t\t\tCommand Line:"))
    spoken = subprocess.run(["/bin/sh", "-c", f'printf "<%s>" {started}'], capture_output=True, text=True, check=True)
    assert spoken.stdout == f"<{where.command}><nightly><{where.workspace}>"


@needs_systemd
def test_systemd__a_broken_service_is_found(tmp_path: Path) -> None:
    service = written(place(tmp_path, "birds"), tmp_path / "units")[".service"]
    service.write_text(service.read_text().replace("KillMode=mixed", "KillMode=some"))
    done = subprocess.run([*VERIFY, str(service)], capture_output=True, text=True, check=False)
    assert "Failed to parse kill mode" in done.stderr


@needs_systemd
def test_systemd__the_service_is_not_exposed(tmp_path: Path) -> None:
    service = written(place(tmp_path, "birds"), tmp_path / "units")[".service"]
    done = subprocess.run(
        [SYSTEMD_ANALYZE, "security", "--offline=yes", "--threshold=50", str(service)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def settings(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_systemd__a_killed_night_starts_again_and_an_ended_one_does_not() -> None:
    service = settings(units(PLAIN)["curate-birds.service"])
    assert service["Restart"] == "on-abnormal"  # signals and time-outs; not exit statuses
    assert (service["KillMode"], service["SuccessExitStatus"]) == ("mixed", "143")
    assert service["OOMPolicy"] == "continue" and service["TimeoutStartSec"] != "infinity"
    hides_gpus = {"PrivateDevices", "ProtectClock", "DevicePolicy", "DeviceAllow", "MemoryDenyWriteExecute"}
    assert not hides_gpus & service.keys()


# cron


def as_cron_hands_on(command: str) -> str:
    r"""What Vixie cron gives to `sh`: `\%` is `%`, and a bare `%` ends the command."""
    handed, escaped = "", False
    for character in command:
        if escaped:
            handed = handed[:-1] + "%" if character == "%" else handed + character
            escaped = False
            continue
        if character == "%":
            break
        handed, escaped = handed + character, character == "\\"
    return handed


def cron_line(text: str) -> tuple[list[str], str]:
    (line,) = (line for line in text.splitlines() if line and not line.startswith("#"))
    *times, command = line.split(" ", 5)
    return times, as_cron_hands_on(command)


@pytest.mark.parametrize("name", ("birds", *NASTY))
@pytest.mark.parametrize("status", (0, 1))
def test_cron__runs_the_night_and_speaks_only_when_something_is_wrong(tmp_path: Path, name: str, status: int) -> None:
    where = place(tmp_path, name)
    (tmp_path / "home").mkdir()
    times, command = cron_line(written(where, tmp_path / "units")[".cron"].read_text(encoding="utf-8"))
    assert times == ["0", "2", "*", "*", "*"]
    environment = {"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "STATUS": str(status)}
    subprocess.run(["/bin/sh", "-n", "-c", command], env=environment, check=True)
    done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    said = f"<nightly><{where.workspace}>\ncurate nightly ended with exit status 1\n"
    assert (done.stdout, done.stderr) == (said if status else "", "")
    assert list((tmp_path / "home").iterdir()) == []


@given(PATHS)
def test_cron_quoted__comes_back(path: str) -> None:
    assert shlex.split(as_cron_hands_on(cron_quoted(path))) == [path]


# Kubernetes


def cronjob(place: Place) -> Any:
    return yaml.safe_load(units(place)[f"{place.name}-cronjob.yaml"])


@pytest.mark.parametrize("version", ("1.31", kubernetes_validate.latest_version()))
def test_kubernetes__the_cronjob_keeps_to_the_schema(version: str) -> None:
    kubernetes_validate.validate(cronjob(PLAIN), version, strict=True)


def test_kubernetes__a_misspelt_key_is_found() -> None:
    job = cronjob(PLAIN)
    job["spec"]["concurencyPolicy"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, "1.31", strict=True)


@pytest.mark.parametrize("name", NASTY)
def test_kubernetes__paths_are_mounted_where_they_are(tmp_path: Path, name: str) -> None:
    where = place(tmp_path, name)
    job = cronjob(where)
    kubernetes_validate.validate(job, "1.31", strict=True)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"])
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (night,) = pod["containers"]
    on_node = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    inside = {mount["name"]: mount["mountPath"] for mount in night["volumeMounts"]}
    assert on_node == {"workspace": str(where.workspace), "source-1": str(where.sources[0])}
    assert on_node.items() <= inside.items() and {volume["name"] for volume in pod["volumes"]} == set(inside)
    assert night["args"] == ["nightly", str(where.workspace).replace("$", "$$")]
    assert pod["securityContext"]["runAsUser"] == where.uid and pod["securityContext"]["runAsNonRoot"]


def test_kubernetes__a_workspace_of_root_runs_as_root() -> None:
    pod = cronjob(dataclasses.replace(PLAIN, uid=0))["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (0, False)


@given(PATHS)
def test_yaml_quoted__comes_back(path: str) -> None:
    assert yaml.safe_load(yaml_quoted(path)) == path


def test_kubernetes_argument__names_no_variable() -> None:
    assert json.loads(kubernetes_argument("/a/$(HOME)/$$")) == "/a/$$(HOME)/$$$$"


def test_systemd_quoted__by_hand() -> None:
    assert systemd_quoted('50% "\\') == r'"50%% \"\\"'


# Docker


def instructions(text: str) -> list[tuple[str, str]]:
    """Instructions and what follows them; comments fall out, also between continued lines, as Docker reads it."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest) for line in joined.splitlines() for word, _, rest in [line.strip().partition(" ")]]


def test_dockerfile__can_be_built_from_a_checkout() -> None:
    steps = instructions(units(PLAIN)["Dockerfile"])
    known = {"ARG", "FROM", "RUN", "ENV", "COPY", "VOLUME", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in steps} == known
    stages = {rest.split()[2]: rest.split()[0] for word, rest in steps if word == "FROM"}
    assert steps[0] == ("ARG", "DEVICE=cpu") and stages["curate"] == "${DEVICE}" and {"cpu", "gpu"} < set(stages)
    assert all(re.search(r":[\w.-]*\d", image) for stage, image in stages.items() if stage != "curate"), "not pinned"
    copied = {name for word, rest in steps if word == "COPY" for name in rest.split()[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
        *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
    }
    assert needed <= copied and all((ROOT / name).exists() for name in copied)
    extras = {name for word, rest in steps if word == "ENV" for name in re.findall(r"CURATE_EXTRAS=(\S+)", rest)}
    assert {extra for names in extras for extra in names.split(",")} <= set(project["project"]["optional-dependencies"])


def test_dockerfile__commands_are_well_formed_and_nobody_is_root() -> None:
    steps = instructions(units(PLAIN)["Dockerfile"])
    for word, rest in steps:
        if word == "RUN":
            subprocess.run(["/bin/sh", "-n", "-c", rest], check=True)
    last = dict(steps)
    assert json.loads(last["ENTRYPOINT"]) == ["tini", "--", "curate"] and json.loads(last["CMD"]) == ["--help"]
    assert last["USER"] == "1000:1000" and last["STOPSIGNAL"] == "SIGTERM"


@pytest.mark.parametrize("name", NASTY)
def test_dockerfile__its_commands_mount_the_workspace(tmp_path: Path, name: str) -> None:
    where = place(tmp_path, name)
    text = units(where)["Dockerfile"]
    for verb in ("nightly", "review"):
        (line,) = (line for line in text.splitlines() if line.startswith("#   docker run") and f" {verb} " in line)
        words = shlex.split(line.removeprefix("#"))
        mounts = [words[at + 1] for at, word in enumerate(words) if word == "-v"]
        assert mounts[1:] == [f"{where.workspace}:{where.workspace}", f"{where.sources[0]}:{where.sources[0]}:ro"]
        assert words[-2:] == [verb, str(where.workspace)]


@pytest.mark.skipif(
    "CURATION_BUILD_IMAGES" not in os.environ,
    reason="builds an image with a Docker engine, which downloads gigabytes: set CURATION_BUILD_IMAGES=cpu or =gpu",
)
def test_dockerfile__builds_and_runs_the_demo(tmp_path: Path) -> None:
    device = os.environ["CURATION_BUILD_IMAGES"]
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(units(PLAIN)["Dockerfile"])
    tag = f"curate-test:{device}"
    build = ["docker", "build", "-f", str(dockerfile), "--build-arg", f"DEVICE={device}", "-t", tag, str(ROOT)]
    subprocess.run(build, check=True)
    subprocess.run(["docker", "run", "--rm", "-w", "/cache", tag, "demo"], check=True)  # noqa: S607


# Where nights take place


@pytest.mark.parametrize(
    ("path", "reason"), [("/data/a\nb", "line break"), ("/data/a:b", "colon"), ("/data/\udcff", "line break")]
)
def test_place__refuses_what_units_cannot_hold(path: str, reason: str) -> None:
    with pytest.raises(UnitsError, match=reason):
        dataclasses.replace(PLAIN, workspace=Path(path))


@pytest.mark.parametrize("character", ("'", '"', "\\"))
def test_place__refuses_a_command_that_systemd_would_not_start(character: str) -> None:
    with pytest.raises(UnitsError, match="quote or a backslash"):
        dataclasses.replace(PLAIN, command=Path(f"/opt/a{character}b/curate"))


@pytest.mark.parametrize(
    ("folder", "name"),
    [("birds", "curate-birds"), ("Web Birds_2", "curate-web-birds-2"), ("鳥", "curate-workspace")],
)
def test_place__name_is_one_that_all_of_them_take(folder: str, name: str) -> None:
    assert dataclasses.replace(PLAIN, workspace=Path("/data") / folder).name == name


@given(st.text(min_size=1).filter(lambda text: text.isprintable() and not {"/", ":"} & set(text)))
def test_place__name_is_short_and_plain(folder: str) -> None:
    name = dataclasses.replace(PLAIN, workspace=Path("/data") / folder).name
    assert len(name) <= 52 and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)


def test_folders_outside__files_mean_their_folder_and_each_counts_once(tmp_path: Path) -> None:
    for folder in ("ws/inside", "web"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "web" / "list.csv").touch()
    asked = [tmp_path / "ws/inside", tmp_path / "web", tmp_path / "web/list.csv", Path("/images.tar")]
    assert folders_outside(tmp_path / "ws", asked) == (tmp_path / "web",)


def test_place_of_nights__is_the_owner_and_the_configured_sources(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    nightly = {"sources": [{"path": str(tmp_path / "web"), "role": "novel"}, {"path": "inside", "role": "base"}]}
    write_config(parse_config({"nightly": nightly}, "test"), workspace.config_file)
    where = place_of_nights(workspace)
    assert where.sources == (tmp_path / "web",) and where.uid == workspace.root.stat().st_uid
    assert os.access(where.command, os.X_OK)


# The verb


def test_write_units__never_overwrites(workspace: Workspace, tmp_path: Path) -> None:
    paths = write_units(workspace, tmp_path / "units")
    assert len(paths) == 5 and all(path.is_file() for path in paths)
    before = {path: path.read_bytes() for path in paths}
    paths[0].unlink()
    with pytest.raises(UnitsError, match="is there already"):
        write_units(workspace, tmp_path / "units")
    assert not paths[0].exists() and all(path.read_bytes() == before[path] for path in paths[1:])


def test_write_units__says_that_a_folder_cannot_be_written(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnitsError, match="cannot be written"):
        write_units(workspace, tmp_path / "file" / "units")


def test_init__writes_units_of_a_new_workspace_and_of_one_that_is_there(tmp_path: Path) -> None:
    new = curate("init", "my birds", "--units", "units", cwd=tmp_path)
    assert new.returncode == 0, new.stderr
    assert (
        "made " in new.stdout and str(tmp_path / "my birds") in (tmp_path / "units/curate-my-birds.service").read_text()
    )
    again = curate("init", "my birds", "--units", "units", cwd=tmp_path)
    assert again.returncode == 1 and "is there already" in again.stderr
    other = curate("init", "my birds", "--units", "units2", cwd=tmp_path)
    assert other.returncode == 0 and "made " not in other.stdout and (tmp_path / "units2" / "Dockerfile").is_file()
    remade = curate("init", "my birds", "--units", "units3", "--encoder", "builtin", cwd=tmp_path)
    assert remade.returncode == 1 and "is a workspace already" in remade.stderr

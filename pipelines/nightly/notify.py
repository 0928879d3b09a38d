"""Telling people that a night failed, met a problem or departs from its history: a command, a webhook, or both."""

from __future__ import annotations

import json
import os
import socket
import string
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from http.client import HTTPException
from typing import Any

from curation.errors import NightlyError
from curation.nightly_config import NotifyConfig
from pipelines.nightly.night import Night

_TIMEOUT_S = 10.0  # with all tries below what systemd waits for a service that is to end
_PAUSES_S = (1.0, 5.0)  # before a webhook is tried again: a restart of the other side passes
_CHECK = "Check [nightly.notify]; nobody was told by it."


def news_of(night: Night, status: str) -> dict[str, Any]:
    """The document that is sent; `text` says it all, for services that show nothing else."""
    said = [*night.problems, *(alarm.sentence for alarm in night.alarms)]
    return {
        "text": f"Night {night.night_id} of {night.workspace.root}: {status}. {' '.join(said)}".strip(),
        "workspace": str(night.workspace.root),
        "host": socket.gethostname(),
        "night_id": night.night_id,
        "status": status,
        "problems": night.problems,
        "alarms": [asdict(alarm) for alarm in night.alarms],
        "folder": str(night.log.folder),
    }


def notify(settings: NotifyConfig, news: Mapping[str, Any]) -> Iterator[str]:
    """Tell everyone who is configured; yields one sentence for each that could not be told."""
    for tell in (_run_command, _post):
        try:
            tell(settings, json.dumps(news).encode())
        except NightlyError as error:
            yield str(error)


def _run_command(settings: NotifyConfig, document: bytes) -> None:
    if not settings.command:
        return
    try:
        done = subprocess.run(settings.command, input=document, timeout=_TIMEOUT_S, capture_output=True, check=False)  # noqa: S603 - the operator's own command
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NightlyError(
            f"the command {settings.command[0]} did not run to its end: {error}.", hint=_CHECK
        ) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise NightlyError(
            f"the command {settings.command[0]} ended with status {done.returncode}: {said}.", hint=_CHECK
        )


def _post(settings: NotifyConfig, document: bytes) -> None:
    if not settings.webhook:
        return
    request = urllib.request.Request(_address(settings), data=document, headers=_headers(settings), method="POST")  # noqa: S310 - checked in _address
    for pause_s in (*_PAUSES_S, None):
        try:
            with _opener.open(request, timeout=_TIMEOUT_S):
                return
        except (OSError, HTTPException, ValueError) as error:  # urllib's own errors are OSErrors
            answer = error.code if isinstance(error, urllib.error.HTTPError) else None
            if pause_s is None or (answer is not None and answer < 500):
                said = f"answered {answer}" if answer else f"cannot be reached: {getattr(error, 'reason', error)}"
                raise NightlyError(f"the webhook {settings.webhook} {said}.", hint=_CHECK) from None
        time.sleep(pause_s)


def _address(settings: NotifyConfig) -> str:
    """The address with what the environment holds; messages show it as it is configured, without any secret."""
    try:
        address = string.Template(settings.webhook).substitute(os.environ)
    except (KeyError, ValueError) as error:
        raise NightlyError(
            f"the webhook {settings.webhook} names an environment variable that is not set: {error}.", hint=_CHECK
        ) from None
    if not address.startswith(("http://", "https://")):
        raise NightlyError(f"the webhook {settings.webhook} is no http or https address.", hint=_CHECK)
    return address


def _headers(settings: NotifyConfig) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if settings.token_env:
        token = os.environ.get(settings.token_env)
        if not token:
            raise NightlyError(
                f"the webhook needs a token in the environment variable {settings.token_env}, which is not set.",
                hint="Set it where the night is started, for instance in the unit's EnvironmentFile.",
            )
        headers["Authorization"] = f"Bearer {token}"
    return headers


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token goes to the configured address and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)

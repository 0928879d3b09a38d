"""Starting the server of the review app: on this machine only, unless a login says who may come from elsewhere."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from app.review.access import login_is_configured, secrets_file
from curation.errors import ConfigError
from curation.workspace import Workspace, refuse_read_only

MAX_UPLOAD_MIB = 25  # a picture to search by


def serve(workspace: Workspace, port: int, address: str, *, ready: Callable[[], None]) -> None:
    """Serve the review app until it is interrupted; calls `ready` just before the port is opened.

    Raises `WorkspaceError` where no decision could be written, `ConfigError` where `address` is not of this machine
    alone and no login is configured, and where the port is taken.
    """
    from streamlit.web import bootstrap

    refuse_read_only(workspace)
    with_login = login_is_configured(workspace)
    refuse_open_address(workspace, address, with_login=with_login)
    _refuse_taken_port(address, port)
    options = server_options(workspace, port, address, with_login=with_login)
    bootstrap.load_config_options(options)
    ready()
    bootstrap.run(str(Path(__file__).with_name("main.py")), False, [str(workspace.root)], options)


def refuse_open_address(workspace: Workspace, address: str, *, with_login: bool) -> None:
    """Stop before anybody on the network could decide under any name."""
    if not is_loopback(address) and not with_login:
        raise ConfigError(
            f"{address} can be reached by others, and no login is configured: anybody could decide under any name.",
            hint=f"Stay on localhost (an SSH tunnel reaches it), or configure a login in {secrets_file(workspace)}: "
            "a section [auth] as Streamlit documents for st.login.",
        )
    if with_login and find_spec("authlib") is None:
        raise ConfigError(
            f"{secrets_file(workspace)} configures a login, and the package for it is not installed.",
            hint='Install it: pip install "webnoise-curation[login]".',
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address."""
    if address == "localhost":
        return True
    try:
        return ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def server_options(workspace: Workspace, port: int, address: str, *, with_login: bool) -> dict[str, Any]:
    """Streamlit's settings, by the names of its flags; they outweigh any configuration file of the user."""
    options: dict[str, Any] = {
        "server_address": address,
        "server_port": port,
        "server_headless": True,
        "server_fileWatcherType": "none",
        "server_enableStaticServing": False,
        "server_enableCORS": True,
        "server_enableXsrfProtection": True,
        "server_maxUploadSize": MAX_UPLOAD_MIB,
        "server_maxWidgetStateSize": MAX_UPLOAD_MIB,
        "server_showEmailPrompt": False,
        "server_enableAgentApi": False,
        "browser_gatherUsageStats": False,
        "client_toolbarMode": "minimal",
        "client_showErrorDetails": "none",
        "client_showErrorLinks": "false",
        "runner_magicEnabled": False,
        # A full collection after every script run goes through all objects of the snapshot that the server keeps, while
        # nobody else is served: with 20,000 samples 93 % of its work. Python's own are rare where little is new.
        "runner_postScriptGC": False,
        "logger_hideWelcomeMessage": True,
        "secrets_files": [str(secrets_file(workspace))],
    }
    if not with_login:  # a page of another site cannot reach the server under a name of its own (DNS rebinding)
        options["server_allowedHosts"] = ["localhost", "127.0.0.1", "[::1]", address]
    return options


def _refuse_taken_port(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.strip("[]"), port))
        except OSError as error:
            raise ConfigError(
                f"{address}:{port} cannot be served: {error.strerror or error}.", hint="Name another port with --port."
            ) from error

"""Which site a web address belongs to."""

from __future__ import annotations

from urllib.parse import urlsplit


def host_of(url: str | None) -> str:
    """The host of a web address in lower case without "www." and port; empty where there is none."""
    try:
        host = urlsplit((url or "").strip()).hostname or ""
    except ValueError:  # addresses come from the web: "http://[" is one
        return ""
    return host.removeprefix("www.").rstrip(".")

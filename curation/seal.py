"""A JSON object that carries the SHA-256 of its own text: of a changed digit nobody could tell otherwise."""

from __future__ import annotations

import re
from hashlib import sha256

_SEALED = re.compile(rb'(?P<text>.*),\n"sha256": "(?P<digest>[0-9a-f]{64})"\n}\n', re.DOTALL)


def seal(document: bytes) -> bytes:
    """The text of a JSON object with members, and its digest as the last of them."""
    text = document.rstrip().removesuffix(b"}").rstrip()
    return b'%b,\n"sha256": "%b"\n}\n' % (text, sha256(text).hexdigest().encode())


def unseal(data: bytes) -> bytes:
    """The object without its digest; `ValueError` where they do not belong together.

    What has no digest was written before there was one, and is taken as it is.
    """
    match = _SEALED.fullmatch(data)
    if match is None:
        return data
    if sha256(match["text"]).hexdigest().encode() != match["digest"]:
        raise ValueError("its text has changed since it was written")
    return match["text"] + b"}"

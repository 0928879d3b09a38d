"""An OpenID Connect provider on this machine for the tests of the login: anybody may be whom they say they are.

It does what a real one does in the code flow (OpenID Connect Core 1.0, section 3.1, with PKCE, RFC 7636) and is as
strict about it: a code works once, for the client that asked, with its secret and its verifier.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "curate", "the secret of the client"


class OidcProvider(ThreadingHTTPServer):
    """Serves at a free port; `people` are the addresses that its page offers to log in as."""

    def __init__(self, people: tuple[str, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.people = people
        self.key = RSAKey.generate_key(2048, {"kid": "key-1", "use": "sig", "alg": "RS256"})
        self.codes: dict[str, dict[str, str]] = {}  # code -> what was asked for, and `email`

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def secrets_toml(self, app_address: str) -> str:
        """The section that makes Streamlit log in here."""
        values = {
            "redirect_uri": f"{app_address}/oauth2callback",
            "cookie_secret": secrets.token_hex(32),
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "server_metadata_url": f"{self.issuer}/.well-known/openid-configuration",
        }
        return "[auth]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def choices(self, asked: dict[str, str]) -> str:
        """A page with one link for everybody."""
        if asked.get("client_id") != CLIENT_ID or asked.get("response_type") != "code":
            raise PermissionError("no such client")
        links = []
        for email in self.people:
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked | {"email": email}
            target = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
            links.append(f'<p><a href="{escape(target)}">{escape(email)}</a></p>')
        return f"<!doctype html><title>Log in</title>{''.join(links)}"

    def tokens(self, given: dict[str, str], authorization: str) -> dict[str, Any]:
        """The tokens for a code; `PermissionError` for one that is not theirs."""
        expected = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        asked = self.codes.pop(given.get("code", ""), None)
        if asked is None or authorization != expected or given.get("redirect_uri") != asked["redirect_uri"]:
            raise PermissionError("no such code")
        digest = sha256(given.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked.get("code_challenge"):
            raise PermissionError("the verifier does not fit")
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": asked["email"],
            "email": asked["email"],
            "email_verified": True,
            "nonce": asked.get("nonce"),
            "iat": now,
            "exp": now + 3600,
        }
        token = jwt.encode({"alg": "RS256", "kid": "key-1"}, claims, self.key)
        return {"access_token": secrets.token_hex(8), "token_type": "Bearer", "expires_in": 3600, "id_token": token}


class _Answer(BaseHTTPRequestHandler):
    server: OidcProvider

    def do_GET(self) -> None:
        path, asked = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        if path == "/.well-known/openid-configuration":
            self._send(self.server.metadata())
        elif path == "/jwks":
            self._send({"keys": [self.server.key.as_dict(private=False)]})
        elif path == "/authorize":
            self._send(self.server.choices(asked))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        given = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        try:
            self._send(self.server.tokens(given, self.headers.get("Authorization", "")))
        except PermissionError as error:
            self.send_error(400, str(error))

    def _send(self, answer: dict[str, Any] | str) -> None:
        is_page = isinstance(answer, str)
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if is_page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the standard library's name
        """Says nothing."""


@contextmanager
def serve_provider(*people: str) -> Iterator[OidcProvider]:
    with OidcProvider(people) as provider:
        thread = Thread(target=provider.serve_forever, daemon=True)
        thread.start()
        yield provider
        provider.shutdown()
        thread.join()

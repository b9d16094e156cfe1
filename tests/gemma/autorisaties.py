"""A small Autorisaties API (ZGW) on loopback: it checks who asks, and knows the applications that a test gives it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from tests.support.loopback import LoopbackServer

CLIENT_ID: Final = "verwerkingenlog"
SECRET: Final = "for tests only: not a secret, but long enough"  # says so itself


class AutorisatiesServer(LoopbackServer):
    """The server.

    Attributes:
        applicaties: As the API shows them.
        asked: The clients that it was asked about.
        broken: What it answers instead, if anything.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.applicaties: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.broken: tuple[int, bytes] | None = None

    @property
    def url(self) -> str:
        """Its base."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    def grant(self, client_id: str, **scopes: list[str]) -> None:
        """Register a client with scopes by component; with none it may do everything."""
        self.applicaties.append(
            {
                "url": f"{self.url}/applicaties/{len(self.applicaties)}",
                "clientIds": [client_id],
                "label": client_id,
                "heeftAlleAutorisaties": not scopes,
                "autorisaties": [
                    {"component": name.replace("_", "-"), "scopes": given} for name, given in scopes.items()
                ],
            }
        )


class _Handler(BaseHTTPRequestHandler):
    server: AutorisatiesServer

    def do_GET(self) -> None:
        self._answer(*(self.server.broken or self._found()))

    def _found(self) -> tuple[int, bytes]:
        try:
            token = self.headers["Authorization"].removeprefix("Bearer ")
            if jwt.decode(token, OctKey.import_key(SECRET), algorithms=["HS256"]).claims["client_id"] != CLIENT_ID:
                return 403, b"{}"
        except (JoseError, ValueError, AttributeError):
            return 401, b"{}"
        url = urlsplit(self.path)
        if url.path != "/api/v1/applicaties/consumer":
            return 404, b"{}"
        client_id = parse_qs(url.query)["clientId"][0]
        self.server.asked.append(client_id)
        for applicatie in self.server.applicaties:
            if client_id in applicatie["clientIds"]:
                return 200, json.dumps(applicatie).encode()
        return 404, b'{"status": 404}'

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # the base class's signature
        pass

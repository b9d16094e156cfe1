"""Somebody else's register on loopback: strict as the contract, forgetful or cut off as a test says.

It knows nothing of ours: what it takes is checked against the OpenAPI file of the standard.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from jsonschema import Draft202012Validator

import ldv_otel._internal.gemma
from tests.support.loopback import LoopbackServer

CLIENT_ID: Final = "parkeren"
SECRET: Final = "for tests only: on both sides, and long enough"  # says so itself
_SCHEMAS: Final = json.loads(
    (Path(ldv_otel._internal.gemma.__file__).parent / "provider" / "bewerking-openapi.json").read_text(encoding="utf-8")
)["components"]["schemas"]
_ACTIE: Final = _SCHEMAS["Verwerkingsactie"]
# What is readOnly is not required of who writes, says OpenAPI 3.0; JSON Schema knows nothing of that.
_ACTIE["required"] = [name for name in _ACTIE["required"] if not _ACTIE["properties"].get(name, {}).get("readOnly")]
_POST: Final = Draft202012Validator(
    {"$ref": "#/components/schemas/VerwerkingsactieUitgebreidBasis", "components": {"schemas": _SCHEMAS}}
)
_PAGE: Final = 2

Answer = tuple[int, dict[str, str], dict[str, Any] | None]


class Register(LoopbackServer):
    """The register.

    Attributes:
        acties: What it has, as it was sent, with an `actieId`.
        asked: How often it was asked for a list.
        posted: How often something was sent to it.
        was_posted_to: Set the first time.
        faults: What becomes of the coming POSTs: an answer in place of its own, or `cut before` or `cut after` that
            the connection is. After those it works.
        readable: Whether our client has a read scope.
        away: What it answers to everything, if anything.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.renew()

    def renew(self) -> None:
        """Forget everything."""
        self.acties: list[dict[str, Any]] = []
        self.asked = self.posted = 0
        self.was_posted_to = threading.Event()
        self.faults: list[Answer | str | None] = []
        self.readable = True
        self.away: Answer | None = None
        #: Header and key that a gateway before it asks for.
        self.api_key: tuple[str, str] | None = None

    def store(self, actie: Any) -> Answer:
        """Take a Verwerkingsactie, if it is one."""
        known = _ACTIE["properties"].keys() | {"verwerkteObjecten"}
        faults = [error.json_path for error in _POST.iter_errors(actie)]
        faults += [f"$.{name}" for name in actie.keys() - known]
        if faults:
            invalid = [{"name": fault[2:], "code": "invalid", "reason": "Onjuist."} for fault in faults]
            return 400, {}, {**_fout(400), "invalidParams": invalid}
        stored = {**actie, "actieId": str(uuid.uuid4())}
        self.acties.append(stored)
        return 201, {"Location": f"/api/v1/verwerkingsacties/{stored['actieId']}"}, stored

    def list(self, asked: dict[str, list[str]]) -> Answer:
        """Give a page of the acties about somebody."""
        if not asked.keys() >= {"objecttype", "soortObjectId", "objectId"}:
            return 400, {}, {**_fout(400), "invalidParams": []}
        if not self.readable:
            return 403, {}, _fout(403)
        self.asked += 1
        about = {name: asked[name][0] for name in ("objecttype", "soortObjectId", "objectId")}
        found = [
            actie
            for actie in self.acties
            if any(about.items() <= each.items() for each in actie["verwerkteObjecten"])
            and actie["vertrouwelijkheid"] in asked["vertrouwelijkheid"]
            and asked["beginDatum"][0] <= actie["tijdstip"][:10] < asked["eindDatum"][0]
        ]
        page = int(asked.get("page", ["1"])[0])
        again = "&".join(f"{name}={value[0]}" for name, value in asked.items() if name != "page")
        more = f"https://elsewhere.example/api/v1/verwerkingsacties?{again}&page={page + 1}"
        last = page * _PAGE >= len(found)
        results = found[(page - 1) * _PAGE : page * _PAGE]
        return 200, {}, {"count": len(found), "next": None if last else more, "previous": None, "results": results}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Register

    def do_GET(self) -> None:
        self._answer(self._let_in(lambda: self.server.list(parse_qs(urlsplit(self.path).query))))

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted += 1
        self.server.was_posted_to.set()
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, tuple):
            return self._answer(fault)
        if fault != "cut before":
            answer = self._let_in(lambda: self.server.store(content))
            if fault != "cut after":
                return self._answer(answer)
        self.close_connection = True
        return None

    def _let_in(self, serve: Callable[[], Answer]) -> Answer:
        if self.server.away is not None:
            return self.server.away
        if self.server.api_key is not None and self.headers[self.server.api_key[0]] != self.server.api_key[1]:
            return 403, {"Content-Type": "text/html"}, None
        try:
            token = self.headers["Authorization"].removeprefix("Bearer ")
            claims = jwt.decode(token, OctKey.import_key(SECRET), algorithms=["HS256"]).claims
            if claims["client_id"] != CLIENT_ID or abs(time.time() - claims["iat"]) > 60:
                return 401, {}, _fout(401)
        except (JoseError, AttributeError):
            return 401, {}, _fout(401)
        return serve() if urlsplit(self.path).path == "/api/v1/verwerkingsacties" else (404, {}, _fout(404))

    def _answer(self, answer: Answer) -> None:
        status, headers, body = answer
        content = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        kind = "application/json" if status < 400 else "application/problem+json"
        for name, value in ({"Content-Type": kind, "API-version": "0.9.0"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # the base class's signature
        pass


def _fout(status: int) -> dict[str, Any]:
    return {"code": "fout", "title": "Fout", "status": status, "detail": "Zo niet.", "instance": "urn:uuid:0"}

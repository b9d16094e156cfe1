"""Requests and answers over HTTP, as far as the read API and the APIs of GEMMA read and write them alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.config.settings import ServeSettings

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: Of a header `Accept`: more is not read.
_MAX_ACCEPTED: Final = 50
_WEIGHT: Final = re.compile(r"[01](?:\.[0-9]{0,3})?")


def check_json_body(request: Request) -> None:
    """Check that a body says it is JSON, as it is and not packed.

    Raises:
        Problem: 415.
    """
    if media_type_of(request) != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Stuur application/json.")
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Stuur de inhoud zonder Content-Encoding.")


def media_type_of(request: Request) -> str:
    """Return the media type of a request's body, in lower case and without parameters; empty when it names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def prefers(request: Request, media_type: str, default: str) -> bool:
    """Whether a client asks for a media type by its name, and wants it no less than the default (RFC 9110, 12.5.1)."""
    weights = _weights(request)
    return weights.get(media_type, 0.0) > 0 and weights[media_type] >= weights.get(default, 0.0)


def _weights(request: Request) -> dict[str, float]:
    """Return how much a client wants each media type or range that it names; empty when it names none."""
    weights: dict[str, float] = {}
    for accepted in ",".join(request.headers.getlist("accept")).split(",")[:_MAX_ACCEPTED]:
        name, *parameters = (part.strip().lower() for part in accepted.split(";"))
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if name:
            weights.setdefault(name, float(weight) if _WEIGHT.fullmatch(weight) else 0.0)
    return weights


def json_response(
    content: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    media_type: str = "application/json",
) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type)


def document_response(document: Mapping[str, Any]) -> Response:
    """Return an OpenAPI document, which pages of any site may read (NLGov ADR, /core/publish-openapi)."""
    return json_response(document, headers={"Access-Control-Allow-Origin": "*"})


def server_url(request: Request, settings: ServeSettings) -> str:
    """Return the address of this server as its clients know it, without a slash at its end.

    `LDV_SERVE_URL` goes first. Without it the address is that of the socket on which the request came in, with the path
    under which this application is mounted into another one. Headers such as `Host` or `X-Forwarded-Host` have no say:
    a client that forges one would give others addresses of its own choice, through an answer or a cache.
    """
    return settings.url or f"{_socket_url(request)}{mounted_at(request)}"


def mounted_at(request: Request) -> str:
    """Return the path that stands before the application's own routes, where ASGI servers and mounts leave it."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def _socket_url(request: Request) -> str:
    scheme = request.scope["scheme"]
    host, port = request.scope.get("server") or ("localhost", None)
    if port is None:  # a Unix socket, whose path is in the place of the host
        return f"{scheme}://localhost"
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port == _DEFAULT_PORTS.get(scheme) else f"{scheme}://{host}:{port}"


def query_with(request: Request, **parameters: object) -> str:
    """Return the query of a request's address, without its question mark, with some parameters set anew.

    Not from `request.url`, which is made with the header `Host`.
    """
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in parameters]
    return urlencode([*kept, *((name, str(value)) for name, value in parameters.items())])

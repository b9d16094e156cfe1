"""Requests and answers over HTTP, as far as the read API and the APIs of GEMMA read and write them alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.config.settings import ServeSettings


def media_type_of(request: Request) -> str:
    """Return the media type of a request's body, in lower case and without parameters; empty when it names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def document_response(document: Mapping[str, Any]) -> Response:
    """Return an OpenAPI document, which pages of any site may read (NLGov ADR, /core/publish-openapi)."""
    return json_response(document, headers={"Access-Control-Allow-Origin": "*"})


def server_url(request: Request, settings: ServeSettings) -> str:
    """Return the address of this server as its clients know it, without a slash at its end.

    `LDV_SERVE_URL` goes first. Without it the address is that of the request, with the path under which this
    application is mounted into another one; Starlette's `request.base_url` leaves that path out.
    """
    # ASGI servers and mounts leave the path here that stands before the application's own routes.
    mounted_at = request.scope.get("root_path", "").rstrip("/")
    return settings.url or f"{request.url.scheme}://{request.url.netloc}{mounted_at}"

"""Metadata as linked data over HTTP: the context of answers, and the terms as concepts; anybody may have them."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal import linked_data
from ldv_otel._internal.api.messages import prefers, server_url
from ldv_otel._internal.api.read_api.metadata import logbook_metadata
from ldv_otel._internal.api.read_api.openapi import BASE_PATH
from ldv_otel._internal.api.services import services_of
from ldv_otel._internal.linked_data.context import CONTEXT, MEDIA_TYPE, linked_members
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.read_form import data_processing_operation

router: Final = APIRouter()
_FOR_ALL: Final = {"Access-Control-Allow-Origin": "*"}


@router.get("/context")
async def json_ld_context() -> Response:
    """Return the JSON-LD context that answers of linked data name."""
    return Response(msgspec.json.encode({"@context": CONTEXT}), 200, _FOR_ALL, MEDIA_TYPE)


@router.get("/terms")
async def terms() -> Response:
    """Return the terms of the record and of the Register, as concepts in Turtle."""
    return Response(files(linked_data).joinpath("terms.ttl").read_bytes(), 200, _FOR_ALL, "text/turtle")


def wants_linked_data(request: Request) -> bool:
    """Whether a client asks for linked data rather than for plain JSON."""
    return prefers(request, MEDIA_TYPE, "application/json")


def linked_operation(request: Request) -> partial[dict[str, Any]]:
    """Return what writes a record as linked data, in an answer to a request."""
    return partial(_linked_operation, logbook_metadata(request, services_of(request).settings)["logbookId"])


def context_address(request: Request) -> str:
    """Return where the context is, as clients know this server."""
    return f"{server_url(request, services_of(request).settings.serve)}{BASE_PATH}/context"


def _linked_operation(logbook: str, logregel: Logregel) -> dict[str, Any]:
    return linked_members(logregel, logbook) | data_processing_operation(logregel)

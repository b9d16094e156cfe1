"""The OpenAPI document of the lezen API: the contract of extension *lezen*, and what this server adds to it.

Added are: the rule that one of three keys must be given (LDV-R2), that other fields are refused, pages, the errors
beyond 400 and 401, and a resource that finds records by the trace of a calling party.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

import msgspec

from ldv_otel._internal.config.settings import ServeSettings

BASE_PATH: Final = "/lezenapi/v1"

_DOCUMENT: Final[dict[str, Any]] = msgspec.json.decode((files(__package__) / "lezen-openapi.json").read_bytes())
API_VERSION: Final[str] = _DOCUMENT["info"]["version"]


def own_url(settings: ServeSettings) -> str:
    """Return this API as other parties name it; empty when `LDV_SERVE_URL` does not say."""
    return f"{settings.url}{BASE_PATH}" if settings.url else ""


def openapi_document(server_url: str) -> dict[str, Any]:
    """Return the document for a server.

    Args:
        server_url: Its address, as clients know it.
    """
    return _DOCUMENT | {"servers": [{"url": f"{server_url}{BASE_PATH}"}]}

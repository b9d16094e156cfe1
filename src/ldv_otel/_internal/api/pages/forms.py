"""Forms that our own pages send."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from ldv_otel._internal.api.problem import Problem

_FORM_BYTES: Final = 8_192
_FIELDS: Final = 10


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form, those that are empty left out.

    Raises:
        Problem: 403, another site's page sent it, or nobody can tell; 413, it is too large; 400, it is no form.
    """
    origin = request.headers.get("origin", "")
    ours = request.headers.get("sec-fetch-site") == "same-origin"
    if "sec-fetch-site" not in request.headers:
        ours = bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
    if not ours:
        raise Problem(HTTPStatus.FORBIDDEN, "")
    body = await request.body()
    if len(body) > _FORM_BYTES:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "")
    try:
        return {name: values[0] for name, values in parse_qs(body.decode("ascii"), max_num_fields=_FIELDS).items()}
    except ValueError:
        raise Problem(HTTPStatus.BAD_REQUEST, "") from None

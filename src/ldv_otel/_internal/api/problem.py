"""Errors as clients see them: problem+json (RFC 9457), with nothing about the server that a client does not need.

Source: NLGov REST API Design Rules, /core/error-handling.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel.errors import LdvError, LogboekUnavailable, QueryError

_logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5
#: In the scope of a request: why a client was not let in.
REFUSAL: Final = "ldv.refusal"


class InputError(msgspec.Struct, frozen=True, omit_defaults=True, rename={"where": "in"}):
    """One thing that is wrong with a request.

    Attributes:
        where: `body`, `query`, `path` or `header`.
        detail: What is wrong with it, without the value: that may be an identifier.
        location: JSON pointer in a body, or the name of a parameter.
        code: A word for programs.
    """

    where: str
    detail: str
    location: str = ""
    code: str = ""


class Problem(Exception):  # RFC 9457's word
    """Ends a request with this answer.

    Args:
        status: The HTTP status.
        detail: A sentence for the client's developer; in Dutch, as the API's documentation.
        errors: What is wrong with the input, all of it.
        headers: More headers.
        reason: Why, for the log of this server; never anything that the client sent. Empty where `detail` says it all.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[InputError] = (),
        headers: Mapping[str, str] | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(detail)
        self.reason = reason or detail
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def content(self) -> dict[str, Any]:
        """Return the content of the answer; `code` is for programs, `instance` names this one in a conversation."""
        content: dict[str, Any] = {
            "status": self.status.value,
            "code": self.status.name.lower(),
            "title": _TITLES.get(self.status, self.status.phrase),
            "detail": self.detail,
            "instance": uuid.uuid4().urn,
        }
        if self.errors:
            content["errors"] = self.errors
        return content

    def response(self) -> Response:
        """Return the answer."""
        return Response(msgspec.json.encode(self.content()), self.status.value, self.headers, MEDIA_TYPE)


def unavailable() -> Problem:
    """Return the answer for a Logboek that does not answer (in time)."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Het Logboek kan nu niet (op tijd) antwoorden. Probeer het later opnieuw, of stel een engere vraag.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error that is raised on purpose with problem+json."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(LdvError, _on_our_error)


def log_refusal(request: Request, problem: Problem) -> None:
    """Set the reason that the access log names when a client is not let in; other problems leave none."""
    if problem.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        request.scope[REFUSAL] = problem.reason


async def _on_problem(request: Request, error: Exception) -> Response:
    problem = error if isinstance(error, Problem) else unavailable()
    log_refusal(request, problem)
    return problem.response()


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = error.headers if isinstance(error, HTTPException) else None
    return Problem(status, _DETAILS.get(status, "Het verzoek kon niet worden uitgevoerd."), headers=headers).response()


async def _on_our_error(_request: Request, error: Exception) -> Response:
    # Without its message, which may come from the engine and quote the query, and with it an identifier.
    if isinstance(error, QueryError):
        return Problem(HTTPStatus.BAD_REQUEST, "De vraag is niet goed gevormd.").response()
    # The message names the Logboek and the way out: it is for the owner of the server, and a client can only wait.
    _logger.error("%s", error) if isinstance(error, LogboekUnavailable) else _logger.critical("%s", error)
    return unavailable().response()


def unexpected(error: Exception) -> Problem:
    """Return the answer to an error that no code raises on purpose, and log where it was raised.

    Its message and traceback are left out of the log: they may show what was asked for.
    """
    _logger.critical("Unexpected error: %s", type_and_places(error))
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Er ging iets mis bij het uitvoeren van het verzoek.")


_TITLES: Final = {
    HTTPStatus.BAD_REQUEST: "Ongeldig verzoek",
    HTTPStatus.UNAUTHORIZED: "Niet geauthenticeerd",
    HTTPStatus.FORBIDDEN: "Geen recht",
    HTTPStatus.NOT_FOUND: "Niet gevonden",
    HTTPStatus.METHOD_NOT_ALLOWED: "Methode niet toegestaan",
    HTTPStatus.NOT_ACCEPTABLE: "Vorm niet beschikbaar",
    HTTPStatus.CONFLICT: "Conflict",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Verzoek te groot",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Soort inhoud niet ondersteund",
    HTTPStatus.TOO_MANY_REQUESTS: "Te veel verzoeken",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Interne fout",
    HTTPStatus.SERVICE_UNAVAILABLE: "Niet beschikbaar",
}
_DETAILS: Final = {
    HTTPStatus.NOT_FOUND: "Op dit adres is niets te vinden.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Deze methode kan hier niet; de header Allow zegt wat wel kan.",
}

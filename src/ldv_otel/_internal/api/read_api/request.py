"""What a client of the lezen API may ask, taken from the JSON it sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request

from ldv_otel import attributes as names
from ldv_otel._internal.api.messages import media_type_of
from ldv_otel._internal.api.problem import InputError, Problem
from ldv_otel._internal.clickhouse.queries.models import parse_trace_id
from ldv_otel._internal.times.instants import TIME_MAX_MS
from ldv_otel.errors import QueryError

_MAX_TEXT: Final = 4_096
_HARMLESS_NAME: Final = re.compile(r"[A-Za-z_.]{1,64}")
#: Records also hold activities that are no URIs beyond this, and those can be asked for.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HEX: Final = re.compile(r"[0-9a-fA-F]{32}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class LezenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for records; times in ms since 1970-01-01 UTC.

    Attributes:
        trace_id: 16 bytes; empty when not given, as the other fields.
        subject: Identifier or pseudonym, as the client sent it.
    """

    trace_id: bytes = b""
    activity: str = ""
    subject: str = ""
    subject_type: str = ""
    processor: str = ""
    read_api: str = ""
    since_ms: int | None = None
    ended_by_ms: int | None = None

    def __repr__(self) -> str:
        """Leave out what it asks for: it may hold an identifier."""
        return "LezenRequest()"


async def json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body.

    Raises:
        Problem: 415 another kind of content, 400 no JSON object.
    """
    if media_type_of(request) != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Stuur de vraag als application/json.")
    try:
        found = json.loads(await request.body(), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        raise _bad_request([InputError("body", "Dit is geen JSON.", code="json")]) from None
    if not isinstance(found, dict):
        raise _bad_request([InputError("body", "Dit is geen JSON-object.", code="type")])
    return found


def lezen_request(content: Mapping[str, Any]) -> LezenRequest:
    """Return what is asked for; every field is checked, and everything that is wrong is told at once.

    Raises:
        Problem: 400. It names fields and never shows a value: that may be an identifier.
    """
    found: dict[str, Any] = {}
    errors: list[InputError] = []
    for name, value in content.items():
        if name not in _FIELDS:
            errors.append(InputError("body", "Dit veld bestaat niet.", _pointer(name), "unknown"))
            continue
        field, parse = _FIELDS[name]
        try:
            found[field] = parse(value)
        except ValueError as error:
            errors.append(InputError("body", str(error), _pointer(name), "invalid"))
    if not errors and not any(name in content for name in KEYS):
        errors.append(InputError("body", f"Geef ten minste één van {', '.join(KEYS)} (LDV lezen).", code="required"))
    if errors:
        raise _bad_request(errors)
    return LezenRequest(**found)


def _bad_request(errors: list[InputError]) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, " ".join(error.detail for error in errors[:3]), errors=errors[:20])


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _pointer(name: str) -> str:
    # A name comes from the client too: one with digits in it could be an identifier in the wrong place.
    return f"/{name}" if name in _FIELDS or _HARMLESS_NAME.fullmatch(name) else ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("Dit moet tekst zijn.")  # noqa: TRY004  (the caller tells what is wrong with a value)
    if not value or len(value) > _MAX_TEXT:
        raise ValueError(f"Deze tekst is leeg of langer dan {_MAX_TEXT} tekens.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("Deze tekst is geen geldige Unicode.") from None
    return value


def _uri(value: object) -> str:
    text = _text(value)
    if not _SCHEME.match(text):
        raise ValueError("Dit is geen URI: die begint met een schema, zoals https:.")
    return text


def parse_trace_id_field(value: object) -> bytes:
    """Return the bytes of a trace id: a UUID, as the contract has it, or 32 hex digits, as W3C Trace Context has it.

    Raises:
        ValueError: It is neither.
    """
    text = _text(value)
    if not _UUID.fullmatch(text) and not _HEX.fullmatch(text):
        raise ValueError("Dit is geen trace-id: een UUID, of 32 hexadecimale cijfers.")
    try:
        return parse_trace_id(text)
    except QueryError as error:
        raise ValueError("Dit is geen trace-id.") from error


def _milliseconds(value: object) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("Dit is geen tijdstip: een geheel getal van 64 bits, in milliseconden sinds 1970-01-01 UTC.")
    # No record lies beyond these, so that further away asks for the same.
    return min(max(value, -1), TIME_MAX_MS + 1)


#: The contract's names (and those of extension lezen), with the field that each becomes.
_FIELDS: Final[dict[str, tuple[str, Callable[[object], Any]]]] = {
    "traceId": ("trace_id", parse_trace_id_field),
    names.PROCESSING_ACTIVITY_ID: ("activity", _uri),
    names.DATA_SUBJECT_ID: ("subject", _text),
    names.DATA_SUBJECT_ID_TYPE: ("subject_type", _text),
    names.FOREIGN_OPERATION_PROCESSOR: ("processor", _uri),
    names.EXTERNAL_READ_API_ID: ("read_api", _uri),
    "startTime": ("since_ms", _milliseconds),
    "endTime": ("ended_by_ms", _milliseconds),
}
#: A request needs at least one of these (LDV-R2).
KEYS: Final = ("traceId", names.PROCESSING_ACTIVITY_ID, names.DATA_SUBJECT_ID)

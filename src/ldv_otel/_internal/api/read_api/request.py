"""What a client of the lezen API asks for, from the JSON that it sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request

import ldv_otel.attributes as names
from ldv_otel._internal.api.constraints import check
from ldv_otel._internal.api.messages import media_type_of
from ldv_otel._internal.api.problem import InputError, Problem
from ldv_otel._internal.times.instants import TIME_MAX_MS

_MAX_TEXT: Final = 4_096
_HARMLESS_NAME: Final = re.compile(r"[A-Za-z_.]{1,64}")

Text = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=_MAX_TEXT,
        description=f"Dit is geen tekst, of een lege, of een van meer dan {_MAX_TEXT} tekens.",
    ),
]
#: The contract says URI; but records also hold activities that are none beyond this, and those can be asked for.
Uri = Annotated[
    str,
    msgspec.Meta(
        max_length=_MAX_TEXT,
        pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:",
        description=f"Dit is geen URI van hoogstens {_MAX_TEXT} tekens: die begint met een schema, zoals https:.",
    ),
]
#: A UUID, as the contract has it, or as W3C Trace Context has it.
TraceId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?![0-]+\Z)(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\Z",
        description="Dit is geen trace-id: een UUID, of 32 hexadecimale cijfers.",
    ),
]
SpanId = Annotated[
    str,
    msgspec.Meta(pattern=r"^(?!0+\Z)[0-9a-fA-F]{16}\Z", description="Dit is geen span-id van 16 hexadecimale cijfers."),
]
Milliseconds = Annotated[
    int,
    msgspec.Meta(
        ge=-(2**63),
        le=2**63 - 1,
        description="Dit is geen tijdstip: een geheel getal van 64 bits, in milliseconden sinds 1970-01-01 UTC.",
        extra_json_schema={"format": "int64"},
    ),
]


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
        """Leave the fields out: they may hold an identifier."""
        return "LezenRequest()"


async def json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body.

    Raises:
        Problem: 415 another kind of content, 400 no JSON object.
    """
    if media_type_of(request) != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Stuur de vraag als application/json.")
    try:
        # Not msgspec, which takes the last of two equal names: a check before us may have looked at the first.
        content = json.loads(await request.body(), object_pairs_hook=_without_doubles, parse_float=_number)
    except (ValueError, RecursionError):
        raise _bad_request([InputError("body", "Dit is geen JSON.", code="json")]) from None
    if not isinstance(content, dict):
        raise _bad_request([InputError("body", "Dit is geen JSON-object.", code="type")])
    return content


def lezen_request(content: Mapping[str, Any]) -> LezenRequest:
    """Return the request in decoded JSON; every field is checked, and everything that is wrong is named at once.

    Raises:
        Problem: 400. It names fields and never shows a value: that may be an identifier.
    """
    fields: dict[str, Any] = {}
    errors: list[InputError] = []
    for name, value in content.items():
        if name not in FIELDS:
            errors.append(InputError("body", "Dit veld bestaat niet.", _pointer(name), "unknown"))
            continue
        type_, field, parse = FIELDS[name]
        try:
            check(type_, value)
            fields[field] = parse(value)
        except ValueError as error:
            errors.append(InputError("body", str(error), _pointer(name), "invalid"))
    if not errors and not any(name in content for name in KEYS):
        errors.append(InputError("body", f"Geef ten minste één van {', '.join(KEYS)} (LDV lezen).", code="required"))
    if errors:
        raise _bad_request(errors)
    return LezenRequest(**fields)


def _bad_request(errors: list[InputError]) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, " ".join(error.detail for error in errors[:3]), errors=errors[:20])


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name twice")
    return content


def _number(text: str) -> float:
    """Return a number; `1.0` and `1e3` are integers in JSON Schema."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _pointer(name: str) -> str:
    # A name comes from the client too: one with digits in it could be an identifier that was sent as a name.
    return f"/{name}" if name in FIELDS or _HARMLESS_NAME.fullmatch(name) else ""


def parse_trace_id_field(value: object) -> bytes:
    """Return the bytes of a trace id.

    Raises:
        ValueError: It is none.
    """
    check(TraceId, value)
    return bytes.fromhex(str(value).replace("-", ""))


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Deze tekst is geen geldige Unicode.") from None
    return text


def _milliseconds(number: int) -> int:
    # No record lies beyond these limits, so they ask for the same records, in times that the table can compare.
    return min(max(number, -1), TIME_MAX_MS + 1)


#: The contract's names (and those of extension lezen), with what each may be, and the field that it becomes.
FIELDS: Final[dict[str, tuple[Any, str, Callable[[Any], Any]]]] = {
    "traceId": (TraceId, "trace_id", parse_trace_id_field),
    names.PROCESSING_ACTIVITY_ID: (Uri, "activity", _text),
    names.DATA_SUBJECT_ID: (Text, "subject", _text),
    names.DATA_SUBJECT_ID_TYPE: (Text, "subject_type", _text),
    names.FOREIGN_OPERATION_PROCESSOR: (Uri, "processor", _text),
    names.EXTERNAL_READ_API_ID: (Uri, "read_api", _text),
    "startTime": (Milliseconds, "since_ms", _milliseconds),
    "endTime": (Milliseconds, "ended_by_ms", _milliseconds),
}
#: A request needs at least one of these (LDV-R2).
KEYS: Final = ("traceId", names.PROCESSING_ACTIVITY_ID, names.DATA_SUBJECT_ID)

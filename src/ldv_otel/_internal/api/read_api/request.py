"""What a client of the lezen API asks for, from the JSON that it sent."""

from __future__ import annotations

import functools
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request

import ldv_otel.attributes as names
from ldv_otel._internal.api.constraints import Moment, TraceId, check, check_moment, parse_trace_id_field
from ldv_otel._internal.api.messages import check_json_body
from ldv_otel._internal.api.problem import InputError, Problem
from ldv_otel._internal.privacy.pseudonyms import PSEUDONYM_BYTES, digits_of, normalise_identifier, normalise_type
from ldv_otel._internal.record.spellings import CANONICAL, CONTAINERS, flat_members
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
    transaction_id: str = ""
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
    check_json_body(request)
    try:
        # Not msgspec, which takes the last of two equal names: a check before us may have looked at the first.
        content = json.loads(await request.body(), object_pairs_hook=_without_doubles, parse_float=_number)
    except (ValueError, RecursionError):
        raise bad_request([InputError("body", "Dit is geen JSON.", code="json")]) from None
    if not isinstance(content, dict):
        raise bad_request([InputError("body", "Dit is geen JSON-object.", code="type")])
    return content


def lezen_request(content: Mapping[str, Any], pointer: str = "") -> LezenRequest:
    """Return the request in decoded JSON; every member is checked, and everything that is wrong is named at once.

    Taken are the forms of 2025 (`dpl.core.processing_activity_id` at the top, times in ms) and of 2026 (nested below
    `attributes`, times in RFC 3339), each also in the spellings that others send, and a mixture of them, at both
    addresses. A value that stands there twice has to be the same twice (LDV-N2).

    Args:
        content: What `json_object` returns, or a part of it.
        pointer: Where that part is, as RFC 6901 has it.

    Raises:
        Problem: 400. It names members and never shows a value: that may be an identifier.
    """
    fields, errors = read_members(content, pointer)
    if not errors:
        errors = missing_key(fields, pointer) or malformed_subject(fields, pointer)
    if errors:
        raise bad_request(errors)
    return LezenRequest(**fields)


def read_members(content: Mapping[str, Any], pointer: str = "") -> tuple[dict[str, Any], list[InputError]]:
    """Return the fields of a `LezenRequest` that some JSON has, and everything that is wrong with it."""
    fields: dict[str, Any] = {}
    errors: list[InputError] = []
    for name, path, value in _members(content):
        at = pointer + "".join(f"/{step}" for step in path)
        if name not in SPELLINGS:
            # A name comes from the client too: one with digits in it could be an identifier that was sent as a name.
            is_harmless = all(_HARMLESS_NAME.fullmatch(step) for step in path)
            detail = "Dit moet een object zijn." if name in _CONTAINERS else "Dit veld bestaat niet."
            errors.append(InputError("body", detail, at if is_harmless else "", "unknown"))
            continue
        field = SPELLINGS[name]
        try:
            parsed = _PARSERS[field](value)
        except ValueError as error:
            errors.append(InputError("body", str(error), at, "invalid"))
            continue
        if fields.setdefault(field, parsed) != parsed:
            errors.append(InputError("body", "Dit staat er twee keer, met verschillende waarden.", at, "ambiguous"))
    return fields, errors


def malformed_subject(fields: Mapping[str, Any], pointer: str = "") -> list[InputError]:
    """Return what is wrong when the identifier cannot be one of its type: nobody has it, so an empty answer misleads.

    A pseudonym is taken with any type. Whether the digits of a BSN pass the test of eleven does not count: an
    application may have logged such a number, and its records have to be found.
    """
    type_, _ = normalise_type(fields.get("subject_type", ""))
    digits = digits_of(type_)
    subject = fields.get("subject", "")
    if not subject or digits is None or PSEUDONYM.fullmatch(subject):
        return []
    normal, _ = normalise_identifier(type_, subject)
    if len(normal) == digits and normal.isdigit():
        return []
    return [InputError("body", f"Dit is geen {type_}: dat heeft {digits} cijfers.", pointer, MALFORMED_IDENTIFIER)]


def missing_key(fields: Mapping[str, Any], pointer: str = "") -> list[InputError]:
    """Return what is wrong when none of the members is there of which a request needs one (LDV-R2)."""
    if not KEYS.isdisjoint(fields):
        return []
    detail = "Geef ten minste één van traceId, processingActivityId en dataSubjectId (LDV lezen)."
    return [InputError("body", detail, pointer, "required")]


def _members(content: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], object]]:
    """Give each value that is no container: its name with dots, where it stands, and itself."""
    for name, path, value in flat_members(content, _CONTAINERS):
        # Only names of the standard may stand below `attributes` or at the top.
        yield name.removeprefix(f"{ATTRIBUTES}.") if ".dpl" in name else name, path, value


def bad_request(errors: list[InputError]) -> Problem:
    """Return the answer to a request with these mistakes: 400, with the first of them named."""
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


def _text(type_: Any, value: object) -> str:
    check(type_, value)
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Deze tekst is geen geldige Unicode.") from None
    return text


def _begin(value: object) -> int:
    """Return the first whole ms that is not before a moment."""
    return _time(value, later=isinstance(value, str) and _PART_OF_MS.search(value) is not None)


def _end(value: object) -> int:
    """Return the last whole ms that is not after a moment."""
    return _time(value, later=False)


def _time(value: object, *, later: bool) -> int:
    if isinstance(value, str):
        check(Moment, value)
        time_ms = check_moment(value) + later
    else:
        time_ms = _checked_ms(value)
    # No record lies beyond these limits, so they ask for the same records, in times that the table can compare.
    return min(max(time_ms, -1), TIME_MAX_MS + 1)


def _checked_ms(value: object) -> int:
    check(Milliseconds, value)
    return int(str(value))


#: The code of that mistake, of which a schema of members says nothing.
MALFORMED_IDENTIFIER: Final = "malformed_identifier"
#: The pseudonym of a person, as answers have it.
PSEUDONYM: Final = re.compile(f"[0-9a-fA-F]{{{2 * PSEUDONYM_BYTES}}}")

#: In a time of RFC 3339: something beyond whole ms.
_PART_OF_MS: Final = re.compile(r"\.[0-9]{3}[0-9]*[1-9]")

#: The member below which attributes of the form of 2026 stand, and what may contain others.
ATTRIBUTES: Final = "attributes"
_CONTAINERS: Final = frozenset({ATTRIBUTES, *CONTAINERS, *(f"{ATTRIBUTES}.{name}" for name in CONTAINERS)})

#: What a value of each field of `LezenRequest` may be, and what becomes of it.
_PARSERS: Final[dict[str, Callable[[object], Any]]] = {
    "trace_id": parse_trace_id_field,
    "activity": functools.partial(_text, Uri),
    "subject": functools.partial(_text, Text),
    "subject_type": functools.partial(_text, Text),
    "processor": functools.partial(_text, Uri),
    "read_api": functools.partial(_text, Uri),
    "transaction_id": lambda value: str(uuid.UUID(bytes=parse_trace_id_field(value))),
    "since_ms": _begin,
    "ended_by_ms": _end,
}
_FIELDS: Final = {
    names.PROCESSING_ACTIVITY_ID: "activity",
    names.DATA_SUBJECT_ID: "subject",
    names.DATA_SUBJECT_ID_TYPE: "subject_type",
    names.FOREIGN_OPERATION_PROCESSOR: "processor",
    names.NEXT_LOGBOOK_ID: "read_api",
    names.FSC_TRANSACTION_ID: "transaction_id",
}
#: How each field is spelled: as the form of 2025 has it, as that of 2026 has it, and as others send it.
SPELLINGS: Final[dict[str, str]] = {
    "traceId": "trace_id",
    "trace_id": "trace_id",
    "startTime": "since_ms",
    "start_time": "since_ms",
    "endTime": "ended_by_ms",
    "end_time": "ended_by_ms",
} | {spelling: _FIELDS[name] for spelling, name in CANONICAL.items() if name in _FIELDS}
#: What the documents of both forms say of a value, by its field.
TYPES: Final[dict[str, Any]] = {
    "trace_id": TraceId,
    "activity": Uri,
    "subject": Text,
    "subject_type": Text,
    "processor": Uri,
    "read_api": Uri,
    "transaction_id": TraceId,
    "since_ms": Milliseconds,
    "ended_by_ms": Milliseconds,
}
#: A request needs at least one of these (LDV-R2); the last is of an extension of ours (LDV-N16).
KEYS: Final = frozenset({"trace_id", "activity", "subject", "transaction_id"})

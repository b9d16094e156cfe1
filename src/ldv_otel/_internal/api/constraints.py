"""What a value in a request may be: the server checks these types, and its OpenAPI document is made from them.

So the document forbids nothing that the server accepts, nor the other way round. A type is `Annotated[str, Meta(...)]`;
its description is the reason for a refusal. What only a calendar knows is in `_CALENDAR`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Final, get_args

import msgspec

from ldv_otel._internal.times.instants import ms_from_rfc3339

#: Words of a schema that tell what a value is; the others say what is allowed.
_DESCRIBING: Final = frozenset({"title", "description", "example", "externalDocs", "readOnly"})
_MS_A_DAY: Final = 86_400_000
_MS_A_SECOND: Final = 1_000
_H16: Final = r"[0-9A-Fa-f]{1,4}"
_LS32: Final = (
    rf"(?:{_H16}:{_H16}|(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){{3}}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9]))"
)
_IPV6: Final = "|".join(
    [
        rf"(?:{_H16}:){{6}}{_LS32}",
        *(rf"(?:(?:{_H16}:){{0,{left - 1}}}{_H16})?::(?:{_H16}:){{{5 - left}}}{_LS32}" for left in range(1, 6)),
        rf"::(?:{_H16}:){{5}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}",
        rf"(?:(?:{_H16}:){{0,6}}{_H16})?::",
    ]
)
_UNIT: Final = r"[A-Za-z0-9._~!$&'()*+,;=-]"
_ESCAPED: Final = r"%[0-9A-Fa-f]{2}"
_PCHAR: Final = rf"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|{_ESCAPED})"
_AUTHORITY: Final = (
    rf"(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|{_ESCAPED})*@)?"
    rf"(?:\[(?:{_IPV6}|[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]|(?:{_UNIT}|{_ESCAPED})*)(?::[0-9]*)?"
)
#: The grammar of RFC 3986, appendix A.
_URI: Final = (
    rf"^[A-Za-z][A-Za-z0-9+.-]*:(?://{_AUTHORITY}(?:/{_PCHAR}*)*|/?(?:{_PCHAR}+(?:/{_PCHAR}*)*)?)"
    rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:\#(?:{_PCHAR}|[/?])*)?\Z"
)

Uuid = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z",
        description="Dit is geen UUID.",
        extra_json_schema={"format": "uuid"},
    ),
]
Uri = Annotated[
    str,
    msgspec.Meta(
        max_length=2042,
        pattern=_URI,
        description="Dit is geen URI van hoogstens 2042 tekens.",
        extra_json_schema={"format": "uri"},
    ),
]
Date = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}\Z",
        description="Dit is geen datum, zoals 2020-10-24.",
        extra_json_schema={"format": "date"},
    ),
]
Moment = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})\Z",
        description="Dit is geen tijdstip met tijdzone volgens RFC 3339, zoals 2024-04-05T14:35:42+02:00.",
        extra_json_schema={"format": "date-time"},
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


def check(type_: Any, value: object) -> None:
    """Check that a value is of a type.

    Raises:
        ValueError: It is not; the message is for the client, and never holds the value.
    """
    try:
        text = msgspec.convert(value, type_)
        for each, check_calendar in _CALENDAR:
            if type_ is each:
                check_calendar(text)
    except ValueError:
        raise ValueError(_reason(type_)) from None


def parse_trace_id_field(value: object) -> bytes:
    """Return the bytes of a trace id.

    Raises:
        ValueError: It is none.
    """
    check(TraceId, value)
    return bytes.fromhex(str(value).replace("-", ""))


def check_moment(text: str) -> int:
    """Return the ms since 1970-01-01 UTC of a text that has the pattern of a `Moment`.

    Raises:
        ValueError: No such moment exists: a leap second is the last of a day in UTC.
    """
    time_ms = ms_from_rfc3339(text)
    if text[17:19] == "60" and time_ms % _MS_A_DAY >= _MS_A_SECOND:
        raise ValueError("no leap second")
    return time_ms


def schema_of(type_: Any) -> dict[str, Any]:
    """Return what a type allows, as a schema of OpenAPI 3.0."""
    schema = msgspec.json.schema(type_)
    options = schema.get("anyOf", [schema])
    (text,) = (option for option in options if option != {"type": "null"})
    allowed = {name: value for name, value in text.items() if name not in {"description", "default"}}
    # An enumeration of texts has no type in JSON Schema; in OpenAPI 3.0 generators of clients ask for it.
    allowed.setdefault("type", "string")
    if allowed.get("format") == "uri":
        del allowed["pattern"]  # which says in 1,600 characters what the format says
    elif "pattern" in allowed:
        # Python's `$` also matches before a line feed at the end; that of ECMA 262 does not.
        allowed["pattern"] = allowed["pattern"].replace(r"\Z", "$")
    return allowed | {"nullable": True} if len(options) > 1 else allowed


def constrained(schema: dict[str, Any], type_: Any) -> dict[str, Any]:
    """Return a schema that describes a value as another does, and allows what a type does."""
    return {name: value for name, value in schema.items() if name in _DESCRIBING} | schema_of(type_)


def in_any_case(*words: str) -> str:
    """Return the regular expression of some words, each in capitals, small letters or both."""
    return "|".join("".join(f"[{letter.upper()}{letter}]" for letter in word) for word in words)


def _reason(type_: Any) -> str:
    """Return what a type asks for; a type with `None` or empty text beside it asks for the same."""
    for part in (type_, *get_args(type_)):
        for meta in getattr(part, "__metadata__", ()):
            return str(meta.description)
    return "Dit is geen tekst."


_CALENDAR: Final[tuple[tuple[Any, Callable[[str], object]], ...]] = (
    (Date, date.fromisoformat),
    (Moment, check_moment),
)

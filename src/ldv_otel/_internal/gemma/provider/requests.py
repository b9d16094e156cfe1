"""What a request of either API asks for: its body, parameters and headers, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.requests import Request

from ldv_otel._internal.api.constraints import Date, Moment, Uuid, check_moment, in_any_case
from ldv_otel._internal.api.messages import check_json_body
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.provider.validation import Faults, ValidatieFout, invalid
from ldv_otel._internal.times.instants import now_ms, within_record_time

#: Parameter of the addresses of further pages.
MOMENT: Final = "peilmoment"
_PAGE_SIZE: Final = 100
#: All acties about a person are read for each page, so a page may be large.
_MAX_PAGE_SIZE: Final = 1_000
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,8}")
_TRACEPARENT: Final = "traceparent"
_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()

# In parameters and headers, words may be in capitals (D-02).
Objecttype = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^(?:{in_any_case('persoon')})\Z",
        description="Het enige objecttype is persoon.",
        extra_json_schema={"example": "persoon"},
    ),
]
_KIND: Final = rf" *(?:{in_any_case('normaal', 'vertrouwelijk', 'opgeheven')}) *"
#: Several words may be in one value (D-03).
VertrouwelijkheidList = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^{_KIND}(?:,{_KIND})*\Z",
        description="Kies uit normaal, vertrouwelijk en opgeheven.",
        extra_json_schema={"example": "normaal"},
    ),
]
#: The parameters of lists that are text, with what each may be.
QUERY: Final[dict[str, Any]] = {
    "objecttype": Objecttype,
    "soortObjectId": model.Naam,
    "objectId": model.Identificator,
    "beginDatum": Date,
    "eindDatum": Date,
    "verwerkingsactiviteitId": Uuid,
    "vertrouwelijkheid": VertrouwelijkheidList,
    "vertrouwelijkheid__in": VertrouwelijkheidList,
    MOMENT: Moment,
}
_PERSON: Final = ("objecttype", "soortObjectId", "objectId")
_PERIOD: Final = ("beginDatum", "eindDatum")
#: What the Inzage API has no parameters for; unknown ones are ignored (GI-12).
KIND_PARAMETERS: Final = ("vertrouwelijkheid", "vertrouwelijkheid__in")


class Person(msgspec.Struct, frozen=True):
    """The person about whom a client asks."""

    soort_object_id: str
    object_id: str

    def __repr__(self) -> str:
        """Leave the identifier out: this may end up in a log or traceback."""
        return "Person()"


class VerwerkingsactiesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query for a page of Verwerkingsacties about a person.

    Attributes:
        begin: They took place then or later.
        end: They took place before then.
        activity: A `verwerkingsactiviteitId` in lower case; empty for all.
        kinds: Of `vertrouwelijkheid`; None when the client named none.
        page: From 1.
        moment_ms: When the first page was asked for, in ms since 1970. What took place and was logged since, such as
            the queries for pages themselves, is on none of them.
    """

    person: Person
    begin: datetime | None
    end: datetime | None
    activity: str
    kinds: frozenset[str] | None
    page: int
    page_size: int
    moment_ms: int


class DoelbindingHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The headers in which a caller names itself and its purpose (1.4)."""

    oin: str = ""
    activity_id: str | None = None
    activity_url: str | None = None
    verwerking_id: str | None = None
    vertrouwelijkheid: Literal["normaal", "vertrouwelijk"] = "normaal"
    bewaartermijn: str | None = None


def check_media_types(request: Request) -> None:
    """Check that the client takes JSON, and that its body is JSON.

    Raises:
        Problem: 406 or 415.
    """
    accepted = request.headers.get("accept", "*/*")
    ranges = [part.split(";") for part in accepted.lower().split(",")]
    fitting = {"*/*", "application/*", "application/json"}
    if not any(kind.strip() in fitting and not _is_refused(options) for kind, *options in ranges):
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, "Deze API antwoordt met application/json.")
    if request.method in {"POST", "PUT", "PATCH"}:
        check_json_body(request)


async def json_of(request: Request) -> object:
    """Return the decoded body.

    Raises:
        ValidatieFout: It is no JSON.
    """
    try:
        return msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("body", "Dit is geen JSON.", code="json") from None


def calling_span_of(request: Request) -> model.CallingSpan | None:
    """Return the span that makes this call, by its `traceparent` (W3C Trace Context); None without a valid one."""
    # An empty context, because a server that is instrumented has a span of its own in the current one.
    context = _TRACE_CONTEXT.extract({_TRACEPARENT: request.headers.get(_TRACEPARENT, "")}, Context())
    caller = get_current_span(context).get_span_context()
    if not caller.is_valid:
        return None
    return model.CallingSpan(caller.trace_id.to_bytes(16, "big"), caller.span_id.to_bytes(8, "big"))


def id_of(request: Request, name: str) -> str:
    """Return the UUID in the path, in lower case.

    Raises:
        ValidatieFout: It is none.
    """
    try:
        return model.element(Uuid, request.path_params[name], name).lower()
    except model.InvalidInput as error:
        raise ValidatieFout(error.faults) from None


def query_of(request: Request, zone: ZoneInfo, *, inzage: bool) -> tuple[VerwerkingsactiesQuery, DoelbindingHeaders]:
    """Return what a client asks for in a list, and its doelbinding.

    Args:
        inzage: A period and some of the headers have to be there (GI-05, GI-15).

    Raises:
        ValidatieFout: Something is wrong with it.
    """
    faults = Faults()
    query = _query(request, faults, zone, inzage=inzage)
    doelbinding = doelbinding_of(request, faults, required=inzage)
    faults.refuse()
    return query, doelbinding


def _query(request: Request, faults: Faults, zone: ZoneInfo, *, inzage: bool) -> VerwerkingsactiesQuery:
    """Return what a client asks for in a list; parameters that are wrong have their default in it."""
    needed = {*_PERSON, *(_PERIOD if inzage else ())}
    values: dict[str, list[str]] = {}
    for name, type_ in QUERY.items():
        if inzage and name in KIND_PARAMETERS:
            continue
        with faults.gathered():
            values[name] = values_of(request, name, type_, required=name in needed, several=name == KIND_PARAMETERS[0])
    page, size = 1, _PAGE_SIZE
    with faults.gathered():
        page = _whole(request, "page", 1)
    with faults.gathered():
        size = min(_whole(request, "pageSize", _PAGE_SIZE), _MAX_PAGE_SIZE)
    text = {name: texts[0] for name, texts in values.items() if texts}
    begin, end = (
        datetime.combine(date.fromisoformat(text[name]), time(), zone) if name in text else None for name in _PERIOD
    )
    return VerwerkingsactiesQuery(
        person=Person(text.get("soortObjectId", ""), text.get("objectId", "")),
        begin=begin,
        end=end,
        activity=text.get("verwerkingsactiviteitId", "").lower(),
        kinds=_kinds([values[name] for name in KIND_PARAMETERS if values.get(name)]),
        page=page,
        page_size=size,
        # Within what records have, because it goes back out in links, and year 10000 has no RFC 3339.
        moment_ms=within_record_time(check_moment(text[MOMENT])) if MOMENT in text else now_ms(),
    )


def doelbinding_of(request: Request, faults: Faults, *, required: bool) -> DoelbindingHeaders:
    """Return the headers in which a caller names itself and its purpose; those that are wrong are left out.

    Args:
        required: OIN, id and URL of the Verwerkingsactiviteit have to be there (GI-15).
    """
    values: dict[str, Any] = {}
    for name, (field, type_, needed) in HEADERS.items():
        # A header that comes twice is one value with a comma (RFC 9110, section 5.3), which hardly any type allows.
        text = ",".join(request.headers.getlist(name)).strip(" \t")
        if not text:
            if required and needed:
                faults.add(name, "required", f"De header {name} ontbreekt.")
            continue
        with faults.gathered():
            value = model.element(type_, text, name)
            values[field] = value.lower() if type_ is model.StatedConfidentiality else value
    return DoelbindingHeaders(**values)


#: Of questions, with the field of each, what it may be, and whether a list of the Inzage API has to have it (1.4).
HEADERS: Final[dict[str, tuple[str, Any, bool]]] = {
    name: (field, model.DOELBINDING_HEADERS[name], needed)
    for name, field, needed in (
        ("OIN", "oin", True),
        ("VerwerkingsactiviteitId", "activity_id", True),
        ("VerwerkingsactiviteitUrl", "activity_url", True),
        ("VerwerkingId", "verwerking_id", False),
        ("Vertrouwelijkheid", "vertrouwelijkheid", False),
        ("Bewaartermijn", "bewaartermijn", False),
    )
}


def values_of(request: Request, name: str, type_: Any, *, required: bool = False, several: bool = False) -> list[str]:
    """Return the values of a parameter, each of its type.

    Raises:
        InvalidInput: One is not, one is missing that has to be there, or there are several where there may be one.
    """
    values = request.query_params.getlist(name)
    if required and not values:
        raise model.InvalidInput([model.Fault(name, "required", f"De parameter {name} ontbreekt.")])
    if len(values) > 1 and not several:
        raise model.InvalidInput([model.Fault(name, "double", f"De parameter {name} staat er meer dan eens.")])
    return [model.element(type_, value, name) for value in values]


def _is_refused(options: list[str]) -> bool:
    return any(re.fullmatch(r"\s*q=0(\.0*)?\s*", option) for option in options)


def _kinds(asked: Iterable[list[str]]) -> frozenset[str] | None:
    """Return the kinds that both notations ask for (D-03); None when neither is there."""
    kinds = [{word.strip(" ").lower() for value in values for word in value.split(",")} for values in asked]
    return frozenset(set.intersection(*kinds)) if kinds else None


def _whole(request: Request, name: str, default: int) -> int:
    values = request.query_params.getlist(name) or [str(default)]
    if len(values) > 1 or not _WHOLE.fullmatch(values[0]):
        raise model.InvalidInput([model.Fault(name, "invalid", "Dit is geen geheel getal vanaf 1.")])
    return int(values[0])

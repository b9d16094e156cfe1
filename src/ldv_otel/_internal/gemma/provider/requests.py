"""What a request of either API asks for: its body, parameters and headers, checked."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from http import HTTPStatus
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.requests import Request

from ldv_otel._internal.api.messages import media_type_of
from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.provider.validation import Faults, ValidatieFout, invalid
from ldv_otel._internal.times.instants import ms_from_rfc3339, now_ms, within_record_time

KINDS: Final = frozenset({"normaal", "vertrouwelijk", "opgeheven"})
#: Parameter of the addresses of further pages.
MOMENT: Final = "peilmoment"
_PAGE_SIZE: Final = 100
_MAX_PAGE_SIZE: Final = 1_000
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,8}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TRACEPARENT: Final = "traceparent"
_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()
#: What a caller may state of itself: whether confidentiality was lifted (`opgeheven`), only the register knows.
StatedConfidentiality = Literal["normaal", "vertrouwelijk"]


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
    vertrouwelijkheid: StatedConfidentiality = "normaal"
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
    if request.method in {"POST", "PUT", "PATCH"} and media_type_of(request) != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Stuur application/json.")


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
        return model.element(model.Uuid, request.path_params[name], name).lower()
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
    query = _query(request, faults, zone, period=inzage)
    doelbinding = doelbinding_of(request, faults, required=inzage)
    faults.refuse()
    return query, doelbinding


def _query(request: Request, faults: Faults, zone: ZoneInfo, *, period: bool) -> VerwerkingsactiesQuery:
    """Return what a client asks for in a list; parameters that are wrong have their default in it.

    Args:
        period: Both dates have to be there (GI-05).
    """
    parameters = request.query_params
    with faults.gathered():
        model.element(model.Objecttype, _required(request, "objecttype").lower(), "objecttype")
    soort = identifier = activity = ""
    with faults.gathered():
        soort = model.element(model.Naam, _required(request, "soortObjectId"), "soortObjectId")
    with faults.gathered():
        identifier = model.element(model.Identificator, _required(request, "objectId"), "objectId")
    with faults.gathered():
        if "verwerkingsactiviteitId" in parameters:
            activity = model.element(model.Uuid, parameters["verwerkingsactiviteitId"], "verwerkingsactiviteitId")
    begin = end = None
    with faults.gathered():
        begin = _midnight(request, "beginDatum", zone, required=period)
    with faults.gathered():
        end = _midnight(request, "eindDatum", zone, required=period)
    kinds = None
    for name in ("vertrouwelijkheid", "vertrouwelijkheid__in"):
        with faults.gathered():
            kinds = _kinds(request, name, kinds)
    page, size, moment_ms = 1, _PAGE_SIZE, now_ms()
    with faults.gathered():
        if MOMENT in parameters:
            # Within what records have, because it goes back out in links, and year 10000 has no RFC 3339.
            moment_ms = within_record_time(ms_from_rfc3339(model.element(model.Moment, parameters[MOMENT], MOMENT)))
    with faults.gathered():
        page = _whole(request, "page", 1)
    with faults.gathered():
        size = min(_whole(request, "pageSize", _PAGE_SIZE), _MAX_PAGE_SIZE)
    return VerwerkingsactiesQuery(
        person=Person(soort, identifier),
        begin=begin,
        end=end,
        activity=activity.lower(),
        kinds=kinds,
        page=page,
        page_size=size,
        moment_ms=moment_ms,
    )


def doelbinding_of(request: Request, faults: Faults, *, required: bool) -> DoelbindingHeaders:
    """Return the headers in which a caller names itself and its purpose; those that are wrong are left out.

    Args:
        required: OIN, id and URL of the Verwerkingsactiviteit have to be there (GI-15).
    """
    values: dict[str, Any] = {}
    for name, (field, type_, needed) in _HEADERS.items():
        # A header that comes twice is one value with a comma (RFC 9110, section 5.3), which hardly any type allows.
        text = ",".join(request.headers.getlist(name)).strip()
        if not text:
            if required and needed:
                faults.add(name, "required", f"De header {name} ontbreekt.")
            continue
        with faults.gathered():
            values[field] = model.element(type_, text.lower() if type_ is StatedConfidentiality else text, name)
    return DoelbindingHeaders(**values)


#: The field, type and need of each header.
_HEADERS: Final[dict[str, tuple[str, Any, bool]]] = {
    "OIN": ("oin", model.Oin, True),
    "VerwerkingsactiviteitId": ("activity_id", model.Uuid, True),
    "VerwerkingsactiviteitUrl": ("activity_url", model.Uri, True),
    "VerwerkingId": ("verwerking_id", model.Uuid, False),
    "Vertrouwelijkheid": ("vertrouwelijkheid", StatedConfidentiality, False),
    "Bewaartermijn": ("bewaartermijn", model.Duur, False),
}


def _is_refused(options: list[str]) -> bool:
    return any(re.fullmatch(r"\s*q=0(\.0*)?\s*", option) for option in options)


def _required(request: Request, name: str) -> str:
    if name not in request.query_params:
        raise model.InvalidInput([model.Fault(name, "required", f"De parameter {name} ontbreekt.")])
    return request.query_params[name]


def _midnight(request: Request, name: str, zone: ZoneInfo, *, required: bool) -> datetime | None:
    if not required and name not in request.query_params:
        return None
    text = _required(request, name)
    try:
        if not _DATE.fullmatch(text):
            raise ValueError("no date")  # noqa: TRY301  (one answer to both)
        return datetime.combine(date.fromisoformat(text), time(), zone)
    except ValueError:
        raise model.InvalidInput([model.Fault(name, "invalid", "Dit is geen datum, zoals 2020-10-24.")]) from None


def _kinds(request: Request, name: str, before: frozenset[str] | None) -> frozenset[str] | None:
    """Return what is asked for by one of the two notations; together with the other it is what both ask for (D-03)."""
    if name not in request.query_params:
        return before
    words = [word.strip().lower() for value in request.query_params.getlist(name) for word in value.split(",")]
    if not set(words) <= KINDS:
        reason = "Kies uit normaal, vertrouwelijk en opgeheven."
        raise model.InvalidInput([model.Fault(name, "invalid", reason)])
    return frozenset(words) & (before if before is not None else KINDS)


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not _WHOLE.fullmatch(text):
        raise model.InvalidInput([model.Fault(name, "invalid", "Dit is geen geheel getal vanaf 1.")])
    return int(text)

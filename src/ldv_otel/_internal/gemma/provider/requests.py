"""What a request of either API says: its body, parameters and headers, checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from http import HTTPStatus
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from starlette.requests import Request

from ldv_otel._internal.api.problem import Problem
from ldv_otel._internal.gemma import model
from ldv_otel._internal.gemma.provider.validation import ValidatieFout
from ldv_otel._internal.times.instants import ms_from_rfc3339, now_ms, within_record_time

KINDS: Final = frozenset({"normaal", "vertrouwelijk", "opgeheven"})
#: Parameter of the addresses of further pages.
MOMENT: Final = "peilmoment"
_PAGE_SIZE: Final = 100
_MAX_PAGE_SIZE: Final = 1_000
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,8}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_TOLD: Final = Literal["normaal", "vertrouwelijk"]


class Person(msgspec.Struct, frozen=True):
    """Whom a question is about."""

    soort_object_id: str
    object_id: str

    def __repr__(self) -> str:
        """Leave out whom."""
        return "Person()"


class VerwerkingsactiesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for in a list.

    Attributes:
        begin: Taken place then or later.
        end: Taken place before then.
        activity: A `verwerkingsactiviteitId` in lower case; empty for all.
        kinds: Of `vertrouwelijkheid`; None when nothing was said of it.
        page: From 1.
        moment_ms: When the first page was asked for, in ms since 1970. What took place and was logged since, such as
            the questions for pages themselves, is on none of them.
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
    """What the headers say of the one who asks, and why (1.4)."""

    oin: str = ""
    activity_id: str | None = None
    activity_url: str | None = None
    verwerking_id: str | None = None
    vertrouwelijkheid: Literal["normaal", "vertrouwelijk"] = "normaal"
    bewaartermijn: str | None = None


class Faults:
    """Gathers everything that is wrong with a request before it is refused."""

    def __init__(self) -> None:
        self.found: list[model.Fault] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep what is raised in the block for later."""
        try:
            yield
        except model.InvalidInput as error:
            self.found += error.faults

    def refuse(self) -> None:
        """Refuse the request if anything was wrong.

        Raises:
            ValidatieFout: It was.
        """
        if self.found:
            raise ValidatieFout(self.found)


def check_media_types(request: Request) -> None:
    """Check that the client takes what is answered, and that what it sends is JSON.

    Raises:
        Problem: 406 or 415.
    """
    accepted = request.headers.get("accept", "*/*")
    ranges = [part.split(";") for part in accepted.lower().split(",")]
    fitting = {"*/*", "application/*", "application/json"}
    if not any(kind.strip() in fitting and not _is_refused(options) for kind, *options in ranges):
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, "Deze API antwoordt met application/json.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method in {"POST", "PUT", "PATCH"} and kind != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Stuur application/json.")


async def json_of(request: Request) -> object:
    """Return the decoded body.

    Raises:
        ValidatieFout: It is no JSON.
    """
    try:
        return msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValidatieFout([model.Fault("body", "json", "Dit is geen JSON.")]) from None


def caller_of(request: Request) -> model.CallingSpan | None:
    """Return whose call this is part of, by its `traceparent` (W3C Trace Context)."""
    found = _TRACEPARENT.fullmatch(request.headers.get("traceparent", "").strip())
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return model.CallingSpan(bytes.fromhex(found[1]), bytes.fromhex(found[2]))


def id_of(request: Request, name: str) -> str:
    """Return the UUID in the path, in lower case.

    Raises:
        ValidatieFout: It is none.
    """
    faults = Faults()
    found = ""
    with faults.gathered():
        found = model.element(model.Uuid, request.path_params[name], name)
    faults.refuse()
    return found.lower()


def list_of(request: Request, zone: ZoneInfo, *, inzage: bool) -> tuple[VerwerkingsactiesQuery, DoelbindingHeaders]:
    """Return what is asked for in a list, and by whom.

    Args:
        inzage: A period and some of the headers have to be there (GI-05, GI-15).

    Raises:
        ValidatieFout: Something is wrong with it.
    """
    faults = Faults()
    question = _question(request, faults, zone, period=inzage)
    doelbinding = doelbinding_of(request, faults, required=inzage)
    if question is None or faults.found:
        raise ValidatieFout(faults.found)
    return question, doelbinding


def _question(request: Request, faults: Faults, zone: ZoneInfo, *, period: bool) -> VerwerkingsactiesQuery | None:
    """Return what is asked for in a list; None when something is wrong with it.

    Args:
        period: Both dates have to be there (GI-05).
    """
    given = request.query_params
    before = len(faults.found)
    with faults.gathered():
        model.element(model.Objecttype, _required(request, "objecttype").lower(), "objecttype")
    soort = identifier = activity = ""
    with faults.gathered():
        soort = model.element(model.Naam, _required(request, "soortObjectId"), "soortObjectId")
    with faults.gathered():
        identifier = model.element(model.Identificator, _required(request, "objectId"), "objectId")
    with faults.gathered():
        if "verwerkingsactiviteitId" in given:
            activity = model.element(model.Uuid, given["verwerkingsactiviteitId"], "verwerkingsactiviteitId").lower()
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
        if MOMENT in given:
            # Within what records have, because it goes back out in links, and year 10000 has no RFC 3339.
            moment_ms = within_record_time(ms_from_rfc3339(model.element(model.Moment, given[MOMENT], MOMENT)))
    with faults.gathered():
        page = _whole(request, "page", 1)
    with faults.gathered():
        size = min(_whole(request, "pageSize", _PAGE_SIZE), _MAX_PAGE_SIZE)
    if len(faults.found) > before:
        return None
    return VerwerkingsactiesQuery(
        person=Person(soort, identifier),
        begin=begin,
        end=end,
        activity=activity,
        kinds=kinds,
        page=page,
        page_size=size,
        moment_ms=moment_ms,
    )


def doelbinding_of(request: Request, faults: Faults, *, required: bool) -> DoelbindingHeaders:
    """Return what the headers say.

    Args:
        required: OIN, id and URL of the Verwerkingsactiviteit have to be there (GI-15).
    """
    found: dict[str, Any] = {}
    for name, (field, type_, needed) in _HEADERS.items():
        values = request.headers.getlist(name)
        text = ",".join(values).strip()
        if not text:
            if required and needed:
                faults.found.append(model.Fault(name, "required", f"De header {name} ontbreekt."))
            continue
        with faults.gathered():
            found[field] = model.element(type_, text.lower() if type_ is _TOLD else text, name)
    return DoelbindingHeaders(**found)


_HEADERS: Final[dict[str, tuple[str, Any, bool]]] = {
    "OIN": ("oin", model.Oin, True),
    "VerwerkingsactiviteitId": ("activity_id", model.Uuid, True),
    "VerwerkingsactiviteitUrl": ("activity_url", model.Uri, True),
    "VerwerkingId": ("verwerking_id", model.Uuid, False),
    "Vertrouwelijkheid": ("vertrouwelijkheid", _TOLD, False),
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

"""Chains over parties that behave, and over parties that do not."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from ldv_otel._internal.chain.follow import follow
from ldv_otel._internal.chain.model import Chain, PartyState, Relation
from ldv_otel._internal.chain.remote import Remotes
from ldv_otel._internal.chain.source import SourceAnswer
from ldv_otel._internal.parties.parties import PartiesFile, ReadApi
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import TIME_MAX_MS

TRACE = b"\x01" * 16
UUID = "01010101-0101-0101-0101-010101010101"


class Here:
    """The Logboek that a chain begins at."""

    def __init__(self, *logregels: Logregel) -> None:
        self.logregels = logregels

    async def of_trace(self, trace_id: bytes) -> SourceAnswer:
        """All of a trace."""
        return SourceAnswer([one for one in self.logregels if one.trace_id == trace_id])

    async def for_foreign_trace(self, trace_id: bytes) -> SourceAnswer:
        """All for a foreign trace."""
        return SourceAnswer([one for one in self.logregels if one.foreign_operation_trace_id == trace_id])


def calling(url: str, **more: Any) -> Logregel:
    """An Actie that calls a party."""
    given: dict[str, Any] = {"trace_id": TRACE, "span_id": b"\x0a" * 8, "outbound_span_ids": (b"\x0b" * 8,)}
    return Logregel(name="a", start_time_ms=1, end_time_ms=2, external_read_api_id=url, **(given | more))


def activity(**more: Any) -> dict[str, Any]:
    """What the party did for it."""
    return {
        "traceId": UUID,
        "spanId": "0c" * 8,
        "parentSpanId": "0b" * 8,
        "status": "Ok",
        "name": "b",
        "startTime": 1_767_225_600_000,
        "endTime": 1_767_225_601_000,
    } | more


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def party(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server that answers as it likes; gives its address and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            answer(self)

        do_GET = do_POST = handle_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/lezenapi/v1", asked
        finally:
            server.shutdown()


def says(content: Any, status: int = 200, **headers: str) -> Answer:
    """Answer every question with this; other resources than the contract's are not offered."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status if request.command == "POST" else 404)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def chain_of(*logregels: Logregel, apis: list[ReadApi], seconds: float = 20.0, own_url: str = "") -> Chain:
    """Follow from these records."""

    async def followed() -> Chain:
        async with Remotes(apis) as remotes:
            return await follow(TRACE, Here(*logregels), remotes, seconds=seconds, own_url=own_url)

    return asyncio.run(followed())


@pytest.mark.parametrize("ending", ["", "/", "/openapi.json", "/processing-activities", "/data-processing-operations"])
def test_a_party_is_asked_however_its_api_is_spelt(ending: str) -> None:
    """Logregels name the base, the document or the resource."""
    with party(says({"processingActivities": [activity()]})) as (url, _):
        found = chain_of(calling(url + ending), apis=[ReadApi(url=f"{url}/")])
    assert [item.relation for item in found.logregels] == [None, Relation.CALLER]
    assert found.logregels[1].parent == 0
    assert found.complete


def test_an_address_that_is_not_configured_is_never_asked() -> None:
    """Not from a record of ours, nor from one of a party that is."""
    with party(says({"processingActivities": []})) as (stranger, asked):
        found = chain_of(calling(stranger), apis=[])
        assert [one.state for one in found.parties] == [PartyState.THIS_LOGBOEK, PartyState.NOT_CONFIGURED]
        named = activity(attributes={"dpl.read.externalReadAPI_id": stranger})
        with party(says({"processingActivities": [named]})) as (url, _):
            found = chain_of(calling(url), apis=[ReadApi(url=url)])
        assert [one.state for one in found.parties] == [
            PartyState.THIS_LOGBOEK,
            PartyState.REACHED,
            PartyState.NOT_CONFIGURED,
        ]
        assert not found.complete
    assert asked == []


def test_a_redirect_and_a_next_page_elsewhere_are_not_followed() -> None:
    """Credentials for one party are not for another."""
    with party(says({"processingActivities": []})) as (stranger, asked):
        with party(says(b"", 302, Location=f"{stranger}/processing-activities")) as (url, _):
            found = chain_of(calling(url), apis=[ReadApi(url=url)])
        assert found.parties[1].state == PartyState.UNREADABLE
        with party(says({"processingActivities": []}, Link=f'<{stranger}?cursor=1>; rel="next"')) as (url, there):
            found = chain_of(calling(url), apis=[ReadApi(url=url)])
        assert "POST /lezenapi/v1/data-processing-operations?cursor=1" in there
        assert len(there) <= 20
        assert not found.parties[1].complete
    assert asked == []


def slowly(request: BaseHTTPRequestHandler) -> None:
    """A byte now and then."""
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    try:
        for _ in range(200):
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.05)
    except OSError:
        return


LARGE = gzip.compress(b" " * (64 << 20))


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (says(b"", 401), PartyState.REFUSED),
        (says(b"", 403), PartyState.REFUSED),
        (says(b"", 500), PartyState.UNREACHABLE),
        (says(b"", 429), PartyState.UNREACHABLE),
        (says(b"<html>"), PartyState.UNREADABLE),
        (says(b"[" * 100_000), PartyState.UNREADABLE),
        (says({"processingActivities": 5}), PartyState.UNREADABLE),
        (says(LARGE, Content_Encoding="gzip"), PartyState.UNREADABLE),
        (slowly, PartyState.UNREACHABLE),
        (lambda request: request.connection.close(), PartyState.UNREACHABLE),
    ],
    ids=["401", "403", "500", "429", "html", "deep", "shape", "large", "slow", "gone"],
)
def test_what_goes_wrong_at_a_party_is_told_as_such(answer: Answer, state: PartyState) -> None:
    """And what is known here is shown all the same."""
    with party(answer) as (url, _):
        began = time.monotonic()
        # Only the slow party takes all of its time; unpacking a large answer may take long on a busy machine.
        found = chain_of(calling(url), apis=[ReadApi(url=url)], seconds=2 if answer is slowly else 60)
    assert time.monotonic() - began < (15 if answer is slowly else 60)  # it ends, not how soon
    assert found.parties[1].state == state
    assert found.parties[1].detail
    assert len(found.logregels) == 1
    assert not found.complete


def test_records_that_cannot_be_read_or_were_not_asked_for_are_left_out() -> None:
    """The others stay, and the party counts as incomplete."""
    odd = [
        activity(),
        activity(traceId="02" * 16, spanId="0d" * 8),
        activity(spanId="x"),
        activity(startTime="gisteren"),
        activity(startTime=True),
        activity(endTime=1.5),
        activity(endTime=2**80),
        activity(status="Fine"),
        {"traceId": UUID},
        7,
        None,
        activity(attributes={"ldv.outbound_span_ids": ["x"]}),
    ]
    with party(says({"processingActivities": odd})) as (url, _):
        found = chain_of(calling(url), apis=[ReadApi(url=url)])
    # An end that no Logregel can have is moved to that limit, and so it is another record than the first.
    assert [item.logregel.name for item in found.logregels] == ["a", "b", "b"]
    assert not found.parties[1].complete


@pytest.mark.parametrize(
    ("told", "start_time_ms"),
    [
        (1_767_225_600_500, 1_767_225_600_500),
        ("2026-01-01T01:00:00.500+01:00", 1_767_225_600_500),
        (-1, 0),
        (2**63 - 1, TIME_MAX_MS),
    ],
)
def test_a_party_s_times_are_the_contract_s_or_those_of_a_working_version_after_it(
    told: int | str, start_time_ms: int
) -> None:
    """Milliseconds, or RFC 3339; what no Logregel can have is moved to that limit, so that it can be shown."""
    with party(says({"processingActivities": [activity(startTime=told)]})) as (url, _):
        found = chain_of(calling(url), apis=[ReadApi(url=url)])
    assert start_time_ms in {item.logregel.start_time_ms for item in found.logregels}
    assert len(found.logregels) == 2


def test_records_with_the_same_ids_are_all_shown() -> None:
    """Callers choose ids, so a second record is no repeat of the first; only what is equal in everything is one."""
    twice = [activity(), activity(name="c"), activity()]
    with party(says({"processingActivities": twice})) as (url, _):
        found = chain_of(calling(url), apis=[ReadApi(url=url)])
    assert sorted(item.logregel.name for item in found.logregels) == ["a", "b", "c"]
    assert {item.logregel.name: item.repeated for item in found.logregels} == {"a": False, "b": True, "c": True}


def test_parties_that_name_one_another_come_to_an_end() -> None:
    """Each is asked once for a trace."""
    urls: list[str] = []

    def back(request: BaseHTTPRequestHandler) -> None:
        other = urls[0] if request.headers["Host"] in urls[1] else urls[1]
        says({"processingActivities": [activity(attributes={"dpl.read.externalReadAPI_id": other})]})(request)

    with party(back) as (first, asked), party(back) as (second, also):
        urls += [first, second]
        found = chain_of(calling(first), apis=[ReadApi(url=first), ReadApi(url=second)])
    assert len(asked) == len(also) == 2
    assert len(found.logregels) == 3


def test_a_party_without_api_is_shown_as_such() -> None:
    """With the address where one can ask."""
    url = "https://klein.example/contact"
    found = chain_of(calling(url), apis=[ReadApi(url=url, name="Klein", offered=False)])
    assert (found.parties[1].state, found.parties[1].url, found.parties[1].name) == (PartyState.NO_API, url, "Klein")


def test_the_caller_is_found_from_the_called_party() -> None:
    """A chain may begin in the middle: whose application called is known, and where its records are."""
    called = calling(
        "",
        outbound_span_ids=(),
        trace_id=TRACE,
        foreign_operation_trace_id=b"\x02" * 16,
        foreign_operation_span_id=b"\x0d" * 8,
        foreign_operation_processor="https://gemeente.example/app",
    )
    theirs = activity(
        traceId="02020202-0202-0202-0202-020202020202",
        parentSpanId="",
        startTime=0,
        attributes={"ldv.outbound_span_ids": ["0d" * 8]},
    )
    with party(says({"processingActivities": [theirs]})) as (url, _):
        found = chain_of(called, apis=[ReadApi(url=url, processors=["https://gemeente.example/app"])])
    assert [(item.party, item.parent, item.relation) for item in found.logregels] == [
        (1, None, None),
        (0, 0, Relation.CALLER),
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"url": ""},
        {"url": "http://rdw.example/v1"},
        {"url": "ftp://rdw.example"},
        {"url": "https://user:secret@rdw.example"},
        {"url": "https://rdw.example", "token_file": "a", "token_url": "https://login.example"},
        {"url": "https://rdw.example", "token_url": "https://login.example"},
        {
            "url": "https://rdw.example",
            "token_url": "http://login.example",
            "client_id": "a",
            "client_secret_file": "b",
        },
        {"url": "https://rdw.example", "certificate": "a"},
        {"url": "https://rdw.example", "password": "a"},
    ],
    ids=str,
)
def test_a_wrong_entry_is_refused(entry: dict[str, str]) -> None:
    """Before anything is sent anywhere."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"read_apis": [entry]}, PartiesFile)


def test_credentials_that_cannot_be_used_are_that_party_s_trouble() -> None:
    """The rest of the chain is shown."""
    with party(says({"processingActivities": []})) as (url, asked):
        for api in (ReadApi(url=url, token_file="/nergens"), ReadApi(url=url, ca_file="/nergens")):
            found = chain_of(calling(url), apis=[api])
            assert found.parties[1].state == PartyState.REFUSED
            assert len(found.logregels) == 1
    assert asked == []

"""The fault table: every fault that we or a peer was measured with, and what became of the records.

`make faults` runs it and prints the table; `make test` runs it in small. Before, during and after a fault records are
logged; then the fault goes away, if it is one that goes away, and nothing else is done: delivery has to recover by
itself. The verdict is the same for all: nothing lost, nothing shown twice, nothing stored twice, nothing quarantined.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema, migrations
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.privacy.pseudonyms import KeyRing, Pseudonymiser, new_key
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.processor import LdvSpanProcessor
from ldv_otel.errors import LogboekUnavailable
from tests.support import faults
from tests.support.logboek import LogboekProcess, settings_at
from tests.torture.rig import Oracle, Verdict, hurry, record, size, span_ids, wait_until
from tests.torture.test_disk import fill, small_disk

#: Where a run leaves its rows for `make faults`, which prints them as a table.
ROWS: Final = Path(__file__).parents[2] / ".test-results" / "faults"
_databases = itertools.count()


def answer(status: int, body: bytes = b"", *, stores: bool = False, **headers: str) -> faults.Action:
    """Answer with anything, before or after the insert takes effect."""

    async def act(exchange: faults.Exchange) -> None:
        if stores:
            await exchange.forward()
        content = b"" if status == 204 else body
        lines = [f"HTTP/1.1 {status} -", "Connection: close", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await exchange.reply("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    return act


def own_id() -> faults.Action:
    """Echo our id, with an exception in the body: a server that fails late."""

    async def act(exchange: faults.Exchange) -> None:
        (query_id,) = parse_qs(urlsplit(exchange.request.target).query)["query_id"]
        await answer(200, b"Code: 241. DB::Exception: late", X_ClickHouse_Query_Id=query_id)(exchange)

    return act


def replaced_id() -> faults.Action:
    """Put an id of its own in place of ours, as chproxy does."""

    async def act(exchange: faults.Exchange) -> None:
        (query_id,) = parse_qs(urlsplit(exchange.request.target).query)["query_id"]
        await exchange.reply((await exchange.forward()).replace(query_id.encode(), str(uuid.uuid4()).encode()))

    return act


def no_headers() -> faults.Action:
    """Take away what only ClickHouse says."""

    async def act(exchange: faults.Exchange) -> None:
        head, _, body = (await exchange.forward()).partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"x-clickhouse-")]
        await exchange.reply(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    return act


def body_cut() -> faults.Action:
    """Let the server see a part of the body, and break off."""

    async def act(exchange: faults.Exchange) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", exchange._backend_port)
        body = exchange.request.body
        kept = [
            line
            for line in exchange.request.head.rstrip().split(b"\r\n")
            if not line.lower().startswith((b"transfer-encoding:", b"content-length:", b"connection:"))
        ]
        kept.append(b"Content-Length: %d" % len(body))
        writer.write(b"\r\n".join(kept) + b"\r\n\r\n" + body[: len(body) // 2])
        await writer.drain()
        writer.transport.abort()
        exchange.cut()

    return act


def twice() -> faults.Action:
    """Deliver each request twice, as a proxy that tries again does."""

    async def act(exchange: faults.Exchange) -> None:
        await exchange.forward()
        await exchange.reply(await exchange.forward())

    return act


def head_cut() -> faults.Action:
    """Pass on the beginning of the answer's head only."""

    async def act(exchange: faults.Exchange) -> None:
        whole = await exchange.forward()
        await exchange.reply(whole[: whole.index(b"\r\n\r\n") // 2])
        exchange.cut()

    return act


def larger_than(limit_bytes: int) -> faults.Predicate:
    """Requests with more content."""
    return lambda request: faults.is_insert(request) and len(request.body) > limit_bytes


@dataclass
class Place:
    """What a fault happens to: a Logboek with tables of its own, what is before it, and a service that logs to it."""

    process: LogboekProcess
    front: faults.FaultFront
    direct: Settings
    directory: Path

    def run(self, *statements: str) -> None:
        """Do something to the tables, past the front."""
        if statements[0].startswith(("DROP", "RENAME")):
            self.process.directly(*(each.replace("DB.", f"{self.direct.logboek.database}.") for each in statements))
            return
        with LogboekClient(self.direct, database="default") as client:
            for statement in statements:
                client.command(Sql.verbatim(statement.replace("DB.", f"{self.direct.logboek.database}.")))


Step = Callable[[Place], object]


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Attributes:
        begin: Makes the fault.
        end: Takes it away; None for one that stays, and has to be lived with.
    """

    begin: Step
    end: Step | None = lambda place: place.front.clear()


def lie(action: faults.Action, *, to: faults.Predicate = faults.is_insert, stays: bool = False) -> Fault:
    """A fault of what is between service and server."""

    def begin(place: Place) -> None:
        place.front.add(action, when=to)

    return Fault(begin, None) if stays else Fault(begin)


def altered(what: str, back: str) -> Fault:
    """A fault that somebody makes in the tables, and takes back."""
    return Fault(lambda place: place.run(what), lambda place: place.run(back))


def stop(place: Place) -> None:
    """Stop the server's process as a debugger or a frozen machine does."""
    os.kill(place.process.pid, signal.SIGSTOP)


def go_on(place: Place) -> None:
    """And let it go on."""
    os.kill(place.process.pid, signal.SIGCONT)


_NEWER = migrations()[-1].version + 1
_CODES = {
    16: "NO_SUCH_COLUMN_IN_TABLE",
    53: "TYPE_MISMATCH",
    60: "UNKNOWN_TABLE",
    81: "UNKNOWN_DATABASE",
    117: "INCORRECT_DATA",
    159: "TIMEOUT_EXCEEDED",
    164: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    285: "TOO_FEW_LIVE_REPLICAS",
    319: "UNKNOWN_STATUS_OF_INSERT",
    469: "VIOLATED_CONSTRAINT",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
    999: "KEEPER_EXCEPTION",
}

FAULTS: Final[dict[str, Fault]] = {
    "none": Fault(lambda _: None),
    "200, empty": lie(answer(200)),
    "200, empty, stored": lie(answer(200, stores=True)),
    "200, empty, to everything": lie(answer(200), to=faults.anything),
    "200, gzip of nothing": lie(answer(200, gzip.compress(b""), Content_Encoding="gzip")),
    "200, a login page": lie(answer(200, b"<html>sign in</html>", Content_Type="text/html"), to=faults.anything),
    "200, an exception in the body": lie(faults.late_exception(241)),
    "200, our id and an exception": lie(own_id()),
    "200, an exception in a header": lie(faults.exception_header(241)),
    "200, an answer to somebody else": lie(faults.answer_of_another()),
    **{f"{status}, empty": lie(answer(status)) for status in (201, 202, 204, 206)},
    "202, stored": lie(answer(202, stores=True)),
    "302, to a login page": lie(answer(302, Location="http://127.0.0.1:1/login"), to=faults.anything),
    **{f"{status}": lie(answer(status)) for status in (400, 401, 403, 404, 407, 408, 500, 502, 504)},
    "413, over 4 KB, for ever": lie(answer(413), to=larger_than(4_000), stays=True),
    "413, to everything": lie(answer(413)),
    "429, leave alone for 1 s": lie(answer(429, Retry_After="1")),
    "502, stored": lie(answer(502, stores=True)),
    "503": lie(answer(503)),
    "503, to everything": lie(answer(503), to=faults.anything),
    **{f"code {code} {name}": lie(faults.server_error(code, 500, name)) for code, name in _CODES.items()},
    "cut before the insert": lie(faults.cut_before()),
    "cut after the insert": lie(faults.cut_after()),
    "all cut after they took effect": lie(faults.cut_after(), to=faults.anything),
    "cut in the insert": lie(body_cut()),
    "cut in the answer": lie(head_cut()),
    "each request twice": lie(twice(), stays=True),
    "a proxy that replaces ids": lie(replaced_id(), to=faults.anything, stays=True),
    "a proxy that takes headers away": lie(no_headers(), stays=True),
    "connection refused": Fault(lambda place: place.front.close_listener(), lambda place: place.front.open_listener()),
    "server killed": Fault(lambda place: place.process.kill(), lambda place: place.process.start()),
    "server frozen": Fault(stop, go_on),
    "newer tables": altered(
        f"INSERT INTO DB.ldv_schema (version, name) VALUES ({_NEWER}, 'newer')",
        f"ALTER TABLE DB.ldv_schema DELETE WHERE version = {_NEWER} SETTINGS mutations_sync = 1",
    ),
    "table renamed": altered("RENAME TABLE DB.logregel TO DB.elsewhere", "RENAME TABLE DB.elsewhere TO DB.logregel"),
    "column renamed": altered(
        "ALTER TABLE DB.logregel RENAME COLUMN key_id TO keyed", "ALTER TABLE DB.logregel RENAME COLUMN keyed TO key_id"
    ),
    "a constraint that nothing meets": altered(
        "ALTER TABLE DB.logregel ADD CONSTRAINT none CHECK seq > 1000000",
        "ALTER TABLE DB.logregel DROP CONSTRAINT none",
    ),
    "versions dropped": Fault(
        lambda place: place.run("DROP TABLE DB.ldv_schema SYNC"), lambda place: apply_schema(place.direct)
    ),
}


@dataclass
class Service:
    """A service that logs records, and knows which of them were acknowledged."""

    delivery: DurableDelivery
    oracle: Oracle

    def log(self, count: int) -> int:
        """Log so many; return how many were refused to it."""
        refused = 0
        for number in range(len(self.oracle.issued), len(self.oracle.issued) + count):
            logregel = record(number, "x" * 200)
            self.oracle.issued.add(logregel.name)
            try:
                self.delivery.submit(logregel)
            except LogboekUnavailable:
                refused += 1
            else:
                self.oracle.acknowledged.add(logregel.name)
        return refused


@pytest.fixture
def place(process: LogboekProcess, tmp_path: Path) -> Iterator[Place]:
    """Tables of its own, with a front before them."""
    if process.killed or not process.pid:
        process.start()
    direct = settings_at(process.port, f"fault_{next(_databases)}")
    apply_schema(direct)
    with faults.FaultFront(process.port) as front:
        yield Place(process, front, direct, tmp_path)


def note_row(name: str, shown: Verdict, raw: Verdict, seconds: float, sees: str) -> None:
    """Leave a row for `make faults`."""
    ROWS.mkdir(parents=True, exist_ok=True)
    row = [name, len(shown.lost), len(shown.doubled), len(raw.doubled), f"yes, {seconds:.1f} s", sees]
    (ROWS / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.json").write_text(json.dumps(row), encoding="utf-8")


def shortened(messages: list[str]) -> str:
    """Return the line that an operator sees most often, as far as it says what is wrong."""
    usual = Counter(re.sub(r"\d+\.\d s|127\.0\.0\.1:\d+|fault_\d+|/tmp\S*", "...", line) for line in messages)
    return usual.most_common(1)[0][0] if usual else "-"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_loses_or_doubles(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Records before, during and after it are all stored once, and delivery goes on by itself."""
    hurry(monkeypatch)
    fault, count = FAULTS[name], size(40, 2_000)
    through = settings_at(place.front.port, place.direct.logboek.database)
    service = Service(DurableDelivery(ClickHouseSink(through), place.directory / "spools"), Oracle())
    service.log(count)
    assert service.delivery.flush(60)
    fault.begin(place)
    try:
        service.log(count)
        # Long enough for some tries, and for the look at the tables that comes once a second.
        service.delivery.flush(size(1, 8))
        service.log(count)
    finally:
        if fault.end is not None:
            fault.end(place)
    ended = time.monotonic()
    service.log(count)
    assert service.delivery.flush(120), f"it does not recover: {caplog.messages[-3:]}"
    seconds = time.monotonic() - ended
    service.delivery.shutdown(5)
    shown = service.oracle.verdict(span_ids(place.direct, "logregels"))
    raw = service.oracle.verdict(span_ids(place.direct, "logregel"))
    note_row(name, shown, raw, seconds, shortened([each.getMessage() for each in caplog.records if each.levelno >= 30]))
    assert shown.clean, str(shown)
    assert not raw.lost
    assert not raw.doubled, f"stored twice: {raw}"
    assert service.delivery.stats().quarantined == 0
    assert len(service.oracle.acknowledged) == 4 * count


def finish(service: Service, place: Place, name: str, caplog: pytest.LogCaptureFixture, ended: float) -> None:
    """Wait until everything was sent, leave a row, and check it."""
    assert service.delivery.flush(120)
    seconds = time.monotonic() - ended
    service.delivery.shutdown(5)
    shown = service.oracle.verdict(span_ids(place.direct, "logregels"))
    raw = service.oracle.verdict(span_ids(place.direct, "logregel"))
    note_row(name, shown, raw, seconds, shortened([each.getMessage() for each in caplog.records if each.levelno >= 30]))
    assert (shown.lost, shown.doubled, shown.foreign, raw.doubled) == (set(), set(), set(), set())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_store_that_is_away_at_the_start(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service starts, and what it logs is there later."""
    hurry(monkeypatch)
    through = settings_at(place.front.port, place.direct.logboek.database)
    place.front.close_listener()
    service = Service(DurableDelivery(ClickHouseSink(through), place.directory / "spools"), Oracle())
    service.log(size(40, 2_000))
    assert not service.delivery.flush(0.5)
    place.front.open_listener()
    finish(service, place, "store away at the start", caplog, time.monotonic())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_burst(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """More than a queue in memory holds: 50,000 at once in the full size."""
    through = settings_at(place.front.port, place.direct.logboek.database)
    service = Service(DurableDelivery(ClickHouseSink(through), place.directory / "spools"), Oracle())
    assert service.log(size(3_000, 50_000)) == 0
    finish(service, place, "a burst", caplog, time.monotonic())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_callers_that_do_not_sample(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A `traceparent` with flag 00 is about tracing: the called service still logs each Actie, once."""
    hurry(monkeypatch)
    through = settings_at(place.front.port, place.direct.logboek.database)
    service = Service(DurableDelivery(ClickHouseSink(through), place.directory / "spools"), Oracle())
    key = new_key("torture")
    maker = LogregelMaker(Pseudonymiser(KeyRing([key], active=key.id)).subject)
    provider = TracerProvider(sampler=DEFAULT_ON)
    attach(provider, LdvSpanProcessor(maker, service.delivery))
    tracer = provider.get_tracer("called")
    for number in range(size(40, 2_000)):
        header = {"traceparent": f"00-{number + 1:032x}-{number + 1:016x}-00"}
        with tracer.start_as_current_span("POST /", TraceContextTextMapPropagator().extract(header), SpanKind.SERVER):
            actie = tracer.start_span("actie", attributes={"dpl.core.processing_activity_id": "urn:a"})
            assert isinstance(actie, Span)
            assert not actie.get_span_context().trace_flags.sampled
            # The name of a record says its span id, so that the oracle sees one that was altered.
            actie.update_name(f"{actie.get_span_context().span_id:016x}")
            service.oracle.issued.add(actie.name)
            actie.end()
            service.oracle.acknowledged.add(actie.name)
    finish(service, place, "callers that do not sample (traceparent ...-00)", caplog, time.monotonic())


_KILLED = """
import os, signal, sys
from pathlib import Path
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.delivery.durable import DurableDelivery
from tests.support.logboek import settings_at
from tests.torture.rig import record
port, database, base, count = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
delivery = DurableDelivery(ClickHouseSink(settings_at(port, database)), base)
for number in range(count):
    delivery.submit(record(number))
    os.write(1, b"%s\\n" % record(number).name.encode())
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_service_that_is_killed(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With kill -9 while its records are on their way: another process of the account sends the rest."""
    hurry(monkeypatch)
    count = size(200, 5_000)
    arguments = [place.front.port, place.direct.logboek.database, place.directory / "spools", count]
    place.front.add(faults.cut_after(), when=faults.is_insert, times=3)
    command = [sys.executable, "-c", _KILLED, *map(str, arguments)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    through = settings_at(place.front.port, place.direct.logboek.database)
    service = Service(DurableDelivery(ClickHouseSink(through), place.directory / "spools"), Oracle())
    service.oracle.issued |= {record(number).name for number in range(count)}
    service.oracle.acknowledged |= set(killed.stdout.split())
    assert len(service.oracle.acknowledged) == count
    ended = time.monotonic()
    service.delivery.start_draining()
    wait_until(lambda: service.delivery.stats().adopted == count, 120)
    finish(service, place, "service killed (kill -9)", caplog, ended)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_full_disk_in_an_outage(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the application was refused it knows of; everything else is stored once, and then it is taken again."""
    hurry(monkeypatch)
    through = settings_at(place.front.port, place.direct.logboek.database)
    with small_disk(place.directory / "disk", 1 << 20) as disk:
        service = Service(DurableDelivery(ClickHouseSink(through), disk / "spools"), Oracle())
        place.front.close_listener()
        refused = 0
        for _ in range(100):
            refused += service.log(40)
            if refused:
                break
        fill(disk / "filler")
        with suppress(LogboekUnavailable):
            service.log(5)
        (disk / "filler").unlink()
        place.front.open_listener()
        ended = time.monotonic()
        wait_until(lambda: service.delivery.pending == 0)
        assert service.log(40) == 0
        wait_until(lambda: service.delivery.pending == 0)
        seconds = time.monotonic() - ended
        service.delivery.shutdown(5)
    assert refused
    shown = service.oracle.verdict(span_ids(place.direct, "logregels"))
    raw = service.oracle.verdict(span_ids(place.direct, "logregel"))
    sees = [each.getMessage() for each in caplog.records if each.levelno >= 30]
    note_row("disk full in an outage (1 MiB)", shown, raw, seconds, shortened(sees))
    assert (shown.lost, shown.doubled, raw.doubled) == (set(), set(), set())

"""Answers that are believed, and all others: the real driver, and something before the server that lies."""

from __future__ import annotations

import gzip
import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import pytest
from clickhouse_connect.driver.httputil import all_managers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel.errors import (
    BatchTooLarge,
    ConfigurationError,
    LdvError,
    LogboekSetupError,
    LogboekUnavailable,
    NotProven,
)
from tests.support import faults
from tests.support.chance import examples
from tests.support.logboek import LogboekProcess, settings_at
from tests.support.sending import deliver_whole
from tests.torture.rig import record

_databases = itertools.count()
_CLICKHOUSE = {"X-ClickHouse-Summary": '{"written_rows":"1"}', "X-ClickHouse-Format": "Native"}


@dataclass(frozen=True)
class Lie:
    """An answer that something gives in place of the server, which hears nothing of the request.

    Attributes:
        query_id: Of our own request, of an earlier one of ours, of somebody else, or none.
        framing: How the end of the body is announced; `none` for not at all.
    """

    status: int
    query_id: str
    framing: str
    headers: dict[str, str]
    body: bytes

    @property
    def confirms(self) -> bool:
        """Whether a server that stored the insert answers like this."""
        silent = not self.body or (self.headers.get("Content-Encoding") == "gzip" and self.body == _NOTHING)
        named = "X-ClickHouse-Exception-Code" not in self.headers
        return self.status == 200 and self.query_id == "own" and self.framing != "none" and silent and named


_NOTHING = gzip.compress(b"", mtime=0)
lies = st.builds(
    Lie,
    status=st.sampled_from(
        (200,) * 12 + (201, 202, 203, 204, 206, 301, 302, 307, 400, 401, 403, 404, 407, 408, 413, 429)
    )
    | st.sampled_from((500, 502, 503, 504, 507, 599)),
    query_id=st.sampled_from(("own", "own", "earlier", "of somebody", "none")),
    framing=st.sampled_from(("length", "chunked", "none")),
    headers=st.sampled_from(
        (
            {},
            _CLICKHOUSE,
            _CLICKHOUSE,
            {"Content-Type": "text/html"},
            {"Content-Encoding": "gzip"},
            {"X-ClickHouse-Exception-Code": "241"},
            {"X-ClickHouse-Exception-Tag": "abcdefghijklmnop"},
            {"Retry-After": "3"},
            {"Location": "https://portal.example/login"},
        )
    ),
    body=st.sampled_from((b"", b"", b"", b"Ok.\n", b"<html>sign in</html>", b"Code: 241. DB::Exception: no", _NOTHING)),
)


def tell(lie: Lie, earlier: list[str]) -> faults.Action:
    """Answer with a lie."""

    async def act(exchange: faults.Exchange) -> None:
        (own,) = parse_qs(urlsplit(exchange.request.target).query)["query_id"]
        ids = {"own": own, "earlier": earlier[-1] if earlier else own, "of somebody": str(uuid.uuid4())}
        lines = [f"HTTP/1.1 {lie.status} -", "Connection: close", "Server: something"]
        lines += [f"{name}: {value}" for name, value in lie.headers.items()]
        if lie.query_id in ids:
            lines.append(f"X-ClickHouse-Query-Id: {ids[lie.query_id]}")
        body = b"" if lie.status == 204 else lie.body
        if lie.framing == "length":
            lines.append(f"Content-Length: {len(body)}")
        elif lie.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        earlier.append(own)
        await exchange.reply("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return act


def another_id() -> faults.Action:
    """Pass the request on, and put an id of its own in place of the one that the server echoes, as chproxy does."""

    async def act(exchange: faults.Exchange) -> None:
        (own,) = parse_qs(urlsplit(exchange.request.target).query)["query_id"]
        answer = await exchange.forward()
        await exchange.reply(answer.replace(own.encode(), str(uuid.uuid4()).encode()))

    return act


def no_id() -> faults.Action:
    """Pass the request on, and take away what only ClickHouse says, as strict gateways do."""

    async def act(exchange: faults.Exchange) -> None:
        head, _, body = (await exchange.forward()).partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"x-clickhouse-")]
        await exchange.reply(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    return act


@pytest.fixture(scope="module")
def front(logboek_process: LogboekProcess) -> Iterator[faults.FaultFront]:
    """A front before the served Logboek."""
    with faults.FaultFront(logboek_process.port) as opened:
        yield opened


@pytest.fixture(scope="module")
def sink(front: faults.FaultFront) -> Iterator[ClickHouseSink]:
    """A sink that goes through the front, and tables of its own."""
    behind = settings_at(front.port, f"proven_{next(_databases)}")
    apply_schema(behind)
    opened = ClickHouseSink(behind)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _no_rules(front: faults.FaultFront) -> Iterator[None]:
    """No lie is left for the next test."""
    yield
    front.clear()


def a_batch(count: int = 3) -> Batch:
    """Some records."""
    return number_batch(new_writer_id(), 0, [record(number) for number in range(count)])


def stored(sink: ClickHouseSink, batch: Batch) -> tuple[int, int]:
    """Rows of the batch's writer, and different places in its sequence."""
    query = Sql("SELECT count(), uniqExact(seq) FROM logregel WHERE writer_id = {writer:String}")
    ((rows, places),) = sink._connected().rows(query, {"writer": batch.writer_id})
    return int(rows), int(places)


_PROPERTY = settings(
    max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_PROPERTY
@given(lie=lies)
def test_only_the_true_answer_confirms_an_insert(front: faults.FaultFront, sink: ClickHouseSink, lie: Lie) -> None:
    """Status 200, our own query id, a body that is whole and empty, and no exception: all of them."""
    front.clear()
    front.add(tell(lie, [parse_sent(sink)]), when=faults.is_insert)
    confirmed = True
    try:
        sink.send(a_batch())
    except LdvError:
        confirmed = False
    assert confirmed == lie.confirms


def parse_sent(sink: ClickHouseSink) -> str:
    """The id of a request that was sent before."""
    sink._connected().rows(Sql("SELECT 1"))
    pool = sink._connected()._pool
    assert pool is not None
    return pool._sent[-1]


@_PROPERTY
@given(lie=lies)
def test_no_lie_means_that_nothing_is_stored(front: faults.FaultFront, sink: ClickHouseSink, lie: Lie) -> None:
    """What is read back has to be said by the server: no answer without it is taken for "no such rows"."""
    front.clear()
    batch = a_batch()
    front.add(tell(lie, [parse_sent(sink)]))
    with pytest.raises(LdvError):
        sink.read_back(batch)


@_PROPERTY
@given(lie=lies.filter(lambda lie: lie.query_id != "own"))
def test_no_lie_is_an_empty_result(front: faults.FaultFront, sink: ClickHouseSink, lie: Lie) -> None:
    """A reader gets an error, not "no rows", from what answers in the server's place."""
    front.clear()
    earlier = parse_sent(sink)
    front.add(tell(lie, [earlier]))
    with pytest.raises(LdvError):
        sink._connected().rows(Sql("SELECT 1 WHERE 0"))


@pytest.mark.parametrize("proxy", [another_id(), no_id()], ids=["puts its own", "takes it away"])
def test_behind_a_proxy_that_hides_our_id_rows_are_read_back(
    front: faults.FaultFront, sink: ClickHouseSink, proxy: faults.Action
) -> None:
    """The answer to the insert proves nothing there; the rows do, and each is stored once."""
    front.add(proxy)
    batch = a_batch()
    with pytest.raises(NotProven):
        sink.send(batch)
    batch = a_batch()
    deliver_whole(batch, sink, wait=lambda _: pytest.fail("a pause"))
    front.clear()
    assert stored(sink, batch) == (3, 3)


def test_behind_such_a_proxy_everything_works(front: faults.FaultFront) -> None:
    """Connecting, making tables, writing and reading; an id of somebody else is no reason not to read."""
    front.add(another_id())
    behind = settings_at(front.port, f"proven_{next(_databases)}")
    apply_schema(behind)
    sink = ClickHouseSink(behind)
    sink.open()
    batch = a_batch()
    deliver_whole(batch, sink, wait=lambda _: pytest.fail("a pause"))
    assert sink._connected().rows(Sql("SELECT count() FROM logregel WHERE name = 'nobody'")) == [(0,)]
    assert sink._connected().rows(Sql("SELECT seq FROM logregel WHERE name = 'nobody'")) == []
    assert stored(sink, batch) == (3, 3)
    sink.close()


@pytest.mark.parametrize("name", ["insert_deduplication_token", "async_insert"])
def test_a_gateway_that_drops_settings_is_noticed_at_the_start(
    front: faults.FaultFront, sink: ClickHouseSink, name: str
) -> None:
    """Before anything is written: inserts would look well, and a repeated one be stored twice."""

    async def drop(exchange: faults.Exchange) -> None:
        target = exchange.request.target
        path, _, query = target.partition("?")
        kept = "&".join(part for part in query.split("&") if not part.startswith(f"{name}="))
        request = replace(
            exchange.request,
            head=exchange.request.head.replace(target.encode(), f"{path}?{kept}".encode(), 1),
            target=f"{path}?{kept}",
        )
        await exchange.reply(await replace(exchange, request=request).forward())

    front.add(drop)
    other = ClickHouseSink(sink._settings)
    with pytest.raises(LogboekSetupError, match=name):
        other.open()
    front.clear()
    other.open()
    other.close()


def test_an_answer_to_somebody_else_is_not_read(front: faults.FaultFront, sink: ClickHouseSink) -> None:
    """Where answers had our own ids, one with another id is out of step; and the next one is believed again."""
    parse_sent(sink)
    front.add(faults.answer_of_another(), times=1)
    with pytest.raises(LogboekUnavailable, match="another request"):
        sink._connected().rows(Sql("SELECT 1"))
    assert sink._connected().rows(Sql("SELECT 1")) == [(1,)]


def test_what_takes_inserts_and_stores_nothing_is_not_asked_without_end(
    front: faults.FaultFront, sink: ClickHouseSink
) -> None:
    """Once more at once, under a new token; then with pauses, and nothing is confirmed meanwhile."""
    lie = Lie(200, "none", "length", {}, b"")
    front.add(tell(lie, []), when=faults.is_insert, times=6)
    before, pauses = front.counts["INSERT"], []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    batch = a_batch()
    deliver_whole(batch, sink, wait=wait)
    assert stored(sink, batch) == (3, 3)
    assert front.counts["INSERT"] - before <= 8
    assert len(pauses) >= 3


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (faults.refuse(401), ConfigurationError, "401 Unauthorized"),
        (faults.refuse(403), ConfigurationError, "403 Forbidden.*gateway"),
        (faults.refuse(404), ConfigurationError, "404 Not Found.*right host and port"),
        (faults.refuse(407), ConfigurationError, "407 Proxy Auth.*NO_PROXY"),
        (faults.refuse(302, location="http://127.0.0.1:1/"), ConfigurationError, "302 Found.*elsewhere"),
        (faults.refuse(413), BatchTooLarge, "413.*client_max_body_size"),
        (faults.refuse(429), LogboekUnavailable, "429 Too Many Requests"),
        (faults.refuse(429, retry_after="7"), LogboekUnavailable, "429.*alone for 7 s"),
        (faults.refuse(502), LogboekUnavailable, "502 Bad Gateway.*proxy"),
        (faults.refuse(503), LogboekUnavailable, "503 Service Unavailable"),
        (faults.refuse(504), LogboekUnavailable, "504 Gateway Timeout"),
        (faults.refuse(599), LogboekUnavailable, "answered 599,"),
        (faults.refuse(200, content_type="text/html"), LogboekUnavailable, "200 OK .text/html.*login page"),
    ],
)
def test_the_message_names_the_status_and_the_likely_cause(
    front: faults.FaultFront, sink: ClickHouseSink, action: faults.Action, error: type[LdvError], words: str
) -> None:
    """From the first request on, that of connecting, which is no insert and so has no size that could be at fault."""
    front.add(action, when=faults.is_insert)
    with pytest.raises(error, match=f"(?s){words}"):
        sink.send(a_batch())
    front.clear()
    front.add(action)
    with pytest.raises(ConfigurationError if error is ConfigurationError else LogboekUnavailable, match=words[:3]):
        LogboekClient(sink._settings)


def test_the_first_answer_already_may_ask_to_be_left_alone(front: faults.FaultFront, sink: ClickHouseSink) -> None:
    """The request of connecting is one like any other."""
    front.add(faults.refuse(503, retry_after="17"))
    with pytest.raises(LogboekUnavailable) as caught:
        LogboekClient(sink._settings)
    assert caught.value.retry_after_seconds == 17


def test_the_driver_keeps_no_connection_that_was_closed(front: faults.FaultFront, sink: ClickHouseSink) -> None:
    """It has a list of all pools it has met; in an outage of a week there are many."""
    before = len(all_managers)
    for _ in range(3):
        with LogboekClient(sink._settings):
            continue
    front.add(faults.refuse(503))
    for _ in range(3):
        with pytest.raises(LogboekUnavailable):
            LogboekClient(sink._settings)
    assert len(all_managers) == before

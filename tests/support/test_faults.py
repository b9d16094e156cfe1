from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, StreamFailureError

from tests.support.faults import (
    Action,
    FaultFront,
    cut_after,
    cut_before,
    delay,
    exception_header,
    is_insert,
    kill_before,
    kill_while,
    late_exception,
    refuse,
)
from tests.support.logboek import DATABASE, SECRET, LogboekProcess


@pytest.fixture(scope="module")
def logboek(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """A Logboek that tests may kill, and must start again."""
    with LogboekProcess(tmp_path_factory.mktemp("faults") / "logboek") as process:
        yield process


@pytest.fixture
def front(logboek: LogboekProcess) -> Iterator[FaultFront]:
    """A front before it, with an empty table `t` behind both."""
    with FaultFront(logboek.port, kill=logboek.kill) as opened:
        with connect(opened.port) as client:
            client.command("CREATE TABLE IF NOT EXISTS t (id UInt64) ENGINE = MergeTree ORDER BY id")
        _before.append(rows_of(logboek))
        opened.counts.clear()
        yield opened


def connect(port: int) -> Client:
    """Open the real driver; it must not hide faults by trying again."""
    client = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=port,
        password=SECRET,
        database=DATABASE,
        autogenerate_session_id=False,
        query_retries=0,
        connect_timeout=5,
    )
    transport: Any = client
    transport.http_retries = 0
    return client


def insert(client: Client) -> None:
    """Insert one row."""
    client.insert("t", [[1]], column_names=["id"], column_type_names=["UInt64"])


#: Rows that the table had before each test: `ldv logboek` lets nobody drop or empty one.
_before: list[int] = []


def stored(logboek: LogboekProcess) -> int:
    """Count the rows of a test, past the front."""
    return rows_of(logboek) - _before[-1]


def rows_of(logboek: LogboekProcess) -> int:
    """Count all rows."""
    with connect(logboek.port) as client:
        return int(client.query("SELECT count() FROM t").result_rows[0][0])


def test_without_rules_the_front_is_not_there(front: FaultFront, logboek: LogboekProcess) -> None:
    """What no rule names passes unchanged, also large and in both directions, and is counted."""
    with connect(front.port) as client:
        insert(client)
        assert len(client.query("SELECT number, toString(number) FROM numbers(300000)").result_rows) == 300_000
    assert stored(logboek) == 1
    assert front.counts["INSERT"] == 1
    assert front.counts[""] == sum(front.counts.values()) - front.counts[""]


@pytest.mark.parametrize(
    ("action", "error", "rows"),
    [
        (refuse(503), DatabaseError, 0),
        (refuse(500), DatabaseError, 0),
        # Two attempts each: the driver sends an insert again by itself when the connection is cut.
        (cut_before(), OperationalError, 0),
        (cut_after(), OperationalError, 2),
        (exception_header(252), DatabaseError, 0),
    ],
)
def test_a_fault_strikes_the_insert_and_nothing_else(
    front: FaultFront, logboek: LogboekProcess, action: Action, error: type[Exception], rows: int
) -> None:
    """The driver sees a failure, the table tells whether it took effect, and the next insert is served."""
    front.add(action, when=is_insert)
    with connect(front.port) as client:
        with pytest.raises(error):
            insert(client)
        assert stored(logboek) == rows
        front.clear()
        insert(client)
    assert stored(logboek) == rows + 1


def test_a_rule_is_used_up(front: FaultFront, logboek: LogboekProcess) -> None:
    """One cut is one cut: the driver's own second attempt gets through, and nobody above it hears of the first."""
    front.add(cut_after(), when=is_insert, times=1)
    with connect(front.port) as client:
        insert(client)
    assert front.counts["INSERT"] == 2
    assert stored(logboek) == 2


def test_a_late_exception_looks_like_success_to_who_does_not_read_it(
    front: FaultFront, logboek: LogboekProcess
) -> None:
    """Status 200 with an exception in the body: the driver notices it in a query, but not after an insert."""
    with connect(front.port) as client:
        front.add(late_exception(241), times=1)
        with pytest.raises(StreamFailureError) as failed:
            client.query("SELECT 1")
        assert failed.value.code == 241
        front.add(late_exception(241), when=is_insert, times=1)
        insert(client)
    assert stored(logboek) == 0


def test_a_delay_is_only_that(front: FaultFront, logboek: LogboekProcess) -> None:
    """A slow answer is still an answer."""
    front.add(delay(0.3), when=is_insert)
    with connect(front.port) as client:
        started = time.monotonic()
        insert(client)
        assert time.monotonic() - started > 0.25
    assert stored(logboek) == 1


def test_a_closed_listener_refuses_connections(front: FaultFront) -> None:
    """A server that is down, and comes back on the same port."""
    with connect(front.port) as client:
        front.close_listener()
        with pytest.raises(OperationalError):
            client.query("SELECT 1")
        front.open_listener()
        assert client.query("SELECT 1").result_rows == [(1,)]


@pytest.mark.parametrize("action", [kill_before(), kill_while(0.001)])
def test_a_killed_backend_comes_back_behind_the_front(
    front: FaultFront, logboek: LogboekProcess, action: Action
) -> None:
    """The front outlives the server behind it, which keeps its port."""
    front.add(action, when=is_insert, times=1)
    with connect(front.port) as client:
        with pytest.raises(OperationalError):
            insert(client)
        assert logboek.pid == 0
        with pytest.raises(OperationalError):
            client.query("SELECT 1")
        logboek.start()
        before = stored(logboek)
        assert before in {0, 1}
        insert(client)
    assert stored(logboek) == before + 1

"""`ldv serve` as a process: under load, without its store, with clients that dawdle, and told to stop."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key, keys_for
from ldv_otel._internal.record.logregel import Logregel
from tests.support.logboek import LogboekProcess
from tests.support.serving import ServeProcess, environ_of

TRACE = b"\x01" * 16
OPEN = "--without-authentication"


def fill(settings: Settings) -> None:
    """Store fifty records, as a service does: with its keys there."""
    apply_schema(settings)
    if settings.logboek.embedded:
        keys_for(settings)
    sink = ClickHouseSink(settings)
    sink.open()
    records = [
        Logregel(trace_id=TRACE, span_id=number.to_bytes(8, "big"), name=f"{number}", start_time_ms=1, end_time_ms=2)
        for number in range(1, 51)
    ]
    sink.send(number_batch(new_writer_id(), 0, records))
    sink.close()


def ask(process: ServeProcess, *, limit: int = 50) -> httpx.Response:
    """Ask for all of it."""
    target = f"{process.base}/processing-activities?limit={limit}"
    return httpx.post(target, json={"traceId": TRACE.hex()}, timeout=30)


def test_an_embedded_logboek_answers_many_at_once(tmp_path: Path) -> None:
    """One engine, several questions at a time; and it is let go of at the end."""
    environ = {"LDV_LOGBOEK": f"chdb://{tmp_path / 'logboek'}", "LDV_SERVE_SECONDS": "60"}
    filler = f"""
import os
from ldv_otel._internal.config.settings import read_settings
from tests.api.test_server import fill
fill(read_settings({environ!r}))
"""
    subprocess.run([sys.executable, "-c", filler], check=True, timeout=60)
    with ServeProcess(environ, OPEN, log=tmp_path / "log") as process:
        with ThreadPoolExecutor(12) as executor:
            answers = list(executor.map(lambda limit: (limit, ask(process, limit=limit)), range(1, 49, 3)))
        for limit, answer in answers:
            assert [record["name"] for record in answer.json()["processingActivities"]] == [
                str(number + 1) for number in range(limit)
            ]
        assert process.stop() == 0


def test_one_client_leaves_connections_to_others(tmp_path: Path) -> None:
    """Half-open ones too, and before it has said who it is: the limit is of an address, and is given back."""
    environ = {"LDV_LOGBOEK": f"chdb://{tmp_path / 'logboek'}", "LDV_SERVE_SECONDS": "60"}
    filler = f"""
import os
from ldv_otel._internal.config.settings import read_settings
from tests.api.test_server import fill
fill(read_settings({environ!r}))
"""
    subprocess.run([sys.executable, "-c", filler], check=True, timeout=60)
    with ServeProcess(environ, OPEN, log=tmp_path / "log") as process, ExitStack() as stack:
        target = urlsplit(process.address)
        assert target.port
        # All of 127.0.0.0/8 is this machine, so this is another client.
        other = stack.enter_context(httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2"), timeout=30))
        half_open = [
            stack.enter_context(socket.create_connection(("127.0.0.1", target.port), timeout=10)) for _ in range(600)
        ]
        for connection in half_open[:50]:
            connection.sendall(b"POST /lezenapi/v1/processing-activities HTTP/1.1\r\n")
        assert other.post(f"{process.base}/processing-activities", json={"traceId": TRACE.hex()}).status_code == 200
        # The same client gets no further one.
        with pytest.raises(httpx.TransportError):
            ask(process)
        for connection in half_open:
            connection.close()
        deadline = time.monotonic() + 30
        while True:
            try:
                assert ask(process).status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_while_the_store_is_away_questions_get_503_and_later_answers_again(tmp_path: Path) -> None:
    """Without a word of where it is, or of the driver."""
    with LogboekProcess(tmp_path / "logboek") as store:
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=store.port, database="ldv")
        settings = Settings(logboek=address, keys=tmp_path / "keys.json")
        fill(settings)
        add_key(tmp_path / "keys.json")
        environ = environ_of(settings) | {"LDV_SERVE_SECONDS": "5"}
        with ServeProcess(environ, OPEN, log=tmp_path / "log") as process:
            assert len(ask(process).json()["processingActivities"]) == 50
            store.kill()
            for _ in range(3):
                answer = ask(process)
                assert answer.status_code == 503
                assert answer.headers["content-type"] == "application/problem+json"
                assert int(answer.headers["retry-after"]) > 0
                assert str(store.port) not in answer.text
            store.start()
            assert len(ask(process).json()["processingActivities"]) == 50
            assert process.says(f"clickhouse+http://127.0.0.1:{store.port}/ldv")  # for its owner


HEAD = b"POST /lezenapi/v1/processing-activities HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
WHOLE = b"GET /lezenapi/v1/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture(scope="module")
def impatient(served_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server that gives each request half a second."""
    environ = environ_of(served_settings) | {"LDV_SERVE_SECONDS": "0.5"}
    with ServeProcess(environ, OPEN, log=tmp_path_factory.mktemp("impatient") / "log") as process:
        yield process


@pytest.mark.parametrize("drip", [b"", b"a"], ids=["silent", "dripping"])
@pytest.mark.parametrize(
    "sent",
    [b"", HEAD, HEAD + b"Content-Length: 5000\r\n\r\n{", WHOLE + b"GET /lez"],
    ids=["nothing", "half a head", "half a body", "half a second head"],
)
def test_a_client_that_dawdles_is_hung_up_on(impatient: ServeProcess, sent: bytes, drip: bytes) -> None:
    """It would otherwise hold a connection for as long as it likes, and there are only so many."""
    with socket.create_connection(("127.0.0.1", urlsplit(impatient.address).port or 0)) as client:
        client.settimeout(0.1)
        client.sendall(sent)
        hung_up = False
        for _ in range(300):
            try:
                if not client.recv(65_536):
                    hung_up = True
                    break
            except TimeoutError:
                client.sendall(drip)
            except ConnectionError:
                hung_up = True
                break
        assert hung_up

"""Our connections beside those of the application, by the same driver in the same process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import clickhouse_connect
import pytest
from clickhouse_connect.datatypes.format import (
    clear_read_format,
    clear_write_format,
    set_read_format,
    set_write_format,
)

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import number_batch
from ldv_otel._internal.record.logregel import Logregel
from tests.support.logboek import SECRET, LogboekProcess

RECORD = Logregel(
    trace_id=b"t" * 16,
    span_id=b"s" * 8,
    parent_span_id=b"\xff" * 8,
    name="Wijzig kenteken",
    start_time_ms=1,
    end_time_ms=2,
    outbound_span_ids=(b"o" * 8,),
    attributes={"a": "b"},
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """A server for both."""
    with LogboekProcess(tmp_path_factory.mktemp("connect") / "logboek") as process:
        apply_schema(settings_for(process))
        yield process


@pytest.fixture
def formats_of_the_application() -> Iterator[None]:
    """Defaults that the application gives the driver, for all its clients."""
    set_write_format("FixedString", "string")
    set_read_format("FixedString", "string")
    set_read_format("UInt64", "string")
    set_read_format("Enum8", "int")
    yield
    clear_write_format("*")
    clear_read_format("*")


def settings_for(server: LogboekProcess) -> Settings:
    """The server as a Logboek."""
    return Settings(logboek=LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=server.port))


def test_the_application_keeps_its_sessions(server: LogboekProcess) -> None:
    """A client that the application makes after ours has a session of its own; ours has none."""
    with LogboekClient(settings_for(server)) as ours:
        theirs = clickhouse_connect.get_client(host="127.0.0.1", port=server.port, username="default", password=SECRET)
        assert theirs.get_client_setting("session_id")
        assert not ours._client.get_client_setting("session_id")
        theirs.close()


@pytest.mark.usefixtures("formats_of_the_application")
def test_formats_of_the_application_are_not_ours(server: LogboekProcess) -> None:
    """What the application wants its columns as changes neither what is stored nor what is read."""
    settings = settings_for(server)
    sink = ClickHouseSink(settings)
    sink.send(number_batch("w", 0, [RECORD]))
    assert sink.read_back(number_batch("w", 0, [RECORD])) == {0}
    sink.close()
    with LogboekClient(settings) as client:
        assert [found.logregel for found in records.by_trace(client, RECORD.trace_id.hex())] == [RECORD]


def test_an_insert_does_not_import_numpy() -> None:
    """A service that has numpy installed, and no use for it, does not pay for it."""
    program = """
import sys
from ldv_otel._internal.clickhouse.columns import columns_of
from ldv_otel._internal.clickhouse.encoding import block
from ldv_otel._internal.delivery.batch import number_batch
from tests.clickhouse.test_connect import RECORD

assert block(columns_of(number_batch("w", 0, [RECORD])))
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

"""An account with `readonly = 1`, as administrators give to who only reads: it may change no setting of a query."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import oversight
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.sql import BY_TRACE
from ldv_otel._internal.clickhouse.read_settings import READ_SETTINGS, without_settings
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import QUERY_TIME_MAX_MS
from ldv_otel.errors import LogboekSetupError
from tests.support import faults
from tests.support.logboek import SECRET, LogboekProcess

TRACE = b"\x07" * 16
PERSON = b"\x09" * 16
ACTIVITY = "https://register.example/activiteiten/parkeren"


@pytest.fixture(scope="module")
def account(logboek_process: LogboekProcess) -> Iterator[Settings]:
    """A Logboek with a record, through an account that may set nothing: each of its requests says `readonly=1`."""

    async def as_readonly(exchange: faults.Exchange) -> None:
        head = exchange.request.head.replace(b" /?", b" /?readonly=1&", 1)
        exchange.request = replace(exchange.request, head=head)
        await exchange.reply(await exchange.forward())

    with faults.FaultFront(logboek_process.port) as front:
        direct = Settings(logboek=_address(logboek_process.port), password=SECRET)
        apply_schema(direct)
        sink = ClickHouseSink(direct)
        sink.open()
        moment = 1_767_225_600_000
        record = Logregel(
            trace_id=TRACE,
            span_id=b"s" * 8,
            name="Wijzig",
            start_time_ms=moment,
            end_time_ms=moment,
            processing_activity_id=ACTIVITY,
            data_subject_id=PERSON,
            data_subject_id_type="BSN",
            key_id="k",
        )
        sink.send(number_batch(new_writer_id(), 0, [record]))
        sink.close()
        front.add(as_readonly, when=faults.anything, times=100_000)
        yield Settings(logboek=_address(front.port), password=SECRET)


def _address(port: int) -> LogboekAddress:
    return LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=port, database="readonly_account")


def test_every_kind_of_reading_works(account: Settings) -> None:
    """By trace, person and period, and what watches over the Logboek."""
    with LogboekClient(account) as client:
        found = [
            read.by_trace(client, TRACE.hex()),
            read.by_subject(client, [PERSON]).records,
            read.in_period(client).records,
            read.by_activity(client, ACTIVITY).records,
        ]
        assert [[stored.logregel.name for stored in records] for records in found] == [["Wijzig"]] * 4
        assert read.writers(client)
        assert oversight.check_sequences(client, 0, QUERY_TIME_MAX_MS).gaps == []


@pytest.mark.parametrize(
    "arguments",
    [("trace", TRACE.hex()), ("activity", ACTIVITY), ("export", "{home}/out.parquet"), ("inzage", "--type=BSN")],
    ids=lambda arguments: arguments[0],
)
def test_the_commands_work(account: Settings, tmp_path: Path, arguments: tuple[str, str]) -> None:
    """As they stand."""
    environ = {
        **os.environ,
        "LDV_LOGBOEK": str(account.logboek),
        "LDV_LOGBOEK_PASSWORD": SECRET,
        "LDV_KEYS": str(tmp_path / "keys.json"),
    }
    add_key(tmp_path / "keys.json")
    command = [sys.executable, "-m", "ldv_otel._internal.cli", *(word.format(home=tmp_path) for word in arguments)]
    ran = subprocess.run(command, env=environ, input="123456782\n", capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    # Nobody has that number here.
    expected = {"export": "1 ", "inzage": ""}.get(arguments[0], "Wijzig")
    assert expected in ran.stdout + ran.stderr


def test_what_needs_a_limit_says_readonly_2(account: Settings) -> None:
    """A server for others bounds what a question costs, and does not go on without that bound."""
    with (
        LogboekClient(account, limits={"max_execution_time": 5}) as client,
        pytest.raises(LogboekSetupError, match="readonly = 2"),
    ):
        read.by_trace(client, TRACE.hex())


def test_what_is_left_out_is_that_clause_only() -> None:
    """A query has it once, and is the same otherwise."""
    with_clause = f"SETTINGS {READ_SETTINGS.text}"
    texts = [query.text for query in (BY_TRACE.whole, BY_TRACE.by_terms, BY_TRACE.no_term_ended)]
    assert all(with_clause in text for text in texts)
    assert all(without_settings(text) == text.replace(with_clause, "") for text in texts)
    assert without_settings(f"SELECT 1 {with_clause}") == "SELECT 1 "
    assert without_settings("SELECT 'SETTINGS a = 1'") == "SELECT 'SETTINGS a = 1'"

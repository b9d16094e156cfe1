from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.columns import columns_of
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema, check_schema, migrations, schema_status
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel.errors import BatchRefused, QueryError, SchemaError
from tests.strategies import logregels
from tests.support.chance import examples

RECORD: dict[str, Any] = {
    "trace_id": b"t" * 16,
    "span_id": b"s" * 8,
    "name": "Wijzig kenteken",
    "start_time_ms": 1_750_000_000_123,
    "end_time_ms": 1_750_000_000_456,
    "processing_activity_id": "https://register.example/a",
}


@hypothesis_settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records=st.lists(logregels(), min_size=1, max_size=5, unique_by=lambda record: record.span_id))
def test_what_is_stored_is_what_is_read(sink: ClickHouseSink, client: LogboekClient, records: list[Logregel]) -> None:
    """Every field of any record comes back as it was, byte for byte."""
    batch = number_batch(new_writer_id(), 0, records)
    sink.send(batch)
    for seq, record in enumerate(records):
        found = [item for item in read.by_trace(client, record.trace_id.hex()) if item.writer_id == batch.writer_id]
        assert [item.logregel for item in found if item.seq == seq] == [record]


def test_the_view_speaks_the_standard(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Plain SQL for an auditor: ids as hex text, the standard's names."""
    record = Logregel(
        **RECORD,
        parent_span_id=b"p" * 8,
        status=Status.ERROR,
        data_subject_id=b"d" * 16,
        data_subject_id_type="BSN",
        foreign_operation_trace_id=b"f" * 16,
        foreign_operation_span_id=b"g" * 8,
        outbound_span_ids=(b"o" * 8,),
        attributes={"dpl.objects.algorithm_id": "alg", "ldv.flags": "name_cut,value_cut"},
        resource='{"service.name":"gemeente"}',
    )
    sink.send(number_batch("w", 3, [record]))
    rows = client.rows(
        Sql(
            "SELECT trace_id, span_id, parent_span_id, status, name, toUnixTimestamp64Milli(start_time), "
            "toUnixTimestamp64Milli(end_time), processing_activity_id, data_subject_id, data_subject_id_type, "
            "foreign_operation_trace_id, foreign_operation_span_id, outbound_span_ids, "
            "attributes['dpl.objects.algorithm_id'], resource['service.name'], flags, writer_id, seq FROM logregels"
        )
    )
    assert rows == [
        (
            "74" * 16, "73" * 8, "70" * 8, "Error", "Wijzig kenteken", 1_750_000_000_123, 1_750_000_000_456,
            "https://register.example/a", "64" * 16, "BSN", "66" * 16, "67" * 8, ["6f" * 8], "alg", "gemeente",
            ["name_cut", "value_cut"], "w", 3,
        )
    ]  # fmt: skip
    sink.send(number_batch("w", 4, [Logregel(**RECORD)]))
    assert client.rows(
        Sql(
            "SELECT parent_span_id, data_subject_id, foreign_operation_trace_id, foreign_operation_span_id, flags, "
            "status FROM logregels WHERE seq = 4"
        )
    ) == [("", "", "", "", [], "Unset")]


def test_a_batch_is_one_block_whatever_its_size(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Deduplication holds block by block, so a large batch sent twice is stored once."""
    heavy = [Logregel(**RECORD, attributes={"dpl.objects.dataset": f"{number}" * 2_000}) for number in range(3_000)]
    batch = number_batch(new_writer_id(), 0, heavy)
    sink.send(batch)
    sink.send(batch)
    assert client.rows(Sql("SELECT count(), uniqExact(seq) FROM logregel")) == [(3_000, 3_000)]
    assert client.rows(
        Sql("SELECT count() FROM system.parts WHERE active AND table = 'logregel' AND database = currentDatabase()")
    ) == [(1,)]


def test_records_of_any_year_fit_one_batch(sink: ClickHouseSink, client: LogboekClient) -> None:
    """A clock that jumps may not make a batch that the server refuses for its many partitions."""
    years = [
        Logregel(**RECORD | {"start_time_ms": year * 31_556_952_000, "end_time_ms": year * 31_556_952_000})
        for year in range(290)
    ]
    sink.send(number_batch(new_writer_id(), 0, years))
    assert client.rows(Sql("SELECT count() FROM logregel")) == [(290,)]


class TestSchema:
    """Versions of the tables."""

    def test_no_tables(self, settings: Settings) -> None:
        """A store without tables is refused with the way out; applying twice applies once."""
        with LogboekClient(settings, database="default") as client:
            client.command(Sql.verbatim(f"CREATE DATABASE {settings.logboek.database}"))
        with LogboekClient(settings) as client, pytest.raises(SchemaError, match="ldv schema apply"):
            check_schema(client)
        assert [found.version for found in apply_schema(settings)] == [found.version for found in migrations()]
        assert apply_schema(settings) == []
        with LogboekClient(settings) as client:
            check_schema(client)

    def test_a_newer_store_is_left_alone(self, settings: Settings) -> None:
        """An old package does not write to, or change, what a newer one made."""
        apply_schema(settings)
        with LogboekClient(settings) as client:
            client.command(Sql("INSERT INTO ldv_schema (version, name) SELECT 9999, 'from the future'"))
            with pytest.raises(SchemaError, match="Upgrade ldv_otel"):
                check_schema(client)
        with pytest.raises(SchemaError, match="9999"):
            apply_schema(settings)
        sink = ClickHouseSink(settings)
        with pytest.raises(SchemaError, match="9999"):
            sink.open()

    def test_a_table_that_forgets_batches_is_refused(self, settings: Settings) -> None:
        """Without the deduplication window a retry is stored twice."""
        apply_schema(settings)
        with LogboekClient(settings) as client:
            client.command(Sql("ALTER TABLE logregel MODIFY SETTING non_replicated_deduplication_window = 0"))
            assert schema_status(client).deduplication_window == 0
            with pytest.raises(SchemaError, match="non_replicated_deduplication_window"):
                check_schema(client)

    def test_a_migration_that_was_cut_short_is_run_again(self, settings: Settings) -> None:
        """Every statement can be repeated."""
        apply_schema(settings)
        with LogboekClient(settings) as client:
            client.command(Sql("ALTER TABLE ldv_schema DROP PARTITION ALL"))
        assert len(apply_schema(settings)) == len(migrations())


class TestErrors:
    """What goes wrong is said so that somebody can act on it."""

    def test_a_dropped_table(self, sink: ClickHouseSink, client: LogboekClient) -> None:
        """The tables went away under a running service."""
        if not client.address.embedded:
            pytest.skip("`ldv logboek` drops nothing")
        client.command(Sql("DROP VIEW logregels"))
        client.command(Sql("DROP TABLE logregel"))
        with pytest.raises(SchemaError, match="ldv schema apply"):
            sink.send(number_batch("w", 0, [Logregel(**RECORD)]))

    def test_refused_as_data(self, client: LogboekClient) -> None:
        """The server will never take it: not an outage. And what was inserted is not quoted."""
        columns = {"trace_id": ("String", [b"not sixteen bytes, and secret"])}
        with pytest.raises(BatchRefused) as caught:
            client.insert("logregel", columns, {})
        assert "secret" not in str(caught.value)
        assert caught.value.code

    @pytest.mark.parametrize("trace_id", ["", "xyz", "0" * 31, "0" * 33, "'; DROP TABLE logregel"])
    def test_a_malformed_trace_id(self, client: LogboekClient, trace_id: str) -> None:
        """A question, not a statement."""
        with pytest.raises(QueryError, match="32 hexadecimal digits"):
            read.by_trace(client, trace_id)

    @pytest.mark.parametrize(
        "ask", [lambda client: client.rows(Sql("SELEKT")), lambda client: client.rows(Sql("SELECT {x:UInt8}"))]
    )
    def test_a_bad_question(self, client: LogboekClient, ask: Callable[[LogboekClient], Any]) -> None:
        """Somebody's SQL is wrong; the Logboek is not away."""
        with pytest.raises(QueryError):
            ask(client)


def test_parameters_are_values_and_nothing_else(sink: ClickHouseSink, client: LogboekClient) -> None:
    """Text from outside never becomes SQL."""
    hostile = "x' OR 1=1 --\\'\n{a:String}"
    sink.send(number_batch("w", 0, [Logregel(**RECORD | {"processing_activity_id": hostile})]))
    assert len(read.by_activity(client, hostile).records) == 1
    assert read.by_activity(client, "x' OR 1=1 --").records == []


@pytest.mark.parametrize("version", [found.version for found in migrations()[:-1]])
def test_an_upgrade_keeps_what_is_there(settings: Settings, version: int) -> None:
    """From each earlier version, with rows in the table: they are all readable afterwards."""
    apply_schema(settings, up_to=version)
    record = Logregel(**RECORD)
    batch = number_batch("old", 0, [record, record])
    with LogboekClient(settings) as client:
        assert schema_status(client).current == version
        with pytest.raises(SchemaError, match="ldv schema apply"):
            check_schema(client)
        known = {row[0] for row in client.rows(Sql("SELECT name FROM system.columns WHERE table = 'logregel'"))}
        columns = {name: column for name, column in columns_of(batch).items() if name in known}
        client.insert("logregel", columns, {})
    apply_schema(settings)
    with LogboekClient(settings) as client:
        check_schema(client)
        assert [found.logregel for found in read.by_trace(client, record.trace_id.hex())] == [record, record]
        assert client.rows(Sql("SELECT count() FROM logregels")) == [(2,)]


def test_views_are_made_anew(settings: Settings) -> None:
    """What an earlier version of the package showed, or somebody changed, is put right without a new number."""
    apply_schema(settings)
    with LogboekClient(settings) as client:
        client.command(Sql("CREATE OR REPLACE VIEW logregels AS SELECT 1 AS something_else"))
        assert apply_schema(settings) == []
        assert client.rows(Sql("SELECT trace_id FROM logregels")) == []


def test_every_view_is_read_from_another_database_too(settings: Settings, client: LogboekClient) -> None:
    """As tools do that name the database in the query: a view that asks another view finds it where it is itself."""
    database = client.address.database
    values = {"trace_id": "07" * 16, "span_id": "07" * 8, "subject": "07" * 16, "activiteit": "urn:a", "writer": "w"}
    values |= {"vanaf": "2026-01-01 00:00:00", "tot": "2026-02-01 00:00:00"}
    views = client.rows(
        Sql(
            "SELECT name, create_table_query FROM system.tables WHERE database = {database:String} AND engine = 'View'"
        ),
        {"database": database},
    )
    assert len(views) > 10
    with LogboekClient(settings, database="") as elsewhere:
        for name, text in views:
            parameters = ", ".join(
                f"{parameter} = '{values[parameter]}'" for parameter in set(re.findall(r"\{(\w+):", text))
            )
            arguments = f"({parameters})" if parameters else ""
            assert elsewhere.rows(Sql.verbatim(f"SELECT count() FROM {database}.{name}{arguments}")) is not None

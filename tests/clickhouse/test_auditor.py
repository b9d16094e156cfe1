"""Every question of docs/auditor.md, as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.retention.apply import apply_retention
from ldv_otel._internal.clickhouse.retention.plan import plan_retention
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.made import write_verification
from ldv_otel._internal.clickhouse.verification.verify import verify
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.register.register import Register
from ldv_otel._internal.register.source import RegisterSource
from tests.clickhouse.conftest import empty_store

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "auditor.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"```sql\n(.*?);\n```", PAGE, re.DOTALL)

VOEREN = "https://register.gemeente.example/activiteiten/parkeervergunningadministratie-voeren"
CONTROLEREN = "https://register.gemeente.example/activiteiten/tenaamstelling-controleren"
BEHEREN = "https://register.gemeente.example/activiteiten/parkeervergunningen-beheren"
NOVEMBER = int(datetime(2026, 11, 22, 9, tzinfo=UTC).timestamp() * 1_000)
OUTER, INNER = b"\x01" * 8, b"\x02" * 8


def record(offset_ms: int, **more: Any) -> Logregel:
    """A record of that morning."""
    fields: dict[str, Any] = {
        "trace_id": bytes.fromhex("0af7651916cd43dd8448eb211c80319c"),
        "span_id": abs(offset_ms).to_bytes(8),
        "name": "Wijzig kenteken",
        "start_time_ms": NOVEMBER + offset_ms,
        "end_time_ms": NOVEMBER + offset_ms + 7,
        "processing_activity_id": VOEREN,
        "data_subject_id": bytes.fromhex("5d41402abc4b2a76b9719d911017c592"),
        "data_subject_id_type": "BSN",
        "resource": '{"service.name":"parkeervergunningen"}',
    }
    return Logregel(**fields | more)


RECORDS = [
    record(0, span_id=OUTER),
    record(1, span_id=INNER, parent_span_id=OUTER, name="Controleer tenaamstelling", processing_activity_id=CONTROLEREN,
           outbound_span_ids=(bytes.fromhex("c1d2e3f4a5b60718"),), external_read_api_id="https://ldv.rdw.example/v1"),
    record(2, trace_id=b"x" * 16, status=Status.ERROR, attributes={"exception.type": "TimeoutError"}),
    record(3, trace_id=b"y" * 16, foreign_operation_trace_id=bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736"),
           foreign_operation_span_id=bytes.fromhex("00f067aa0ba902b7"), foreign_operation_processor="https://cjib.example"),
    record(4, trace_id=b"z" * 16, processing_activity_id="", data_subject_id=b"", data_subject_id_type="",
           attributes={"ldv.flags": "activity_missing,name_cut"}),
    record(5, trace_id=b"u" * 16, processing_activity_id="urn:onbekend", data_subject_id_type="", resource="{}"),
    record(6, trace_id=b"v" * 16, processing_activity_id=BEHEREN),
    record(-20_000 * 86_400_000, span_id=b"o" * 8, trace_id=b"w" * 16, processing_activity_id=BEHEREN),
]  # fmt: skip
#: Places in the writer's sequence: two are lost, the last but one record is removed by its term.
SEQS = (0, 1, 2, 3, 6, 7, 9, 8)


@pytest.fixture(scope="module")
def audited(request: pytest.FixtureRequest) -> Iterator[LogboekClient]:
    """A Logboek with the example's Register, some days and a removal."""
    with empty_store("chdb", request) as settings:
        apply_schema(settings)
        sink = ClickHouseSink(settings)
        sink.open()
        sink.send(Batch(writer_id="8f1c0a2b3d4e5f60", seqs=SEQS, logregels=tuple(RECORDS)))
        sink.close()
        with LogboekClient(settings) as client:
            register = RegisterSource(str(ROOT / "examples" / "parkeervergunning" / "gemeente.register.yaml")).get()
            # Terms for the page's dates to lie within, whenever this runs; one record is older than that.
            entries = [msgspec.structs.replace(entry, retention="P50Y") for entry in register]
            apply_register(client, Register(entries))
            write_verification(client, verify(client), keys_named=False)
            apply_retention(client, plan_retention(client))
            yield client


#: What the questions answer, in the order of the page: all rows, reduced to some columns.
ANSWERS: list[tuple[str, tuple[int, ...], list[tuple[Any, ...]]]] = [
    ("who and why", (1, 3, 5), [
        ("Wijzig kenteken", "Parkeervergunningadministratie voeren", "Parkeerverordening 2024, artikel 3"),
        ("Controleer tenaamstelling", "Tenaamstelling controleren", "Parkeerverordening 2024, artikel 4"),
        ("Wijzig kenteken", "Parkeervergunningadministratie voeren", "Parkeerverordening 2024, artikel 3"),
        ("Wijzig kenteken", "Parkeervergunningadministratie voeren", "Parkeerverordening 2024, artikel 3"),
        ("Wijzig kenteken", "urn:onbekend", ""),
        ("Wijzig kenteken", "Parkeervergunningen beheren", "Parkeerverordening 2019"),
    ]),
    ("one activity", (1, 2), [
        ("Wijzig kenteken", "Unset"), ("Wijzig kenteken", "Error"), ("Wijzig kenteken", "Unset")]),
    ("with those below", (0, 1, 2), [(VOEREN, 3, 1), (CONTROLEREN, 1, 1), (BEHEREN, 1, 1)]),
    ("by activity", (0, 1, 4), [
        ("", 1, 1), ("urn:onbekend", 1, 1), (VOEREN, 3, 0), (CONTROLEREN, 1, 0), (BEHEREN, 1, 0)]),
    ("a trace", (1, 2, 4), [(7, "Wijzig kenteken", ""), (7, "Controleer tenaamstelling", "Wijzig kenteken")]),
    ("failures", (0, 1, 2), [(VOEREN, "TimeoutError", 1)]),
    ("a caller", (0, 1, 2, 3), [("https://cjib.example", VOEREN, 1, 1)]),
    ("done for them", (1, 2), [("Wijzig kenteken", VOEREN)]),
    ("behind their caller", (1, 2), [("Controleer tenaamstelling", CONTROLEREN)]),
    ("bent", (0, 1, 2), [("parkeervergunningen", "activity_missing", 1), ("parkeervergunningen", "name_cut", 1)]),
    ("missing", (0, 1, 2, 3, 4), [("", 0, 0, 1, 1), ("parkeervergunningen", 1, 1, 0, 0)]),
    ("writers with gaps", (0, 1, 2, 3, 4, 5), [("8f1c0a2b3d4e5f60", "parkeervergunningen", 7, 1, 2, 0)]),
    ("gaps", (0, 1), [(4, 5), (8, 8)]),
    ("removed", (3, 4, 7), [(BEHEREN, "P50Y", 1)]),
    ("checks", (3, 5, 6, 7, 8, 9), [(True, 8, 0, 0, 0, {})]),
    ("sealed", (1, 2), [(1, 1)]),
    ("rules", (3, 4), []),
]  # fmt: skip


def test_every_question_is_answered_here() -> None:
    """None on the page without its answer."""
    assert len(QUESTIONS) == len(ANSWERS)


@pytest.mark.parametrize("number", range(len(ANSWERS)), ids=[name for name, _, _ in ANSWERS])
def test_a_question_of_the_page(audited: LogboekClient, number: int) -> None:
    """It runs as it stands there, and says what it should."""
    name, columns, wanted = ANSWERS[number]
    rows = [tuple(row[column] for column in columns) for row in audited.rows(Sql.verbatim(QUESTIONS[number]))]
    if name == "rules":
        assert len(rows) == 6
    else:
        assert sorted(rows, key=str) == sorted(wanted, key=str)

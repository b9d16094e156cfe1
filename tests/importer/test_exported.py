"""`ldv import` reads what `ldv export` wrote: whatever a record holds, it comes back as it was."""

from __future__ import annotations

import csv
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.importer.exported import exported_record, exported_rows
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.times.instants import TIME_MAX_MS
from ldv_otel.attributes import KEPT_UNTIL
from tests.cli.test_cli import ldv
from tests.support.logboek import SECRET, LogboekProcess, settings_at

#: Also what files of tables, JSON and spreadsheet programs give a meaning to.
LETTERS = [
    *"ab=+-@|%'\"\\\\,;:{}[] \t\r\n0",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ufffd",
    "\u00e9",
    "e\u0301",
    "\U0001f600",
    "\x1b",
]
#: Everything that readers see, but who stored it.
SHOWN = Sql(
    "SELECT * EXCEPT (writer_id, seq) FROM logregels"
    " ORDER BY start_time, trace_id, span_id, name, status SETTINGS max_execution_time = 60"
)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """The real engine."""
    with LogboekProcess(tmp_path_factory.mktemp("exported") / "logboek") as running:
        yield running


def store(place: Settings, records: list[Logregel]) -> None:
    """Store records."""
    sink = ClickHouseSink(place)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, records))
    sink.close()


def shown(place: Settings) -> list[Any]:
    """What readers see."""
    with LogboekClient(place) as client:
        return client.rows(SHOWN)


def environ_of(process: LogboekProcess, database: str, directory: Path) -> dict[str, str]:
    """The variables of a command."""
    keys = directory / "keys.json"
    if not keys.exists():
        add_key(keys)
    return {name: value for name, value in os.environ.items() if not name.startswith("LDV_")} | {
        "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}/{database}",
        "LDV_LOGBOEK_PASSWORD": SECRET,
        "LDV_KEYS": str(keys),
        "LDV_STATE": str(directory / "state"),
        "LDV_SEAL": "0",
    }


def some_records() -> list[Logregel]:
    """Hundreds of any kind, the same each time, and the odd ones that nobody draws."""
    chance = random.Random(20261130)

    def text() -> str:
        return "".join(chance.choices(LETTERS, k=chance.choice([0, 1, 2, 3, 8])))

    def raw(size: int, *, absent: bool = True) -> bytes:
        return b"" if absent and chance.random() < 0.3 else b"\x01" + chance.randbytes(size - 1)

    drawn = []
    for number in range(300):
        began = chance.choice([0, 1, 999, 1_790_000_000_000, chance.randrange(TIME_MAX_MS)])
        drawn.append(
            Logregel(
                trace_id=raw(16, absent=False),
                span_id=number.to_bytes(8, "little"),
                parent_span_id=raw(8),
                status=chance.choice([*Status]),
                name=text(),
                start_time_ms=began,
                end_time_ms=chance.randint(began, TIME_MAX_MS),
                processing_activity_id=text(),
                parent_processing_activity_id=text(),
                data_subject_id=raw(16),
                data_subject_id_type=text(),
                key_id=text(),
                data_subject_sealed=text(),
                foreign_operation_trace_id=raw(16),
                foreign_operation_span_id=raw(8),
                foreign_operation_processor=text(),
                external_read_api_id=text(),
                outbound_span_ids=tuple(raw(8, absent=False) for _ in range(chance.randrange(3))),
                attributes={text(): text() for _ in range(chance.randrange(4))},
                resource=json.dumps({text(): text() for _ in range(chance.randrange(3))}),
            )
        )
    odd = [
        "=1+1",
        "'=1+1",
        "''=1",
        "'",
        "-",
        "\t=x",
        'a"b',
        "a,b\r\nc\n",
        " x ",
        "\u202e@",
        "{}",
        "null",
        "0",
        "\\N",
        "",
    ]
    base = Logregel(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        name="Stap",
        start_time_ms=1_790_000_000_000,
        end_time_ms=1_790_000_000_001,
    )
    records = [
        msgspec.structs.replace(
            base,
            span_id=number.to_bytes(8, "big"),
            name=text or "x",
            data_subject_id=bytes([number]) * 16,
            data_subject_id_type=text,
            key_id=text,
            attributes={text: text, "dpl.core.user": text},
            resource=json.dumps({"service.name": text}),
        )
        for number, text in enumerate(odd, 1)
    ]
    return [*drawn, *records]


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_what_went_out_comes_in(process: LogboekProcess, tmp_path: Path, format_: str) -> None:
    """Every record as it was, in any format; a second import stores nothing."""
    first, second = (
        msgspec.structs.replace(settings_at(process.port, f"{name}_{format_}"), seal=False) for name in ("uit", "terug")
    )
    for place in (first, second):
        apply_schema(place)
    # None that a term hides from readers.
    records = [record for record in some_records() if KEPT_UNTIL not in record.attributes]
    store(first, records)
    expected = shown(first)
    assert len(expected) == len({(record.trace_id, record.span_id) for record in records})
    file = tmp_path / f"export.{format_}"
    done = ldv(environ_of(process, first.logboek.database, tmp_path), "export", str(file))
    assert done.returncode == 0, done.stderr
    environ = environ_of(process, second.logboek.database, tmp_path)
    done = ldv(environ, "import", str(file), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["problems"], report["stored"]) == (0, [], len(expected))
    assert shown(second) == expected
    again = json.loads(ldv(environ, "import", str(file), "--json").stdout)
    assert (again["stored"], again["already_there"]) == (0, len(expected))


def test_texts_of_an_edited_export_are_normalised_and_flagged(process: LogboekProcess, tmp_path: Path) -> None:
    """As those of any other way in: what no Logboek can hold is changed, and the record says so."""
    place = msgspec.structs.replace(settings_at(process.port, "bewerkt"), seal=False)
    apply_schema(place)
    record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="Stap", start_time_ms=1_000, end_time_ms=2_000)
    store(place, [msgspec.structs.replace(record, attributes={"dpl.x": "waarde"})])
    assert ldv(environ_of(process, "bewerkt", tmp_path), "export", str(tmp_path / "a.csv")).returncode == 0
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    (tmp_path / "b.csv").write_text(text.replace("waarde", "\\ud800\\u0000x").replace("Stap", "St\0ap"), "utf-8")
    rows = [row for page in exported_rows(tmp_path / "b.csv") for row in page]
    before = csv.field_size_limit()
    (edited,) = map(exported_record, rows)
    assert edited.name == "St\ufffdap"
    assert edited.attributes["dpl.x"] == "\ufffd\ufffdx"
    assert edited.flags
    assert csv.field_size_limit() == before == 131_072


def test_rows_that_no_export_has_are_problems(process: LogboekProcess, tmp_path: Path) -> None:
    """With their number and column, and no value; the others are stored."""
    place = msgspec.structs.replace(settings_at(process.port, "stuk"), seal=False)
    apply_schema(place)
    record = Logregel(trace_id=b"t" * 16, span_id=b"s" * 8, name="Stap", start_time_ms=1_000, end_time_ms=2_000)
    store(place, [msgspec.structs.replace(record, span_id=bytes([number]) * 8) for number in range(1, 5)])
    environ = environ_of(process, "stuk", tmp_path)
    assert ldv(environ, "export", str(tmp_path / "a.csv")).returncode == 0
    lines = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].replace("74" * 16, "123456782")
    lines[2] = lines[2].replace("1970-01-01", "gisteren")
    lines[3] = lines[3].replace("Unset", "Goed")
    (tmp_path / "b.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    other = msgspec.structs.replace(settings_at(process.port, "heel"), seal=False)
    apply_schema(other)
    done = ldv(environ_of(process, "heel", tmp_path), "import", str(tmp_path / "b.csv"), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["stored"]) == (1, 1)
    assert [(each["location"], each["reason"]) for each in report["problems"]] == [
        ("row 1", "trace_id is not 32 hexadecimal digits"),
        ("row 2", "start_time is no moment"),
        ("row 3", "status is not Unset, Ok or Error"),
    ]
    assert "123456782" not in done.stdout + done.stderr
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and then nothing of it")
    done = ldv(environ_of(process, "heel", tmp_path), "import", str(tmp_path / "c.parquet"))
    assert (done.returncode, "the Parquet file is damaged" in done.stderr) == (1, True)

"""What each role of `ldv schema roles` may do and may not, on the real engine with its grants and row policies."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import apply_register
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.schema.roles import ROLES
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.batch import Batch, number_batch
from ldv_otel._internal.privacy.key_file import add_key, pseudonymiser_for
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.register.register import ProcessingActivity, Register
from ldv_otel.errors import LogboekSetupError
from tests.cli.test_cli import ldv
from tests.support.logboek import SECRET, LogboekProcess
from tests.support.roles import ACCESS_DENIED, RoleLogboek, codes_of

pytestmark = pytest.mark.slow

BSN: Final = "123456782"
TRACE: Final = "07" * 16
OPEN: Final = "https://register.example/activiteiten/parkeren"
CONFIDENTIAL: Final = "https://register.example/activiteiten/onderzoek"
#: The tables and views that a role may read whole, and the tables to which it may add; all others refuse it.
READS: Final[Mapping[str, frozenset[str] | None]] = {
    "ldv_writer": frozenset({"ldv_schema"}),
    "ldv_auditor": None,
    "ldv_inzage": frozenset(
        (
            *("logregel", "logregel_shown", "logregels", "logregels_van", "logregels_trace", "logregels_activiteit"),
            *("logregels_aanroeper", "logregels_aangeroepen", "technical_span", "technical_above", "ldv_register"),
            *("verwerkingsactiviteiten", "verwerkingsactiviteit_versies", "ldv_term", "ldv_subject_link"),
            *("ldv_manifest", "ldv_removal_note", "ldv_checkpoint", "ldv_schema"),
        )
    ),
    "ldv_beheer": None,
}
ADDS: Final[Mapping[str, frozenset[str] | None]] = {
    "ldv_writer": frozenset({"logregel", "collector_span"}),
    "ldv_auditor": frozenset({"ldv_verification"}),
    "ldv_inzage": frozenset(),
    "ldv_beheer": None,
}
REMOVES: Final = frozenset({"logregel", "ldv_manifest"})
#: What a service sees of stored records: whether its own arrived.
WRITERS_COLUMNS: Final = frozenset({"trace_id", "span_id", "start_time", "writer_id", "seq", "manifest"})

LATER: Final = "2100-01-01 00:00:00"
#: For the parameters of views.
VALUES: Final = {
    "trace_id": TRACE,
    "span_id": TRACE[:16],
    "subject": TRACE,
    "activiteit": OPEN,
    "writer": "writer-0",
    "vanaf": "2026-01-01 00:00:00",
    "tot": "2026-02-01 00:00:00",
}


class Store(NamedTuple):
    """A Logboek that is not running.

    Attributes:
        path: Its directory.
        tables: Columns and their types, of each.
        views: The parameters of each.
    """

    path: Path
    keys: Path
    tables: dict[str, dict[str, str]]
    views: dict[str, list[str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A Logboek with an ordinary record, a confidential one and one past its term, all about one person."""
    home = tmp_path_factory.mktemp("roles")
    keys = home / "keys.json"
    add_key(keys)
    with LogboekProcess(home / "logboek") as process:
        settings = settings_at(process, keys)
        apply_schema(settings, collector=True)
        with LogboekClient(settings) as client:
            apply_register(
                client,
                Register(
                    [
                        ProcessingActivity(id=OPEN, name="Parkeren", retention="P1Y"),
                        ProcessingActivity(id=CONFIDENTIAL, name="Onderzoek", confidential=True),
                    ]
                ),
            )
            write(settings, batch(settings))
            sql = "SELECT name, engine, create_table_query FROM system.tables WHERE database = 'ldv' ORDER BY name"
            described = client.rows(Sql.verbatim(sql))
            tables = {str(name): columns_of(client, name) for name, engine, _ in described if "View" not in engine}
            views = {
                str(name): sorted(set(re.findall(r"\{(\w+):", text)))
                for name, engine, text in described
                if engine == "View"
            }
    return Store(home / "logboek", keys, tables, views)


def columns_of(client: LogboekClient, table: object) -> dict[str, str]:
    """Return the columns that are stored, with their types."""
    sql = Sql(
        "SELECT name, type FROM system.columns WHERE database = 'ldv' AND table = {table:String}"
        " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED')"
    )
    return {str(name): str(type_) for name, type_ in client.rows(sql, {"table": table})}


def settings_at(process: LogboekProcess, keys: Path) -> Settings:
    """Return the settings of who uses the Logboek of a process."""
    return read_settings(environ_at(process, keys))


def environ_at(process: LogboekProcess, keys: Path) -> dict[str, str]:
    """Return the variables of who uses the Logboek of a process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    return clean | {
        "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}/ldv",
        "LDV_LOGBOEK_PASSWORD": SECRET,
        "LDV_KEYS": str(keys),
        "LDV_STATE": str(keys.with_name("state")),
        "COLUMNS": "100",
    }


def batch(settings: Settings, first: int = 0) -> Batch:
    """Return the three records."""
    person, now = pseudonymiser_for(settings).subject(BSN, "BSN"), datetime.now(UTC)
    records = [
        Logregel(
            trace_id=bytes.fromhex(TRACE),
            span_id=(first + number).to_bytes(8, "big"),
            name=name,
            start_time_ms=(moment := int((now - timedelta(days=days)).timestamp() * 1_000)),
            end_time_ms=moment,
            processing_activity_id=activity,
            data_subject_id=person.pseudonym,
            data_subject_id_type="BSN",
            key_id=person.key_id,
        )
        for number, (name, activity, days) in enumerate(
            (("Gewoon", OPEN, 1), ("Vertrouwelijk", CONFIDENTIAL, 1), ("Voorbij", OPEN, 500)), 1
        )
    ]
    return number_batch(f"writer-{first}", 0, records)


def write(settings: Settings, sent: Batch) -> None:
    """Store a batch as a service does: sealed, and read back."""
    sink = ClickHouseSink(settings)
    sink.open()
    try:
        sink.send(sent)
        assert sink.read_back(sent) == {0, 1, 2}
    finally:
        sink.close()


@contextmanager
def as_role(store: Store, role: str) -> Iterator[dict[str, str]]:
    """Serve the Logboek to somebody with a role; give the variables to reach it."""
    with RoleLogboek(store.path, role) as process:
        yield environ_at(process, store.keys)


def quoted(text: str) -> str:
    """Return a text as it stands between quotes in a statement."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def read(store: Store, name: str) -> str:
    """Return a statement that reads all of a table or view."""
    parameters = ", ".join(f"{parameter} = '{VALUES[parameter]}'" for parameter in store.views.get(name, ()))
    return f"SELECT * FROM ldv.{name}{f'({parameters})' if parameters else ''} LIMIT 0"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_is_written_here_and_nothing_else(store: Store, role: str) -> None:
    """Every table and view, and every way to read, add, change and remove; no error is any other than a refusal."""
    reads, adds = READS[role], ADDS[role]
    expected = {read(store, name): reads is None or name in reads for name in (*store.tables, *store.views)}
    for name, columns in store.tables.items():
        values = ", ".join(f"defaultValueOfTypeName('{quoted(type_)}')" for type_ in columns.values())
        first = next(iter(columns))
        expected |= {
            f"INSERT INTO ldv.{name} ({', '.join(columns)}) SELECT {values} WHERE 0": adds is None or name in adds,
            f"ALTER TABLE ldv.{name} DELETE WHERE 0": role == "ldv_beheer" and name in REMOVES,
            f"DELETE FROM ldv.{name} WHERE 0": role == "ldv_beheer" and name in REMOVES,
            f"ALTER TABLE ldv.{name} UPDATE {first} = {first} WHERE 0": False,
            f"TRUNCATE TABLE ldv.{name}": False,
            f"DROP TABLE ldv.{name}": False,
            f"RENAME TABLE ldv.{name} TO ldv.elsewhere": False,
        }
    expected |= {
        "CREATE USER somebody": False,
        "CREATE ROW POLICY none ON ldv.logregel USING 1 TO default": False,
        "GRANT SELECT ON *.* TO default": False,
        "SELECT * FROM system.users": False,
        "SELECT * FROM file('/etc/passwd', 'LineAsString')": False,
        "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')": False,
        "CREATE TABLE ldv.of_a_role (a UInt8) ENGINE = Memory": role == "ldv_beheer",
        "CREATE TABLE default.of_a_role (a UInt8) ENGINE = Memory": False,
    }
    codes = dict(zip(expected, codes_of(store.path, role, list(expected)), strict=True))
    assert {statement: code for statement, code in codes.items() if code not in (0, ACCESS_DENIED)} == {}
    assert {statement for statement, code in codes.items() if not code} == {
        statement for statement, may in expected.items() if may
    }


def test_a_service_sees_of_stored_records_only_whether_its_own_arrived(store: Store) -> None:
    """Not what is recorded, nor about whom."""
    statements = {f"SELECT {column} FROM ldv.logregel LIMIT 1": column for column in store.tables["logregel"]}
    codes = codes_of(store.path, "ldv_writer", list(statements))
    seen = {statements[statement] for statement, code in zip(statements, codes, strict=True) if code == 0}
    assert seen == WRITERS_COLUMNS
    assert set(codes) == {0, ACCESS_DENIED}


def test_a_service_does_its_work_with_the_role_of_a_writer(store: Store) -> None:
    """Opened, sealed, stored, read back; and what it stored again is stored once."""
    with as_role(store, "ldv_writer") as environ:
        settings = read_settings(environ)
        sent = batch(settings, first=100)
        write(settings, sent)
        write(settings, sent)
        refused = ldv(environ, "trace", TRACE)
    assert refused.returncode != 0
    assert "ACCESS_DENIED" in refused.stderr or "Not enough privileges" in refused.stderr
    with as_role(store, "ldv_auditor") as environ:
        verified = ldv(environ, "verify", "--json")
        names = [record["name"] for record in json.loads(ldv(environ, "trace", TRACE, "--json").stdout)]
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert sorted(names) == ["Gewoon", "Gewoon", "Vertrouwelijk", "Vertrouwelijk"]


@pytest.mark.parametrize(
    "command", [["status"], ["trace", TRACE], ["inzage"], ["schema", "status"], ["retention", "plan"]]
)
def test_an_auditor_reads_with_that_role(store: Store, command: list[str]) -> None:
    """Every command that reads."""
    with as_role(store, "ldv_auditor") as environ:
        done = ldv(environ, *command, typed=BSN)
    assert done.returncode == 0, done.stdout + done.stderr


def test_who_shows_people_their_records_sees_nothing_confidential_and_nothing_past_its_term(store: Store) -> None:
    """By the row policy, in the table and in every view on it: a condition of the query is not needed."""
    counted = [
        "logregel",
        "logregel_shown",
        "logregels",
        f"logregels_trace(trace_id = '{TRACE}')",
        f"logregels_activiteit(activiteit = '{CONFIDENTIAL}', vanaf = '2000-01-01 00:00:00', tot = '{LATER}')",
    ]
    names = {}
    for role in ("ldv_auditor", "ldv_inzage"):
        with as_role(store, role) as environ, LogboekClient(read_settings(environ)) as client:
            for table in counted:
                sql = Sql.verbatim(f"SELECT DISTINCT name FROM {table} ORDER BY name")
                names[role, table.partition("(")[0]] = [str(name) for (name,) in client.rows(sql)]
    auditors, shown = ["Gewoon", "Vertrouwelijk", "Voorbij"], ["Gewoon"]
    assert names["ldv_auditor", "logregel"] == auditors
    assert names["ldv_auditor", "logregels_activiteit"] == ["Vertrouwelijk"]
    assert [names["ldv_inzage", table.partition("(")[0]] for table in counted] == [shown] * 4 + [[]]


def test_who_shows_people_their_records_does_so_with_that_role(store: Store) -> None:
    """A person's records and a trace."""
    with as_role(store, "ldv_inzage") as environ:
        for command in (["inzage"], ["trace", TRACE]):
            done = ldv(environ, *command, "--json", typed=BSN)
            assert done.returncode == 0, done.stderr
            assert {record["name"] for record in json.loads(done.stdout)} == {"Gewoon"}


def test_management_does_its_work_with_that_role(store: Store, tmp_path: Path) -> None:
    """Tables, Register, removal, links; and it cannot change a record."""
    register = tmp_path / "register.yaml"
    register.write_text(f"activities:\n- id: {OPEN}\n  name: Parkeren\n  retention: P1Y\n")
    with as_role(store, "ldv_beheer") as environ:
        more = environ | {"LDV_REGISTER": str(register), "LDV_LINK_ACTIVITY": OPEN}
        for command in (
            ["schema", "apply"],
            ["schema", "status"],
            ["register", "apply", "--amend"],
            ["retention", "apply", "--yes"],
        ):
            done = ldv(more, *command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        linked = ldv(more, "subject", "link", "--reason", "hernummerd", "--yes", typed=f"{BSN}\n999990019\n")
        assert linked.returncode == 0, linked.stderr
        with LogboekClient(read_settings(environ)) as client:
            assert client.rows(Sql.verbatim("SELECT count() FROM logregel WHERE name = 'Voorbij'")) == [(0,)]
            with pytest.raises(LogboekSetupError, match="ACCESS_DENIED"):
                client.command(Sql.verbatim("ALTER TABLE logregel UPDATE name = 'x' WHERE 1"))

"""What the holder of the secret of `ldv logboek` cannot do, and that nobody else can do anything."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.embedded import Listening, serve
from ldv_otel._internal.clickhouse.embedded.permission import HARMLESS_TABLE_FUNCTIONS
from ldv_otel._internal.clickhouse.front_secret import announced, announced_secret, make_secret, secret_file
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel.errors import ConfigurationError
from tests.support.logboek import SECRET, Got, LogboekProcess, ask

#: No right, no file, no such source of data, no such syntax, nothing to change by GET, no such setting or table.
REFUSED = {497, 358, 78, 62, 164, 452, 60}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """A Logboek beside files that are none of its business."""
    home = tmp_path_factory.mktemp("access")
    (home / "private.txt").write_text("a secret line\n")
    with LogboekProcess(home / "logboek") as process:
        ask(process, b"CREATE TABLE kept (a String) ENGINE = MergeTree ORDER BY a")
        ask(process, b"INSERT INTO kept VALUES ('x')")
        yield process


def ask_with(server: LogboekProcess, method: str, name: str, value: str) -> Got:
    """Ask something with a setting in the address."""
    return ask(server, method=method, path=f"/?{urlencode({'query': 'SELECT 1', name: value})}")


def state_of(server: LogboekProcess) -> tuple[set[str], bytes]:
    """The files beside the Logboek, and what is in the table."""
    return {path.name for path in server.path.parent.iterdir()}, ask(server, b"SELECT a FROM kept").content


COMMENTS = ["", "-- x\n", "// x\n", "/* x */", "/* /* x */ */", "#! x\n", "# x\n", "\n\t\x0b", "--\n"]


#: Statements that would reach the machine, another program or what is kept; `{home}` is what is beside the Logboek.
LEAVING: Final = [
    (
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a LAYOUT(FLAT()) LIFETIME(0) "
        "SOURCE(EXECUTABLE(COMMAND 'touch {home}/pwned' FORMAT TSV))"
    ),
    "CREATE TABLE e (a String) ENGINE = Executable('x', 'TSV')",
    "CREATE TABLE e (a String) ENGINE = File(CSV)",
    "CREATE TABLE e (a String) ENGINE = File(CSV, '{home}/pwned')",
    "CREATE TABLE e (a String) ENGINE = URL('http://127.0.0.1:9/', 'CSV')",
    "CREATE TABLE e (a String) ENGINE = S3('http://127.0.0.1:9/x/y', 'CSV')",
    "CREATE TABLE e (a String) ENGINE = SQLite('{home}/pwned', 't')",
    "CREATE TABLE e (a String) ENGINE = Distributed('default', 'system', 'one')",
    (
        "CREATE TABLE e (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = object_storage, "
        "object_storage_type = local, metadata_type = plain_rewritable, path = '{home}/pwned/')"
    ),
    "CREATE TABLE e (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS storage_policy = 'x'",
    (
        "ALTER TABLE kept MODIFY SETTING disk = disk(type = object_storage, object_storage_type = local, "
        "metadata_type = plain_rewritable, path = '{home}/pwned/')"
    ),
    "CREATE DATABASE e ENGINE = Filesystem('{home}')",
    "CREATE DATABASE e ENGINE = MySQL('127.0.0.1:9', 'd', 'u', 'p')",
    "CREATE DATABASE e ENGINE = SQLite('{home}/pwned')",
    "CREATE DATABASE e ENGINE = Backup('x', File('{home}'))",
    "CREATE TABLE e (a String DEFAULT file('{home}/private.txt')) ENGINE = MergeTree ORDER BY a",
    "CREATE VIEW e SQL SECURITY NONE AS SELECT * FROM file('{home}/private.txt', 'LineAsString')",
    "CREATE FUNCTION e AS x -> x",
    "CREATE USER e",
    "CREATE NAMED COLLECTION e AS a = 1",
    "CREATE OR REPLACE TABLE kept (a String) ENGINE = MergeTree ORDER BY a",
    "INSERT INTO FUNCTION file('{home}/pwned', 'CSV', 'a String') SELECT 'x'",
    "INSERT INTO FUNCTION file('{home}/pwned', 'CSV', 'a String') VALUES ('x')",
    "INSERT INTO FUNCTION file('{home}/pwned', 'CSV', 'a String') FORMAT CSV\nx",
    "INSERT INTO TABLE FUNCTION url('http://127.0.0.1:9/', 'CSV', 'a String') SELECT 'x'",
    "INSERT INTO FUNCTION remote('127.0.0.1:9', system.one) SELECT 'x'",
    "INSERT INTO kept FROM INFILE '{home}/private.txt' FORMAT LineAsString",
    "INSERT INTO kept FROM INFILE '{home}/private.txt' // \nFORMAT LineAsString",
    "INSERT INTO kept SELECT * FROM file('{home}/private.txt', 'LineAsString')",
    "SELECT * FROM file('{home}/private.txt', 'LineAsString')",
    "SELECT * FROM `file`('{home}/private.txt', 'LineAsString')",
    "SELECT * FROM `{home}/private.txt`",
    "SELECT file('{home}/private.txt')",
    "SELECT `file`('{home}/private.txt')",
    "SELECT \"file\" /* */ ('{home}/private.txt')",
    "SELECT s.* APPLY file FROM (SELECT '{home}/private.txt' AS s) AS s",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT '{home}/private.txt' AS s)",
    "WITH (SELECT file('{home}/private.txt')) AS f SELECT f",
    "SELECT * FROM filesystem('{home}')",
    "SELECT * FROM url('http://127.0.0.1:9/', 'CSV', 'a String')",
    "SELECT * FROM s3('http://127.0.0.1:9/x/y', 'CSV', 'a String')",
    "SELECT * FROM remote('127.0.0.1:9', system.one)",
    "SELECT * FROM mysql('127.0.0.1:9', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:9', 'd', 't', 'u', 'p')",
    "SELECT * FROM sqlite('{home}/pwned', 't')",
    "DESCRIBE TABLE file('{home}/private.txt')",
    "EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:9', 'd', 't', 'u', 'p') PARTITION BY a",
    "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '{home}/private.txt'",
    "SELECT 1 FORMAT Protobuf SETTINGS format_schema = '{home}/private.txt:M'",
    "INSERT INTO kept SETTINGS input_format_record_errors_file_path = '{home}/pwned' VALUES ('y')",
    "SYSTEM SHUTDOWN",
    "SYSTEM KILL",
    "SYSTEM RELOAD CONFIG",
    "SYSTEM STOP MERGES",
    "KILL QUERY WHERE 1",
    "KILL MUTATION WHERE 1",
    "BACKUP TABLE kept TO File('{home}/pwned')",
    "RESTORE TABLE kept AS e FROM File('{home}/pwned')",
    "ATTACH TABLE e FROM '{home}/' (a UInt64) ENGINE = MergeTree ORDER BY a",
    "DETACH TABLE kept",
    "DROP TABLE kept",
    "DROP DATABASE tests",
    "TRUNCATE TABLE kept",
    "RENAME TABLE kept TO e",
    "EXCHANGE TABLES kept AND e",
    "ALTER TABLE kept UPDATE a = 'y' WHERE 1",
    "ALTER TABLE kept FREEZE",
    "ALTER TABLE kept MOVE PARTITION tuple() TO TABLE e",
    "UPDATE kept SET a = 'y' WHERE 1",
    "DELETE FROM kept WHERE 1",
    "GRANT ALL ON *.* TO default",
    "SET ROLE ALL",
    "SET readonly = 0",
    "EXECUTE AS default SELECT 1",
    "CREATE TABLE e (a UInt8) ENGINE = Memory PARALLEL WITH DROP TABLE kept",
    "SELECT 1; DROP TABLE kept",
    "INSERT INTO kept VALUES ('y'); DROP TABLE kept",
]


# --- the machine


@pytest.mark.parametrize("sql", LEAVING)
def test_nothing_leaves_the_database_or_enters_it(server: LogboekProcess, sql: str) -> None:
    """A statement that would reach the machine, another program or what is kept is refused, however it is sent."""
    before = state_of(server)
    text = sql.replace("{home}", str(server.path.parent)).encode()
    for got in (
        ask(server, text),
        ask(server, query=text.decode()),
        ask(server, method="GET", query=text.decode()),
        ask(server, text, readonly="0"),
    ):
        assert got.status >= 400, got.content
        assert got.code in REFUSED, got.content
        assert b"a secret line" not in got.content
    assert state_of(server) == before


@pytest.mark.parametrize("between", COMMENTS)
@pytest.mark.parametrize("way", ["body", "url", "get", "split"])
def test_an_outfile_hides_behind_no_comment(server: LogboekProcess, between: str, way: str) -> None:
    """The engine's own parser finds it, wherever it stands."""
    target = server.path.parent / "pwned"
    sql = f"SELECT 1 {between} INTO {between} OUTFILE {between} '{target}' {between} FORMAT CSV"
    got = {
        "body": lambda: ask(server, sql.encode()),
        "url": lambda: ask(server, query=sql),
        "get": lambda: ask(server, method="GET", query=sql),
        "split": lambda: ask(server, sql[9:].encode(), query=sql[:9]),
    }[way]()
    assert got.code in {358, 62}
    assert not target.exists()


def test_every_table_function_of_this_engine_is_harmless_or_refused(server: LogboekProcess) -> None:
    """Whatever a later version of the engine brings is refused until somebody looked at it."""
    names = set(ask(server, b"SELECT name FROM system.table_functions").content.decode().split())
    for name in sorted(names - HARMLESS_TABLE_FUNCTIONS):
        for spelling in (name, name.upper(), f"`{name}`", f"/**/{name}//x\n"):
            assert ask(server, f"SELECT * FROM {spelling}('x', 'y', 'z')".encode()).code == 497


def test_the_rights_are_these(server: LogboekProcess) -> None:
    """Nobody added one without a look at what it opens."""
    rights = ask(server, b"SHOW GRANTS").content.decode().splitlines()
    assert rights == [
        (
            "GRANT SHOW, SELECT, INSERT, ALTER DELETE, ALTER COLUMN, ALTER INDEX, ALTER CONSTRAINT, ALTER SETTINGS, "
            "ALTER VIEW MODIFY QUERY, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW ON *.* TO default"
        ),
        "GRANT TABLE ENGINE ON MergeTree TO default",
    ]


@pytest.mark.parametrize(
    "setting",
    [
        ("allow_custom_error_code_in_throwif", "1"),
        ("allow_experimental_eval_table_function", "1"),
        ("input_format_values_interpret_expressions", "1"),
        ("input_format_values_deduce_templates_of_expressions", "1"),
        ("input_format_record_errors_file_path", "/tmp/x"),  # noqa: S108  (to be refused)
        ("format_template_resultset", "/etc/hostname"),
        ("format_schema", "/etc/hostname:M"),
        ("dialect", "prql"),
        ("s3_base", "http://127.0.0.1:9"),
        ("url_base", "http://127.0.0.1:9"),
        ("dynamic_disk_allow_from_env", "1"),
        ("filter", "file('/etc/hostname')"),
        ("additional_result_filter", "file('/etc/hostname')"),
        ("select", "file('/etc/hostname')"),
    ],
)
def test_no_setting_undoes_a_restriction(server: LogboekProcess, setting: tuple[str, str]) -> None:
    """Whether it comes in the address, in a form or in the statement."""
    name, value = setting
    form = f"query=SELECT+1&{name}={value}".encode()
    quoted = value.replace("'", "''")
    for got in (
        ask_with(server, "POST", name, value),
        ask_with(server, "GET", name, value),
        ask(server, form, headers={"Content-Type": "application/x-www-form-urlencoded"}),
        ask(server, f"SELECT 1 SETTINGS {name} = '{quoted}'".encode()),
    ):
        assert got.code == 452, got.content
    for within in (
        f"SELECT * FROM (SELECT 1 SETTINGS {name} = '{quoted}')",
        f"SELECT * FROM (SELECT 1 SETTINGS max_threads = 1, `{name}`='{quoted}') SETTINGS max_threads = 1",
        f"SELECT (SELECT 1 SETTINGS//\n {name} /**/ = '{quoted}'), 2 FORMAT CSV",
        f"CREATE VIEW v AS SELECT 1 SETTINGS {name} = '{quoted}'",
        f"EXPLAIN SELECT 1 SETTINGS {name} = '{quoted}'",
        f"INSERT INTO kept SELECT 'y' SETTINGS {name} = '{quoted}'",
    ):
        assert ask(server, within.encode()).code == 452


def test_a_statement_has_a_time(server: LogboekProcess) -> None:
    """It is bounded, and the bound cannot be lifted."""
    for bound in ("0", "100000"):
        assert ask(server, b"SELECT 1", max_execution_time=bound).code == 452
        assert ask(server, f"SELECT 1 SETTINGS max_execution_time = {bound}".encode()).code == 452
    assert ask(server, b"SELECT getSetting('max_execution_time')").content == b"600\n"
    assert ask(server, b"SELECT count() FROM system.numbers", max_execution_time="1").code == 159


def test_values_are_not_calculated(server: LogboekProcess) -> None:
    """An expression among values would be calculated outside the engine's rights, and read any file."""
    path = server.path.parent / "private.txt"
    for value in (f"file('{path}')", f"assumeNotNull(file(assumeNotNull('{path}')))", "concat('a', 'b')"):
        for sql in (f"INSERT INTO kept VALUES ({value})", f"INSERT INTO kept FORMAT Values ({value})"):
            got = ask(server, sql.encode())
            assert got.code == 344
            assert b"secret line" not in got.content
    assert ask(server, b"SELECT a FROM kept").content == b"x\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'INTO OUTFILE ''x''' AS `INTO OUTFILE`",
        "SELECT 1 AS file, file FROM (SELECT 1 AS file)",
        "SELECT * FROM (SELECT 'DROP TABLE kept; SYSTEM KILL' AS a)",
        "WITH 1 AS x SELECT x",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "FROM kept SELECT a",
        "EXPLAIN indexes = 1, actions = 0 SELECT a FROM kept",
        "EXPLAIN SYNTAX SELECT 1",
        "SHOW CREATE TABLE kept",
        "SHOW TABLES",
        "DESCRIBE TABLE kept",
        "EXISTS TABLE kept",
        "SELECT * FROM numbers(3)",
        "SELECT name FROM system.tables",
    ],
)
def test_what_a_reader_asks_is_answered(server: LogboekProcess, sql: str) -> None:
    """Words that look like what is refused do no harm in quotation marks or as names."""
    assert ask(server, sql.encode()).status == 200
    assert ask(server, method="GET", query=sql).status == 200


@pytest.mark.parametrize("way", ["url", "form"])
def test_a_session_keeps_nothing_and_says_so(server: LogboekProcess, way: str) -> None:
    """A driver may name one; whoever counts on what it would keep, or asks for it, hears that it is not served."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def within(sql: str, check: str) -> Got:
        fields = {"query": sql, "session_id": "s", "session_check": check}
        if way == "url":
            return ask(server, path=f"/?{urlencode(fields)}")
        return ask(server, urlencode(fields).encode(), headers=form)

    assert within("SELECT 1", "0").content == b"1\n"
    assert (within("SELECT 1", "1").status, within("SELECT 1", "1").code) == (501, 48)
    for sql in ("SET max_threads = 3", "USE system", "CREATE TEMPORARY TABLE x (a UInt8)"):
        refused = within(sql, "0")
        assert refused.code == 497
        assert b"go with each request" in refused.content


# --- the secret


@pytest.mark.parametrize(
    "headers",
    [
        {"X-ClickHouse-Key": ""},
        {"X-ClickHouse-Key": "wrong"},
        {"X-ClickHouse-Key": SECRET + "x"},
        {"X-ClickHouse-Key": "", "Authorization": "Basic !!!"},
        {"X-ClickHouse-Key": "", "Authorization": "Bearer " + SECRET},
        {"X-ClickHouse-Key": "", "Authorization": "Basic " + base64.b64encode(SECRET.encode()).decode()},
        {"X-ClickHouse-Key": "", "Authorization": "Basic " + base64.b64encode(b"default:x\xff").decode()},
    ],
)
def test_without_the_secret_nobody_gets_in(server: LogboekProcess, headers: dict[str, str]) -> None:
    """Another user of this machine may connect, and gets nothing but that the server is there."""
    for got in (
        ask(server, b"SELECT 1", headers=headers),
        ask(server, method="GET", query="SELECT 1", headers=headers),
        ask(server, b"SELECT 1", method="GET", headers=headers),
        # Never in the address, which ends up in logs.
        ask(server, b"SELECT 1", headers=headers, password=SECRET, user="default"),
    ):
        assert (got.status, got.code) == (403, 516)
        assert SECRET.encode() not in got.content
    assert ask(server, method="GET", path="/ping", headers=headers).content == b"Ok.\n"


def test_basic_authentication_carries_the_secret(server: LogboekProcess) -> None:
    """As drivers send a password, for any user."""
    for user in ("default", "", "anybody"):
        basic = "Basic " + base64.b64encode(f"{user}:{SECRET}".encode()).decode()
        assert ask(server, b"SELECT 1", headers={"X-ClickHouse-Key": "", "Authorization": basic}).content == b"1\n"


def test_a_client_of_the_same_user_needs_to_be_told_nothing(server: LogboekProcess) -> None:
    """The driver finds the secret by the port while the server runs, and no longer."""
    address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=server.port, database="tests")
    with LogboekClient(Settings(logboek=address)) as client:
        assert client.rows(Sql("SELECT a FROM kept")) == [("x",)]
    assert announced_secret(server.port) == SECRET
    with pytest.raises(ConfigurationError, match="LDV_LOGBOEK_PASSWORD_FILE"):
        LogboekClient(Settings(logboek=address, password="wrong"))


def test_a_secret_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    """It is 0600, stays the same, and is announced only as long as its server runs."""
    secret = make_secret(tmp_path / "logboek")
    assert len(secret) > 40
    assert stat.S_IMODE(secret_file(tmp_path / "logboek").stat().st_mode) == 0o600
    assert make_secret(tmp_path / "logboek") == secret
    assert make_secret(tmp_path / "other") != secret
    with announced(1, tmp_path / "logboek"):
        assert announced_secret(1) == secret
    assert announced_secret(1) == ""
    assert announced_secret(2) == ""


@pytest.mark.parametrize("fault", ["readable", "link", "pipe", "empty"])
def test_a_secret_that_others_may_have_a_hand_in_is_refused(tmp_path: Path, fault: str) -> None:
    """As ssh refuses a key file; nothing is served."""
    path = secret_file(tmp_path / "logboek")
    if fault == "link":
        (tmp_path / "elsewhere").write_text("x" * 50)
        path.symlink_to(tmp_path / "elsewhere")
    elif fault == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.write_text("" if fault == "empty" else "x" * 50)
        path.chmod(0o600 if fault == "empty" else 0o640)
    with pytest.raises(ConfigurationError, match="Nothing was"):
        serve(tmp_path / "logboek", Listening("127.0.0.1", 0))

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ldv_otel._internal.clickhouse.directory_lock import DirectoryLock
from ldv_otel._internal.clickhouse.embedded import Listening, serve
from ldv_otel.errors import ConfigurationError
from tests.support.logboek import Got, LogboekProcess, ask


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """One server for the tests that leave it running."""
    with LogboekProcess(tmp_path_factory.mktemp("process") / "logboek") as process:
        yield process


# --- one request and the next


def test_settings_and_database_last_for_one_request(server: LogboekProcess) -> None:
    """Each request starts from the engine's defaults, whatever the one before it set."""
    ask(server, b"CREATE DATABASE IF NOT EXISTS aside")
    sql = b"SELECT currentDatabase(), getSetting('max_threads'), getSetting('log_comment')"
    got = ask(server, sql, database="aside", max_threads="3", log_comment="o'clock \\ \n")
    assert got.content == b"aside\t3\to\\'clock \\\\ \\n\n"
    assert ask(server, b"SELECT currentDatabase()", headers={"X-ClickHouse-Database": "aside"}).content == b"aside\n"
    after = ask(server, sql).content.split(b"\t")
    assert (after[0], after[2]) == (b"tests", b"\n")
    assert after[1] != b"3"
    assert ask(server, sql, database="no`where").code == 81


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("no_such_setting", "1", 115),
        ("max_threads = 1, log_comment", "1", 36),
        ("max_threads;DROP", "1", 36),
        ("", "1", 36),
        ("max_threads", "1', log_comment = 'injected", 0),
    ],
)
def test_a_setting_cannot_carry_sql(server: LogboekProcess, name: str, value: str, code: int) -> None:
    """Names that are no names are refused, and values stay values."""
    parameters: dict[str, Any] = {name: value}
    got = ask(server, b"SELECT getSetting('log_comment')", **parameters)
    assert got.code == code or (code == 0 and got.status >= 400)
    assert b"injected\n" not in got.content.partition(b"DB::Exception")[0]


def test_the_answer_says_what_a_servers_would(server: LogboekProcess) -> None:
    """Headers that drivers rely on are there, and an id that could not be a header is replaced."""
    got = ask(server, b"SELECT 1 AS one", default_format="JSONEachRow", query_id="my-id")
    assert got.content == b'{"one":1}\n'
    assert got.headers["Content-Type"] == "application/x-ndjson; charset=UTF-8"
    assert got.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert got.headers["X-ClickHouse-Query-Id"] == "my-id"
    assert got.headers["X-ClickHouse-Timezone"]
    assert got.headers["X-ClickHouse-Server-Display-Name"]
    assert set(json.loads(got.headers["X-ClickHouse-Summary"])) >= {"read_rows", "written_rows", "result_rows"}
    odd = ask(server, b"SELECT 1", query_id="a\r\nX-Injected: 1")
    assert odd.status == 200
    assert "X-Injected" not in odd.headers
    assert len(odd.headers["X-ClickHouse-Query-Id"]) == 36
    preferred = ask(server, b"SELECT 1", default_format="JSON", headers={"X-ClickHouse-Format": "CSV"})
    assert preferred.headers["X-ClickHouse-Format"] == "CSV"


@pytest.mark.parametrize(
    ("sql", "content"),
    [
        (b"SELECT 1 WHERE 0", b""),
        (b"SELECT number % 2 AS k, count() FROM numbers(3) GROUP BY k WITH TOTALS ORDER BY k", b"0\t2\n1\t1\n\n0\t3\n"),
        (b"SELECT number FROM numbers(30000000) WHERE number % 9000000 = 0", b"0\n9000000\n18000000\n27000000\n"),
        (b"WITH 5 AS x SELECT x", b"5\n"),
        (b"EXISTS nowhere", b"0\n"),
    ],
)
def test_results_are_the_same_streamed_or_not(server: LogboekProcess, sql: bytes, content: bytes) -> None:
    """Whether the server streams is its own affair; totals, gaps and empty results survive it."""
    assert ask(server, sql).content == content
    assert ask(server, sql, wait_end_of_query="1").content == content


def test_greetings_and_unknown_pages(server: LogboekProcess) -> None:
    """Health checks work without SQL, and other pages of a server are not here."""
    for path in ("/", "/ping", "/replicas_status"):
        assert ask(server, method="GET", path=path)[::2] == (200, b"Ok.\n")
    assert ask(server, method="HEAD").status == 200
    assert ask(server, method="GET", path="/play").status == 404


def test_an_answer_does_not_wait_for_an_acknowledgement(server: LogboekProcess) -> None:
    """Head and body leave at once: with Nagle's algorithm every answer would take 40 ms."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    times = []
    for _ in range(10):
        started = datetime.now(UTC)
        connection.request("GET", "/ping")
        connection.getresponse().read()
        times.append((datetime.now(UTC) - started).total_seconds())
    connection.close()
    assert min(times) < 0.03


# --- who may ask


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8123"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "192.0.2.1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8123"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Whatever-Comes": "x"},
    ],
)
def test_what_a_web_page_sends_is_refused(server: LogboekProcess, headers: dict[str, str]) -> None:
    """A page in a browser on this machine reads nothing and changes nothing."""
    for method, path in (("GET", "/ping"), ("POST", "/")):
        got = ask(server, b"SELECT 1", method=method, path=path, headers=headers)
        assert (got.status, got.code) == (403, 497)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:8123", "[::1]:8123", "[::1]"])
def test_loopback_by_any_of_its_names_is_let_in(server: LogboekProcess, host: str) -> None:
    """Whoever connects to this machine from itself and has the secret is let in, as any user or none."""
    headers = {"Host": host, "X-ClickHouse-User": "anyone"}
    assert ask(server, b"SELECT 1", headers=headers).content == b"1\n"


def test_a_get_changes_nothing(server: LogboekProcess) -> None:
    """A link or an image in a page can only make a GET without `Origin`; it must be harmless."""
    assert ask(server, b"CREATE TABLE kept (id UInt64) ENGINE = MergeTree ORDER BY id").status == 200
    for sql in ("ALTER TABLE kept DELETE WHERE 1", "INSERT INTO kept (id) VALUES (1)", "CREATE VIEW v AS SELECT 1"):
        for readonly in ("0", "2"):
            assert ask(server, method="GET", query=sql, readonly=readonly).code == 164
    got = ask(server, method="GET", query="SELECT count() FROM kept SETTINGS max_threads = 1", max_threads="2")
    assert got.content == b"0\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org", ""])  # noqa: S104  (to be refused)
def test_without_a_certificate_it_listens_on_loopback_only(tmp_path: Path, host: str) -> None:
    """Its secret would cross a network in the clear; and it says what to give."""
    with pytest.raises(ConfigurationError, match=r"only with TLS.*Nothing was started.*--certificate|is no IP address"):
        serve(tmp_path / "logboek", Listening(host, 0))
    assert not (tmp_path / "logboek").exists()


# --- the process


def test_a_kill_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """After kill -9 in the middle of inserts the directory opens, with every acknowledged batch whole."""
    with LogboekProcess(tmp_path / "logboek") as server:
        create = b"CREATE TABLE t (id UInt64, text String) ENGINE = MergeTree ORDER BY id"
        assert ask(server, create).status == 200
        acknowledged = []
        for round_ in range(3):
            enough = threading.Event()

            def insert(start: int, enough: threading.Event = enough) -> None:
                try:
                    for batch in count(start):
                        data = b"".join(b"%d\tx\n" % (batch * 1000 + number) for number in range(1000))
                        if ask(server, data, query="INSERT INTO t FORMAT TSV").status == 200:
                            acknowledged.append(batch)
                        if batch == start + 20:
                            enough.set()
                except (OSError, http.client.HTTPException):
                    enough.set()

            writer = threading.Thread(target=insert, args=(round_ * 100_000,))
            writer.start()
            enough.wait()
            server.kill()
            writer.join()
            server.start()
            got = ask(server, b"SELECT intDiv(id, 1000) AS b, count() FROM t GROUP BY b ORDER BY b")
            stored = {int(batch): int(rows) for batch, rows in map(bytes.split, got.content.splitlines())}
            assert set(stored.values()) == {1000}
            assert set(acknowledged) <= set(stored)


def test_it_ends_cleanly_and_privately(tmp_path: Path) -> None:
    """SIGTERM and SIGINT end it with status 0 and free the directory, which only its owner can read."""
    directory = tmp_path / "logboek"
    with LogboekProcess(directory) as server:
        assert ask(server, b"CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id").status == 200
        for made in (directory, *directory.rglob("*"), tmp_path / "logboek.lock"):
            assert made.lstat().st_mode & 0o077 == 0 or made.is_symlink()
        os.kill(server.pid, signal.SIGINT)
        assert server.stop() == 0
        with DirectoryLock(directory) as lock:
            assert lock.held
        server.start()
        assert ask(server, b"EXISTS t").content == b"1\n"
        assert server.stop() == 0


def test_a_stop_lets_an_insert_finish(tmp_path: Path) -> None:
    """What was accepted is stored and acknowledged before the process ends."""
    with LogboekProcess(tmp_path / "logboek") as server:
        ask(server, b"CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
        got: list[Got] = []
        slow = b"INSERT INTO t SELECT number + sleepEachRow(0.2) FROM numbers(5) SETTINGS max_block_size = 1"
        insert = threading.Thread(target=lambda: got.append(ask(server, slow)))
        insert.start()
        while ask(server, b"SELECT count() FROM system.processes WHERE query LIKE 'INSERT%'").content == b"0\n":
            pass
        assert server.stop() == 0
        insert.join()
        assert got[0].status == 200
        server.start()
        assert ask(server, b"SELECT count() FROM t").content == b"5\n"


def test_a_second_server_and_a_taken_port_are_told_apart(server: LogboekProcess, tmp_path: Path) -> None:
    """What cannot be started says why, on standard error, and ends with status 2."""

    def start(path: Path, listen: str) -> tuple[int, str]:
        command = [
            sys.executable,
            "-m",
            "ldv_otel._internal.clickhouse.embedded",
            "--path",
            os.fspath(path),
            "--listen",
            listen,
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return ended.returncode, ended.stderr

    status, said = start(server.path, "127.0.0.1:0")
    assert (status, f"process {server.pid}" in said) == (2, True)
    status, said = start(tmp_path / "other", f"127.0.0.1:{server.port}")
    assert (status, f"port {server.port}" in said) == (2, True)
    status, said = start(tmp_path / "other", "0.0.0.0:8123")
    assert (status, "loopback" in said) == (2, True)


@pytest.mark.parametrize("missing", ["chdb", "clickhouse_cityhash", "uvicorn"])
def test_a_missing_extra_is_named(tmp_path: Path, missing: str) -> None:
    """Importing needs no extra; serving without it says what to install."""
    lines = (
        "import sys, pathlib",
        f"sys.modules[{missing!r}] = None",
        "from ldv_otel._internal.clickhouse.embedded import Listening, serve",
        "loaded = {name for name, module in sys.modules.items() if module}",
        "assert not {'chdb', 'clickhouse_cityhash', 'uvicorn'} & loaded",
        f"serve(pathlib.Path({str(tmp_path / 'logboek')!r}), Listening('127.0.0.1', 0))",
    )
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "ConfigurationError" in ended.stderr
    assert "pip install 'ldv-otel[embedded]'" in ended.stderr

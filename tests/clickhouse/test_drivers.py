"""`ldv logboek` with the drivers that people really use: JDBC, Go, Node.js, SQLAlchemy and curl.

Their programs stand in `drivers/`; what they need is fetched once for each version of the file that pins it, outside
the tree. Where a language is missing its test is skipped with a reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from tests.support.logboek import SECRET, LogboekProcess

pytestmark = pytest.mark.slow

DRIVERS: Final = Path(__file__).with_name("drivers")
#: In each view; what is in none of them is 0.
ROWS: Final = {
    "logregels": 7,
    "schrijvers": 1,
    "verwerkingsactiviteiten": 0,
    "verwerkingsactiviteit_versies": 0,
    "verwijderingen": 0,
    "koppelingen": 0,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogboekProcess]:
    """A Logboek with some records."""
    with LogboekProcess(tmp_path_factory.mktemp("drivers") / "logboek") as process:
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port, database="ldv")
        settings = Settings(logboek=address, password=SECRET)
        apply_schema(settings)
        sink = ClickHouseSink(settings)
        sink.open()
        records = [
            Logregel(
                trace_id=b"t" * 16,
                span_id=bytes([number]) * 8,
                name="Wijzig",
                start_time_ms=1_767_225_600_000 + number,
                end_time_ms=1_767_225_601_000,
                attributes={"dpl.objects.dataset": "kentekens"},
            )
            for number in range(1, 8)
        ]
        sink.send(number_batch(new_writer_id(), 0, records))
        sink.close()
        yield process


def fetched(name: str, fetch: Callable[[Path], None], *pins: Path) -> Path:
    """Return a directory with what is fetched or built, filled once for each content of the files that pin it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(b"".join(pin.read_bytes() for pin in pins)).hexdigest()
    directory = cache / "ldv_otel" / "drivers" / f"{name}-{digest[:16]}"
    if not (directory / "fetched").exists():
        directory.mkdir(parents=True, exist_ok=True)
        fetch(directory)
        (directory / "fetched").touch()
    return directory


def needs(*programs: str) -> None:
    """Skip where one of these is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not here, so ClickHouse's driver for it is not tried")


def run(server: LogboekProcess, command: list[str], **more: Any) -> Any:
    """Run a program against the server, and return what it printed."""
    ran = subprocess.run(
        [*command, str(server.port), SECRET], capture_output=True, text=True, check=False, timeout=240, **more
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    return json.loads(ran.stdout.splitlines()[-1])


def check(found: dict[str, Any], *, inserted: int) -> None:
    """Check what every driver has to get: all rows, large answers, errors by their number, and its own inserts."""
    assert found["rows"] == ROWS
    assert found["large"] == 300_000
    assert "60" in found["unknown"]
    assert "UNKNOWN_TABLE" in found["unknown"]
    assert "395" in found["midway"]
    assert "497" in found["temporary"]
    assert found["inserted"] == inserted
    if "tables" in found:
        assert {"logregels", "logregel", "schrijvers"} <= set(found["tables"])
        assert {"trace_id", "start_time", "attributes"} <= set(found["columns"])
        assert found["version"][0].isdigit()


def test_jdbc_with_its_defaults(server: LogboekProcess) -> None:
    """Frames of LZ4, metadata, all views, prepared statements and batches; Metabase, DBeaver and Tableau use it."""
    needs("java", "javac", "mvn")
    pom = DRIVERS / "java" / "pom.xml"

    def fetch(directory: Path) -> None:
        command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={directory}"]
        # Its own working directory, so that the tree gets no `target`.
        subprocess.run(command, check=True, cwd=directory, capture_output=True)

    libraries = fetched("java", fetch, pom)
    check(run(server, ["java", "-cp", f"{libraries}/*", str(DRIVERS / "java" / "Client.java")]), inserted=4)


def test_clickhouse_go_over_http(server: LogboekProcess) -> None:
    """With each of its compressions: every type of the views, in its own form of Native; Grafana uses it."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        pytest.skip("Go is not here, so ClickHouse's driver for it is not tried")
    source = DRIVERS / "go"

    def fetch(directory: Path) -> None:
        subprocess.run([go, "build", "-o", str(directory / "client"), "."], check=True, cwd=source, capture_output=True)

    program = fetched("go", fetch, source / "main.go", source / "go.sum") / "client"
    results = run(server, [str(program)])
    assert results.keys() == {"none", "lz4", "zstd", "gzip"}
    for found in results.values():
        check(found, inserted=4)
        assert found["types"] == 1


def test_the_client_of_node(server: LogboekProcess, tmp_path: Path) -> None:
    """Plain and packed; with a session, which keeps nothing and is no hindrance."""
    needs("node", "npm")
    package = DRIVERS / "node" / "package.json"

    def fetch(directory: Path) -> None:
        shutil.copy(package, directory)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        subprocess.run(command, check=True, cwd=directory, capture_output=True)

    packages = fetched("node", fetch, package)
    for name in ("package.json", "client.mjs"):
        shutil.copy(DRIVERS / "node" / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    results = run(server, ["node", str(tmp_path / "client.mjs")])
    assert len(results) == 4
    for found in results.values():
        check(found, inserted=1)
        assert found["ping"]
        assert all(found["formats"].values())


def test_sqlalchemy(server: LogboekProcess) -> None:
    """Both dialects: reflection, all views, parameters and inserts."""
    if find_spec("sqlalchemy") is None or find_spec("clickhouse_sqlalchemy") is None:
        pytest.skip("SQLAlchemy with the dialects for ClickHouse is not here, so it is not tried")
    results = run(server, [sys.executable, str(DRIVERS / "sqlalchemy_client.py")])
    assert results.keys() == {"clickhousedb+connect", "clickhouse+http"}
    for found in results.values():
        check(found, inserted=1)
        assert "ldv" in found["schemas"]
        assert found["there"]
        assert all(found["charts"].values())


def test_curl(server: LogboekProcess) -> None:
    """As in ClickHouse's manual: a statement in the address or in the body, data, an error with its status."""
    needs("curl")

    def curl(*arguments: str, path: str = "/", data: bytes = b"") -> str:
        command = ["curl", "-sS", "-u", f"default:{SECRET}", *arguments, f"http://127.0.0.1:{server.port}{path}"]
        return subprocess.run(command, check=True, input=data, capture_output=True).stdout.decode()

    assert curl(path="/?query=SELECT%20count()%20FROM%20ldv.logregels") == "7\n"
    assert (
        curl("--data-binary", "@-", data=b"SELECT count() FROM ldv.logregels FORMAT JSONEachRow") == '{"count()":7}\n'
    )
    assert curl("-d", "SELECT name FROM ldv.logregels LIMIT 1") == "Wijzig\n"
    assert "header=present" in curl("-I", path="/?query=SELECT%201%20FORMAT%20CSVWithNames")
    curl("-d", "CREATE TABLE ldv.of_curl (a UInt64) ENGINE = MergeTree ORDER BY a")
    assert not curl("--data-binary", "@-", path="/?query=INSERT%20INTO%20ldv.of_curl%20FORMAT%20CSV", data=b"1\n2\n")
    assert curl("-d", "SELECT sum(a) FROM ldv.of_curl") == "3\n"
    failed = curl("-w", "%{http_code}", "-d", "SELECT * FROM ldv.nothing")
    assert failed.startswith("Code: 60. ")
    assert failed.endswith("404")
    checked = curl("-w", "%{http_code}", "-d", "SELECT 1", path="/?session_id=a&session_check=1")
    assert checked.endswith("501")

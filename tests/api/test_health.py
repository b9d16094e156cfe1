"""`/health/live`, `/health/ready` and `/metrics` of the real processes, with their Logboek there and away."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ldv_otel._internal.api.health import metrics_readers
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.privacy.key_file import add_key
from tests.support.figures import read_openmetrics
from tests.support.logboek import SECRET, LogboekProcess, settings_at
from tests.support.serving import ServeProcess

BSN = "123456782"
LEZEN = "/lezenapi/v1/data-processing-operations"
QUERY = {"attributes": {"dpl": {"core": {"dataSubjectId": BSN, "dataSubjectIdType": "BSN"}}}}


def get(address: str, path: str, **headers: str) -> httpx.Response:
    """Ask without the proxies of the environment."""
    return httpx.get(f"{address}{path}", headers=headers, trust_env=False, timeout=60)


def figures(text: str) -> dict[str, float]:
    """Every sample without labels, and the sum of those with."""
    found: dict[str, float] = {}
    for family in read_openmetrics(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def wait_for(address: str, status: int) -> None:
    """Wait until readiness has a status; an answer that does not come is a failure of `get`."""
    for _ in range(600):
        if get(address, "/health/ready").status_code == status:
            return
        time.sleep(0.1)
    raise AssertionError(f"never {status}")


@contextmanager
def logboek_command(path: Path) -> Iterator[str]:
    """`ldv logboek`, as people run it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LDV_")}
    command = [sys.executable, "-m", "ldv_otel._internal.cli", "logboek", "--path", str(path)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        assert select.select([process.stdout], [], [], 120)[0]
        try:
            yield process.stdout.readline().rpartition("clickhouse+")[2].strip().removesuffix("/ldv")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def test_serve_with_its_logboek_and_without(tmp_path: Path) -> None:
    """Live is live whatever happens to the store; ready is what a query that was answered shows."""
    add_key(tmp_path / "keys.json")
    with LogboekProcess(tmp_path / "logboek") as logboek:
        apply_schema(settings_at(logboek.port))
        environ = {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{logboek.port}/ldv",
            "LDV_LOGBOEK_PASSWORD": SECRET,
            "LDV_KEYS": str(tmp_path / "keys.json"),
        }
        with ServeProcess(environ, "--without-authentication", log=tmp_path / "log") as serve:
            address = serve.address
            assert get(address, "/health/live").json() == {"status": "pass"}
            assert get(address, "/health/ready").json() == {"status": "pass"}
            httpx.post(f"{address}{LEZEN}", json=QUERY, trust_env=False).raise_for_status()
            answer = get(address, "/metrics")
            assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
            route = "/data-processing-operations"  # as the access log has it
            assert f'ldv_http_requests_total{{method="POST",route="{route}",status="200"}} 1' in answer.text
            assert BSN not in answer.text
            seen = figures(answer.text)
            assert (seen["ldv_ready"], seen["ldv_http_request_seconds_count"], seen["ldv_build_info"]) == (1, 1, 1)
            # Probes are in no access log.
            assert "/health" not in serve.log

            logboek.kill()
            wait_for(address, 503)
            assert get(address, "/health/live").status_code == 200
            refused = get(address, "/health/ready")
            assert refused.json()["status"] == "fail"
            assert "127.0.0.1" in refused.json()["reason"]
            assert get(address, "/health/ready", **{"X-Forwarded-For": "10.0.0.1"}).json() == {"status": "fail"}
            assert figures(get(address, "/metrics").text)["ldv_ready"] == 0

            logboek.start()
            wait_for(address, 200)
            # A table that is gone, though the version says that all are there.
            logboek.directly("DROP TABLE ldv.logregel")
            wait_for(address, 503)
            assert "is gone" in get(address, "/health/ready").json()["reason"]
            assert serve.says("Not ready: ")


def test_only_who_may_sees_figures(tmp_path: Path) -> None:
    """To others there is no such page; nothing that a proxy passed on, and no browser, gets it."""
    add_key(tmp_path / "logboek.keys.json")
    environ = {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek"}
    # In a process of its own: the engine is one for a process, and this one may have had another directory.
    command = [sys.executable, "-m", "ldv_otel._internal.cli", "schema", "apply"]
    subprocess.run(command, env={**os.environ, **environ}, check=True, capture_output=True)
    with ServeProcess(environ, "--without-authentication", log=tmp_path / "log") as serve:
        assert get(serve.address, "/metrics").status_code == 200
        for headers in (
            {"Host": "logboek.example"},
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Mode": "cors"},
            {"Forwarded": "for=10.0.0.1"},
            {"X-Forwarded-Proto": "https"},
            {"Via": "1.1 proxy"},
        ):
            assert get(serve.address, "/metrics", **headers).status_code == 404
            assert get(serve.address, "/health/live", **headers).status_code == 200
        posted = httpx.post(f"{serve.address}/health/ready", content=b"x" * 1_000, trust_env=False)
        assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
        head = httpx.head(f"{serve.address}/metrics", trust_env=False)
        assert (head.status_code, head.content) == (200, b"")
    with ServeProcess(
        environ | {"LDV_SERVE_METRICS_FROM": "10.9.0.0/16"}, "--without-authentication", log=tmp_path / "log"
    ) as serve:
        assert get(serve.address, "/metrics").status_code == 404
        assert get(serve.address, "/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("environ", "peer", "headers", "allowed"),
    [
        ({}, "127.0.0.1", {}, True),
        ({}, "::1", {}, True),
        ({}, "::ffff:127.0.0.1", {}, True),
        ({}, "10.0.0.5", {}, False),
        ({"LDV_SERVE_PROXIES": "127.0.0.1"}, "127.0.0.1", {}, False),
        ({"LDV_INZAGE_PROXIES": "127.0.0.0/8"}, "::1", {}, False),
        ({"LDV_SERVE_PROXIES": "10.0.0.9"}, "127.0.0.1", {}, True),
        ({"LDV_SERVE_METRICS_FROM": "10.0.0.0/24"}, "10.0.0.5", {}, True),
        ({"LDV_SERVE_METRICS_FROM": "10.0.0.0/24"}, "10.0.0.5", {"x-forwarded-for": "1.2.3.4"}, False),
        ({"LDV_SERVE_METRICS_FROM": "10.0.0.0/24"}, "127.0.0.1", {}, False),
        ({"LDV_SERVE_METRICS_FROM": "127.0.0.1", "LDV_SERVE_PROXIES": "127.0.0.1"}, "127.0.0.1", {}, True),
    ],
)
def test_who_may(environ: Mapping[str, str], peer: str, headers: Mapping[str, str], *, allowed: bool) -> None:
    """The networks of the setting, or this machine where no proxy is on it."""
    settings = read_settings({"LDV_LOGBOEK": "chdb:///tmp/logboek", **environ})
    may_read = metrics_readers(settings.serve, settings.inzage)
    every = {"host": "localhost:8443"} | dict(headers)
    pairs = [(name.encode(), value.encode()) for name, value in every.items()]
    scope: dict[str, Any] = {"client": (peer, 1), "headers": pairs}
    assert may_read(scope) is allowed


def test_ldv_logboek_has_the_same(tmp_path: Path) -> None:
    """Without its secret, for probes have none; what it says is counts alone."""
    with logboek_command(tmp_path / "logboek") as address:
        assert get(address, "/health/live").json() == {"status": "pass"}
        assert get(address, "/health/ready").json() == {"status": "pass"}
        refused = httpx.post(address, content=b"SELECT 1", trust_env=False)
        assert refused.status_code == 403
        seen = figures(get(address, "/metrics").text)
        assert seen["ldv_ready"] == 1
        assert 0 < seen["ldv_logboek_disk_free_bytes"] < seen["ldv_logboek_disk_size_bytes"]
        assert (seen["ldv_http_requests_total"], seen["ldv_logboek_written_rows_total"]) == (1, 0)
        secret = (tmp_path / "logboek.secret").read_text().strip()
        insert = b"INSERT INTO ldv.ldv_schema (version, name) FORMAT CSV 999,later"
        httpx.post(address, content=insert, headers={"X-ClickHouse-Key": secret}, trust_env=False).raise_for_status()
        wait_for(address, 503)
        assert "are of version 999" in get(address, "/health/ready").json()["reason"]
        assert figures(get(address, "/metrics").text)["ldv_logboek_written_rows_total"] == 1
        assert get(address, "/metrics", Origin="https://evil.example").status_code == 404

"""Alerts and dashboards: their queries are of figures that the real processes give, and of views."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.privacy.key_file import add_key
from tests.api.test_health import get, logboek_command
from tests.support.figures import read_openmetrics
from tests.support.logboek import settings_at
from tests.support.loopback import free_port
from tests.support.serving import ServeProcess

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))
DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "deploy/grafana").iterdir()}
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
NAME = re.compile(r"\b(?:ldv|otel|process|otelcol)_\w+")
SERVICE = """
import sys
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import generate_latest
metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))
import ldv_otel
ldv_otel.install()
with ldv_otel.processing("geen uri", name="Stap"):
    pass
assert ldv_otel.force_flush(30)
sys.stdout.write(generate_latest().decode())
"""
#: What Prometheus and ClickHouse's plug-in of Grafana put in.
MACROS = {"$__fromTime": "toDateTime64(0, 3)", "$__toTime": "now64(3)"}


def queries(key: str) -> Iterator[tuple[str, str]]:
    """The queries of dashboards, each with the panel that it is of."""
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                if key in target:
                    yield f"{name}: {panel['title']}", target[key]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`ldv logboek`, `ldv serve` before it, and the metrics of a service that logged to it."""
    home = tmp_path_factory.mktemp("watching")
    add_key(home / "keys.json")
    with logboek_command(home / "logboek") as logboek:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
        environ = {
            "LDV_LOGBOEK": f"clickhouse+{logboek}/ldv",
            "LDV_LOGBOEK_PASSWORD_FILE": str(home / "logboek.secret"),
            "LDV_KEYS": str(home / "keys.json"),
            "LDV_STATE": str(home / "state"),
        }
        done = subprocess.run(
            [sys.executable, "-c", SERVICE],
            env=clean | environ | {"OTEL_SERVICE_NAME": "parkeren"},
            capture_output=True,
            text=True,
            check=True,
        )
        with ServeProcess(environ, "--without-authentication", log=home / "log") as serve:
            httpx.get(f"{serve.address}/lezenapi/v1/openapi.json", trust_env=False).raise_for_status()
            yield {"logboek": logboek, "serve": serve.address, "service": done.stdout, **environ}


def test_every_figure_is_one_that_is_given(processes: dict[str, str]) -> None:
    """A name that was changed in the code would leave a panel empty and an alert silent for ever."""
    given: set[str] = set()
    for part in ("logboek", "serve"):
        text = get(processes[part], "/metrics").text
        given |= {sample.name for family in read_openmetrics(text) for sample in family.samples}
    given |= set(re.findall(r"^(\w+)", processes["service"], re.MULTILINE)) | set(
        re.findall(r"^# TYPE (\w+)", processes["service"], re.MULTILINE)
    )
    wanted = [
        (where, query)
        for where, query in [(rule["alert"], rule["expr"]) for rule in RULES] + list(queries("expr"))
        if "otelcol_" not in query
    ]
    assert len(wanted) > 25
    missing = {(where, name) for where, query in wanted for name in NAME.findall(query) if name not in given}
    assert not missing


def test_every_alert_says_what_to_do() -> None:
    """In a paragraph under its own name."""
    page = (ROOT / "docs/operate/alerts.md").read_text(encoding="utf-8")
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/operate/alerts.md#{rule['alert'].lower()}"
        assert re.search(rf"^### {rule['alert']}\n\n\S.{{80,}}", page, re.MULTILINE | re.DOTALL), rule["alert"]


def test_every_query_of_the_officer_is_one_of_the_views(processes: dict[str, str]) -> None:
    """On the real engine, with the account of a reader."""
    found = list(queries("rawSql"))
    assert len(found) > 5
    settings = settings_at(int(processes["logboek"].rpartition(":")[2]))
    password = Path(processes["LDV_LOGBOEK_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()
    settings = msgspec.structs.replace(settings, password=password)
    apply_schema(settings)
    with LogboekClient(settings) as client:
        for _, query in found:
            client.rows(Sql.verbatim(re.sub(r"\$__\w+", lambda macro: MACROS[macro[0]], query)))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules_and_they_fire() -> None:
    """By its own tool, with the cases of alerts.test.yaml."""
    for arguments in (["check", "config", "prometheus.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")
def test_prometheus_answers_every_query(processes: dict[str, str], tmp_path: Path) -> None:
    """It reads the figures of the real servers; panels about them have values."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text(encoding="utf-8"))
    job, _ = config["scrape_configs"]
    config["scrape_configs"] = [job]
    for target, part in zip(job["static_configs"], ("serve", "logboek"), strict=True):
        assert target["labels"] == {"part": part}
        target["targets"] = [processes[part].removeprefix("http://")]
    config["global"]["scrape_interval"] = "1s"
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "alerts.yaml").write_text((PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))
    port = free_port()
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/data"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            base = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=base, trust_env=False, transport=httpx.HTTPTransport(retries=5)) as http:
                values = wait_for_values(http, "ldv_ready")
                assert [each["value"][1] for each in values] == ["1", "1"]
                time.sleep(3)
                for where, query in queries("expr"):
                    answer = http.get("/api/v1/query", params={"query": query}).json()
                    assert answer["status"] == "success", where
                    if where.startswith("logboek: "):
                        assert answer["data"]["result"], where
                assert {each["name"] for group in rules_of(http) for each in group["rules"]} == {
                    rule["alert"] for rule in RULES
                }
        finally:
            process.terminate()
            process.wait(30)


def wait_for_values(http: httpx.Client, query: str) -> list[Any]:
    """Wait for two servers to be read."""
    for _ in range(100):
        try:
            values: list[Any] = http.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
        except (httpx.HTTPError, ValueError, KeyError):
            values = []
        if len(values) == 2:
            return values
        time.sleep(0.2)
    raise AssertionError("Prometheus read nothing")


def rules_of(http: httpx.Client) -> list[Any]:
    """The rules that Prometheus has."""
    groups: list[Any] = http.get("/api/v1/rules").json()["data"]["groups"]
    return groups

"""Silence: which services are there, which stopped, and which never came; in the query, `ldv status` and `/metrics`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.services import DAY_MS, ServiceActivity, service_activity
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings, read_settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.privacy.key_file import add_key
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import now_ms
from ldv_otel.errors import ConfigurationError
from tests.api.test_health import figures, get
from tests.cli.test_cli import ldv
from tests.support.chance import new_id
from tests.support.logboek import SECRET, LogboekProcess, settings_at
from tests.support.serving import ServeProcess

HOUR = 3_600_000


def write(settings: Settings, service: str, *ages_ms: int) -> None:
    """Store records of a service that started so long ago."""
    now = now_ms()
    records = [
        Logregel(
            trace_id=new_id(16),
            span_id=new_id(8),
            name="Stap",
            start_time_ms=now - age,
            end_time_ms=now - age,
            resource=json.dumps({"service.name": service}),
        )
        for age in ages_ms
    ]
    sink = ClickHouseSink(settings)
    sink.open()
    sink.send(number_batch(new_writer_id(), 0, records))
    sink.close()


def test_who_is_silent(tmp_path: Path) -> None:
    """Expected ones by their own limit, others against the same day a week before; a clock ahead hides nothing."""
    with LogboekProcess(tmp_path / "logboek") as process:
        settings = msgspec.structs.replace(settings_at(process.port), seal=False)
        apply_schema(settings, collector=True)
        write(settings, "parkeren", HOUR, 2 * HOUR, 7 * DAY_MS + HOUR)
        write(settings, "gestopt", 7 * DAY_MS + HOUR, 7 * DAY_MS + 2 * HOUR)
        write(settings, "zelden", 30 * DAY_MS)
        write(settings, "traag", 3 * HOUR)
        write(settings, "voor", -400 * DAY_MS, 9 * DAY_MS)
        with LogboekClient(settings) as client:
            client.command(
                Sql.verbatim(
                    "INSERT INTO collector_span (Timestamp, TraceId, SpanId, SpanName, ServiceName, ResourceAttributes,"
                    " SpanAttributes) SELECT now64(9), repeat('a', 32), repeat(tupleElement(of, 1), 16), 'Stap',"
                    " tupleElement(of, 2) AS service, map('service.name', service),"
                    " map(tupleElement(of, 3), 'https://register.example/a')"
                    " FROM (SELECT arrayJoin([('b', 'elders', 'dpl.core.processing_activity_id'),"
                    " ('c', 'vergist', 'dpl.core.processing_activity')]) AS of)"
                )
            )
            expected = {"parkeren": 90 * 60_000, "traag": HOUR, "nooit": DAY_MS}
            services = {each.name: each for each in service_activity(client, now_ms(), expected, with_collector=True)}
        assert {name for name, each in services.items() if each.silent} == {"gestopt", "traag", "nooit"}
        assert (services["parkeren"].day, services["parkeren"].week_before, services["parkeren"].logregels) == (2, 1, 3)
        assert services["nooit"] == ServiceActivity(name="nooit", expected=True, silent=True)
        assert services["vergist"] == ServiceActivity(name="vergist", refused=1)
        assert services["elders"].through_collector
        assert not services["parkeren"].through_collector
        assert services["voor"].logregels == 1
        # The same, as people and Prometheus see it.
        add_key(tmp_path / "keys.json")
        environ = {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}/ldv",
            "LDV_LOGBOEK_PASSWORD": SECRET,
            "LDV_KEYS": str(tmp_path / "keys.json"),
            "LDV_STATE": str(tmp_path / "state"),
            "LDV_EXPECTED_SERVICES": "parkeren=90min, traag=1h, nooit",
            "COLUMNS": "160",
        }
        shown = ldv({**os.environ, **environ}, "status")
        assert shown.returncode == 1
        lines = {line.split()[0]: line for line in shown.stdout.splitlines() if line.split()}
        assert "never" in lines["nooit"]
        assert "SILENT, expected" in lines["traag"]
        assert "through a Collector" in lines["elders"]
        assert "1 refused" in lines["vergist"]
        report = json.loads(ldv({**os.environ, **environ}, "status", "--json").stdout)
        assert {each["name"] for each in report["services"] if each["silent"]} == {"gestopt", "traag", "nooit"}
        with ServeProcess(environ, "--without-authentication", log=tmp_path / "log") as serve:
            text = get(serve.address, "/metrics").text
            assert figures(text)["ldv_service_silent"] == 3
            assert 'ldv_service_logregels_day{service="parkeren"} 2' in text
            assert 'ldv_service_last_seen_timestamp_seconds{service="nooit"}' not in text
            # Figures are kept while the Logboek is away.
            process.kill()
            assert figures(get(serve.address, "/metrics").text)["ldv_service_silent"] == 3


def test_what_is_expected_is_checked_at_the_start() -> None:
    """With names that have an equals sign, and a length that means something."""
    there = {"LDV_LOGBOEK": "chdb:///logboek"}
    settings = read_settings(there | {"LDV_EXPECTED_SERVICES": "a, b=2d,c=d=5min"})
    assert dict(settings.expected_services) == {"a": DAY_MS, "b": 2 * DAY_MS, "c=d": 300_000}
    for value in ("a=", "=1h", "a=1y", "a=1h30"):
        with pytest.raises(ConfigurationError, match="LDV_EXPECTED_SERVICES"):
            read_settings(there | {"LDV_EXPECTED_SERVICES": value})

"""What a Collector tells Prometheus: the figures that alerts and dashboards are made of."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest

from tests.collector.conftest import NewLine
from tests.collector.spans import actie, post
from tests.deploy.test_watching import NAME, RULES, queries
from tests.support.collector import CollectorProcess
from tests.support.loopback import free_port

pytestmark = pytest.mark.slow

_SECONDS = 60


def figures_of(collector: CollectorProcess, wanted: str) -> set[str]:
    """Return the names of what it gives, once one of them is there."""
    end = time.monotonic() + _SECONDS
    while True:
        text = httpx.get(f"http://127.0.0.1:{collector.metrics_port}/metrics", trust_env=False).text
        names = set(re.findall(r"^(\w+)", text, re.MULTILINE))
        if wanted in names:
            return names
        assert time.monotonic() < end, sorted(names)
        time.sleep(0.1)


def test_every_figure_that_is_looked_at_is_one_that_it_gives(new_line: NewLine, tmp_path: Path) -> None:
    """One that stores a record that was odd, and one whose Logboek is away: a changed name would never be noticed."""
    given: set[str] = set()
    odd = actie({"dpl.core.data_subject_id": "123456782", "dpl.core.data_subject_id_type": "soort"})
    there, away = tmp_path / "there", tmp_path / "away"
    for config, directory, environ, wanted in (
        ("buffered.yaml", there, {}, "otelcol_exporter_sent_spans"),
        (
            "confirmed.yaml",
            away,
            {"LDV_CLICKHOUSE_ENDPOINT": f"http://127.0.0.1:{free_port()}", "LDV_CLICKHOUSE_TIMEOUT": "3s"},
            "otelcol_exporter_send_failed_spans",
        ),
    ):
        directory.mkdir()
        with new_line(config, directory, **environ).collector as collector:
            answer = post(collector.url, [odd]).status_code
            assert answer == (httpx.codes.OK if directory is there else httpx.codes.SERVICE_UNAVAILABLE)
            given |= figures_of(collector, wanted)
    texts = [rule["expr"] for rule in RULES] + [query for _, query in queries("expr")]
    asked = {name for text in texts for name in NAME.findall(text) if name.startswith("otelcol_")}
    assert len(asked) > 6
    assert asked <= given

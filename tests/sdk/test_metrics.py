"""The metrics say what `health()` says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ldv_otel._internal.sdk.health import Health, health_of_all
from ldv_otel._internal.sdk.metrics import observe

_HEALTH = Health(
    installed=True,
    pending=7,
    in_doubt=5,
    oldest_seconds=12.5,
    running=2,
    confirmed=100,
    adopted=9,
    retried=3,
    quarantined=1,
    lost=4,
    unsealed=11,
    flags={"name_missing": 6, "failed": 8},
)


def read(reader: InMemoryMetricReader) -> dict[str, dict[str, float]]:
    """Each metric's values, by what tells them apart."""
    data = reader.get_metrics_data()
    found: dict[str, dict[str, float]] = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics if data else ():
        for point in metric.data.data_points:
            key = str((point.attributes or {}).get("error.type") or (point.attributes or {}).get("ldv.flag") or "")
            found.setdefault(metric.name, {})[key] = getattr(point, "value", 0)
    return found


def test_each_figure_is_a_metric() -> None:
    """Read from the same state, at the moment a reader asks."""
    reader, state = InMemoryMetricReader(), [_HEALTH]
    provider = MeterProvider([reader], shutdown_on_exit=False)
    observe(provider.get_meter("ldv_otel"), lambda: state[0])
    assert read(reader) == {
        "otel.sdk.processor.span.queue.size": {"": 7},
        "otel.sdk.exporter.span.inflight": {"": 5},
        "otel.sdk.exporter.span.exported": {"": 100, "refused": 1},
        "ldv.logregel.pending.age": {"": 12.5},
        "ldv.logregel.lost": {"refused": 4, "failed": 8},
        "ldv.logregel.flagged": {"name_missing": 6},
        "ldv.logregel.unsealed": {"": 11},
        "ldv.logregel.adopted": {"": 9},
        "ldv.delivery.retries": {"": 3},
        "ldv.actie.running": {"": 2},
    }
    state[0] = Health(installed=True, confirmed=107)
    assert read(reader)["otel.sdk.exporter.span.exported"] == {"": 107, "refused": 0}
    provider.shutdown()


def test_documented() -> None:
    """Each has its line in the documentation."""
    text = (Path(__file__).parents[2] / "docs" / "delivery-sending.md").read_text(encoding="utf-8")
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    observe(provider.get_meter("ldv_otel"), lambda: _HEALTH)
    assert [name for name in read(reader) if f"`{name}`" not in text] == []
    provider.shutdown()


_SERVICE = """
import json, sys
import ldv_otel as ldv
from opentelemetry import metrics

ldv.install()
if sys.argv[1] == "sdk":
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
with ldv.processing("https://register.example/activiteiten/parkeren"):
    pass
with ldv.processing("no uri"):
    pass
assert ldv.force_flush()
found = {}
if sys.argv[1] == "sdk":
    for scope in reader.get_metrics_data().resource_metrics[0].scope_metrics:
        if scope.scope.name == "ldv_otel":
            found = {metric.name: metric.data.data_points[0].value for metric in scope.metrics}
imported = "opentelemetry.sdk.metrics" in sys.modules
print(json.dumps({"metrics": found, "sdk": imported, "health": ldv.health().confirmed}))
"""


@pytest.mark.parametrize("sdk", ["sdk", "none"])
def test_a_service_with_and_without_the_metrics_sdk(tmp_path: Path, sdk: str) -> None:
    """Set after `install()`, as services do; and without it, nothing of it is even imported."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    environ = clean | {"LDV_LOGBOEK": f"chdb://{tmp_path}/logboek", "LDV_STATE": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", _SERVICE, sdk], env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    found = json.loads(done.stdout)
    assert found["health"] == 2
    if sdk == "sdk":
        assert found["metrics"]["otel.sdk.exporter.span.exported"] == 2
        assert found["metrics"]["ldv.logregel.flagged"] == 1
    else:
        assert found["sdk"] is False


def test_each_tenant_has_its_figures() -> None:
    """With several Logboeken they are given for each, and a backend adds them up."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    health = health_of_all({"0363": _HEALTH, "quarantine": Health(installed=True, confirmed=2)})
    assert health.confirmed == 102
    observe(provider.get_meter("ldv_otel"), lambda: health)
    data = reader.get_metrics_data()
    assert data
    metrics = {metric.name: metric.data.data_points for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    assert {(each.attributes or {})["ldv.tenant"] for each in metrics["ldv.delivery.retries"]} == {"0363", "quarantine"}
    exported = [
        ((each.attributes or {})["ldv.tenant"], (each.attributes or {}).get("error.type"), getattr(each, "value", None))
        for each in metrics["otel.sdk.exporter.span.exported"]
    ]
    assert sorted(exported, key=str) == [
        ("0363", "refused", 1),
        ("0363", None, 100),
        ("quarantine", "refused", 0),
        ("quarantine", None, 2),
    ]

"""The configurations themselves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.collector import CONFIGS, KEY_SECRET

NEEDED = {
    "LDV_KEY_SECRET": KEY_SECRET,
    "LDV_KEY_ID": "2026",
    "LDV_QUEUE_DIR": "/nonexistent/queue",
    "LDV_TLS_CERT_FILE": "/nonexistent/cert.pem",
    "LDV_TLS_KEY_FILE": "/nonexistent/key.pem",
    "LDV_TLS_CLIENT_CA_FILE": "/nonexistent/ca.pem",
    **{f"LDV_KEY_ID_{tenant}": tenant for tenant in ("0363", "0344")},
    **{f"LDV_KEY_SECRET_{tenant}": KEY_SECRET for tenant in ("0363", "0344")},
    **{f"LDV_CLICKHOUSE_ENDPOINT_{tenant}": "http://127.0.0.1:8123" for tenant in ("0363", "0344")},
}


def validate(program: Path, *configs: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the Collector's own check."""
    command = [str(program), "validate", *(f"--config={CONFIGS / config}" for config in configs)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **NEEDED, **environ})


@pytest.mark.parametrize(
    "configs",
    [
        ["confirmed.yaml"],
        ["buffered.yaml"],
        ["confirmed.yaml", "network.yaml"],
        ["buffered.yaml", "network.yaml"],
        ["confirmed.yaml", "tenants.yaml"],
        ["confirmed.yaml", "tenants.yaml", "network.yaml"],
    ],
)
def test_the_collector_takes_them(program: Path, configs: list[str]) -> None:
    """Each alone, and with the network."""
    found = validate(program, *configs)
    assert found.returncode == 0, found.stderr


def test_without_a_key_it_does_not_start(program: Path) -> None:
    """Nor with a short one: then there would be no pseudonyms."""
    for secret in ("", "short"):
        found = validate(program, "confirmed.yaml", LDV_KEY_SECRET=secret)
        assert found.returncode != 0
        assert "LDV_KEY_SECRET" in found.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LDV_STRAY_BSN", "ignore"),
        ("LDV_TECHNICAL_SPANS", "no"),
        ("LDV_REGISTER_CHECK", "on"),
        ("LDV_REGISTER_CHECK", "flag"),
    ],
)
def test_a_setting_that_cannot_be_is_said(program: Path, variable: str, value: str) -> None:
    """At the start, with its name."""
    found = validate(program, "confirmed.yaml", **{variable: value})
    assert found.returncode != 0
    assert variable in found.stderr


def test_a_register_that_is_not_there_stops_the_start(program: Path, tmp_path: Path) -> None:
    """Activities would otherwise be refused, or let through, against nothing."""
    environ = {"LDV_REGISTER_CHECK": "refuse", "LDV_REGISTER": str(tmp_path / "none.yaml")}
    found = validate(program, "confirmed.yaml", **environ)
    assert found.returncode != 0
    assert "LDV_REGISTER" in found.stderr


def test_what_both_have_in_common_is_the_same() -> None:
    """They differ in the queue before the Logboek, and in nothing else."""
    confirmed, buffered = (yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in ("confirmed", "buffered"))
    for config in (confirmed, buffered):
        for name in ("sending_queue", "retry_on_failure", "timeout"):
            del config["exporters"]["clickhouse/ldv"][name]
        del config["extensions"], config["service"]["extensions"]
    assert confirmed == buffered


def test_an_outage_of_any_length_loses_nothing() -> None:
    """The default gives records up after 300 s, and tells nobody; a queue without fsync forgets at a power cut."""
    buffered = yaml.safe_load((CONFIGS / "buffered.yaml").read_text())
    exporter = buffered["exporters"]["clickhouse/ldv"]
    assert exporter["retry_on_failure"]["enabled"] is True
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
    assert exporter["sending_queue"]["block_on_overflow"] is True
    assert buffered["extensions"]["file_storage/ldv"]["fsync"] is True


@pytest.mark.parametrize("name", ["confirmed.yaml", "buffered.yaml"])
def test_nothing_on_the_way_to_the_logboek_can_swallow_a_record(name: str) -> None:
    """No batch processor, which answers before it sends; no sampler; and nothing before the processor that redacts."""
    config = yaml.safe_load((CONFIGS / name).read_text())
    pipeline = config["service"]["pipelines"]["traces/ldv"]
    assert not any(part.startswith(("batch", "probabilistic", "tail")) for part in pipeline["processors"])
    assert pipeline["exporters"] == ["clickhouse/ldv"]
    assert pipeline["processors"] == ["memory_limiter", "ldv/logboek"]
    assert config["service"]["pipelines"]["traces/tracing"]["processors"][-1] == "ldv/tracing"
    for protocol in config["receivers"]["otlp"]["protocols"].values():
        assert protocol["endpoint"].startswith("127.0.0.1:")


def test_an_exporter_of_a_tenant_is_that_of_one_logboek() -> None:
    """In where it writes they differ, and in nothing else: what a 200 promises holds for each tenant."""
    confirmed, tenants = (yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in ("confirmed", "tenants"))
    exporters = [confirmed["exporters"]["clickhouse/ldv"], *tenants["exporters"].values()]
    assert len({exporter["endpoint"] for exporter in exporters}) == len(exporters)
    assert len({exporter["database"] for exporter in exporters}) == len(exporters)
    for exporter in exporters:
        for name in ("endpoint", "username", "password", "database"):
            del exporter[name]
        assert exporter == exporters[0]

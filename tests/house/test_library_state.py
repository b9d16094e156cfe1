"""Nothing of ours changes a global of somebody else's library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.privacy.key_file import add_key
from tests.gemma.register import CLIENT_ID, SECRET, Register
from tests.support.collector import HttpRecorder
from tests.support.logboek import LogboekProcess

#: What `install()` is for.
ON_PURPOSE: Final = {
    "opentelemetry.trace:_TRACER_PROVIDER": "a stand-in, where the service has set no provider yet",
    "opentelemetry.trace:_TRACER_PROVIDER_SET_ONCE._done": "the same",
    "opentelemetry.trace:_set_tracer_provider": "a provider that is set later must keep a Logboek too",
    "opentelemetry.propagate:_HTTP_TEXT_FORMAT": "calls carry whose processing they belong to (LDV-X2)",
    "opentelemetry.metrics._internal:_PROXY_METER_PROVIDER._meters": "health as metrics, by the meter `ldv_otel`",
    "sys:meta_path": "to learn when FastAPI or Starlette is imported, whose answers wait for their Acties",
    "signal:SIGTERM": "ends as sys.exit() does, so that what is pending is delivered; only where nothing else is set",
    "process:SigCgt": "the same",
}
#: What libraries keep to themselves, as they would for anybody who calls them.
THEIR_OWN: Final = {
    "clickhouse_connect.datatypes.registry:type_cache": "the driver's cache of types",
    "clickhouse_connect.driver.httputil:all_managers": "the driver's list of pools",
    "urllib3.util.wait:wait_for_socket": "chosen the first time",
    "requests.packages.urllib3.util.wait:wait_for_socket": "the same",
    "httpx._transports.default:HTTPCORE_EXC_MAP": "made with the first request",
    "msgspec._core:_struct_lookup_cache": "a cache",
    "opentelemetry.sdk.resources:_service_instance_id": "made once, with the first resource",
    "opentelemetry.sdk.resources:_service_instance_id_pid": "the same",
}


@contextmanager
def chdb(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The engine in the process."""
    yield {"LDV_LOGBOEK": f"chdb://{tmp_path / 'logboek'}"}


@contextmanager
def clickhouse(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A server."""
    with LogboekProcess(tmp_path / "logboek") as server:
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=server.port, database="ldv")
        apply_schema(Settings(logboek=address))
        yield {"LDV_LOGBOEK": str(address)}


@contextmanager
def collector(tmp_path: Path) -> Iterator[dict[str, str]]:  # noqa: ARG001  (all of these are called alike)
    """What takes OTLP."""
    with HttpRecorder() as recorder:
        yield {"LDV_LOGBOEK": f"otlp+http://127.0.0.1:{recorder.port}"}


@contextmanager
def gemma(tmp_path: Path) -> Iterator[dict[str, str]]:  # noqa: ARG001  (all of these are called alike)
    """Somebody else's register."""
    with Register() as register:
        yield {
            "LDV_LOGBOEK": f"gemma+http://{CLIENT_ID}@127.0.0.1:{register.port}/api/v1/",
            "LDV_LOGBOEK_PASSWORD": SECRET,
        }


@pytest.mark.parametrize("logboek", [chdb, clickhouse, collector, gemma])
def test_a_service_keeps_its_libraries_as_they_were(tmp_path: Path, logboek: object) -> None:
    """Settings, pools, loggers, warnings, signals and the rest differ after an Actie in what they are meant to only."""
    ring = tmp_path / "keys.json"
    add_key(ring, sealing=True)
    with logboek(tmp_path) as variables:  # type: ignore[operator]
        environ = {**os.environ, "LDV_KEYS": str(ring), "LDV_STATE": str(tmp_path / "state"), **variables}
        command = [sys.executable, "-m", "tests.house.service_beside_libraries"]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    differing = json.loads(ended.stdout)
    allowed = ON_PURPOSE | THEIR_OWN
    assert {path: value for path, value in differing.items() if not path.startswith(tuple(allowed))} == {}
    assert differing.keys() >= {"opentelemetry.trace:_TRACER_PROVIDER", "signal:SIGTERM"}

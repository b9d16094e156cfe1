"""Target 1: the application is killed, again and again, and nothing it was told is logged is missing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.settings import read_settings
from ldv_otel._internal.delivery.durable import drain
from ldv_otel._internal.delivery.paths import spool_base
from ldv_otel._internal.privacy.key_file import add_key
from tests.support.chance import dice
from tests.support.logboek import LogboekProcess
from tests.support.sealing import not_whole
from tests.torture.rig import FileLogboek, Forge, hurry, orphaned_segments, size, span_ids


def kill_after(forge: Forge, pid: int, seconds: float) -> None:
    """Let a forked process live so long from its readiness."""
    forge.open_gate()
    forge.wait_ready()
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert forge.reap() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_service_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever left a `processing` block without an exception is in the Logboek, once, and unaltered."""
    chance = dice("application")
    with LogboekProcess(tmp_path / "logboek") as process:
        add_key(tmp_path / "keys.json")
        environ = {
            "LDV_LOGBOEK": f"clickhouse+http://127.0.0.1:{process.port}",
            "LDV_KEYS": str(tmp_path / "keys.json"),
            "LDV_DELIVERY": "durable",
            "LDV_SPOOL": str(tmp_path / "spool"),
        }
        settings = read_settings(environ)
        apply_schema(settings)
        with Forge(environ) as forge:
            for kill in range(size(100, 2_000)):
                # A life of up to 150 ms ends in an adoption or before the first send, a longer one in its own sends.
                kill_after(forge, forge.fork("application"), chance.uniform(0, 0.15 if kill % 4 else 0.6))
        hurry(monkeypatch)
        drain(ClickHouseSink(settings), spool_base(tmp_path / "spool", settings.logboek))
        verdict = forge.oracle.verdict(span_ids(settings, "logregel"))
        assert not_whole(settings) == []
    assert len(forge.oracle.acknowledged) > size(100, 2_000)
    print(f"{len(forge.oracle.acknowledged)} acknowledged: {verdict}")
    assert verdict.clean, verdict


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_delivery_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without the SDK side, with small segments and no gathering: more records, sends and turns a life."""
    chance = dice("driver")
    store, base = tmp_path / "store", tmp_path / "spools"
    with Forge() as forge:
        for kill in range(size(150, 3_000)):
            pid = forge.fork("driver", str(base), str(store), str(kill * 1_000_000))
            kill_after(forge, pid, chance.uniform(0, 0.15))
    hurry(monkeypatch)
    sink = FileLogboek(store)
    drain(sink, base)
    assert not orphaned_segments(base)
    verdict = forge.oracle.verdict(sink.names())
    print(f"{len(forge.oracle.acknowledged)} acknowledged: {verdict}")
    assert verdict.clean, verdict

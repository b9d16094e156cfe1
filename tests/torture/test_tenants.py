"""A service with many Logboeken is killed while some of them are away, slow, in doubt or refuse: nothing is mixed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ldv_otel._internal.config.settings import read_service_settings, tenant_settings
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.record.logregel import decode_logregel
from tests.support.chance import dice
from tests.support.tenants import write_logboeken
from tests.torture.outbox_service import SharedFileLogboek
from tests.torture.rig import Oracle, size

_ROOT = Path(__file__).parents[2]


def start(directory: Path, seed: str, life: int) -> subprocess.Popen[bytes]:
    """Start a service in a process group of its own."""
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.torture.tenant_service", str(directory), seed, str(life)],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )


def records_of(directory: Path, tenant_ids: list[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the names in each Logboek, and those that each has refused."""
    settings = read_service_settings(
        {"LDV_LOGBOEKEN": str(directory / "logboeken.yaml"), "LDV_SPOOL": str(directory / "spool")}
    )
    assert settings.logboeken is not None
    stored, refused = {}, {}
    for tenant_id in tenant_ids:
        own = tenant_settings(settings, settings.logboeken, tenant_id)
        stored[tenant_id] = SharedFileLogboek(directory / f"{tenant_id}.logboek").names()
        quarantine = Quarantine(spool_base(spool_root(own), own.logboek) / QUARANTINE_NAME)
        refused[tenant_id] = [decode_logregel(each.payload).name for each in quarantine.records()]
    return stored, refused


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_whatever_fails_each_record_is_in_its_own_logboek(tmp_path: Path) -> None:
    """Kills, forks and faults of many Logboeken: none lost, none twice, none with another controller."""
    chance = dice("tenants")
    seed = str(chance.random())
    tenant_ids = [f"g{number:04}" for number in range(size(25, 1_000))]
    write_logboeken(tmp_path, tenant_ids)
    oracle = Oracle()
    for life in range(size(6, 300)):
        # Two at a time in every third life: each may adopt what the other left.
        services = [start(tmp_path, seed, life * 10 + 1 + number) for number in range(1 + (life % 3 == 0))]
        time.sleep(chance.uniform(1.5, 3.5))
        for service in services:
            os.killpg(service.pid, signal.SIGKILL)
            said, _ = service.communicate(timeout=60)
            for line in said.decode().splitlines():
                oracle.note(line)
    last = start(tmp_path, seed, -1)
    last.communicate(timeout=200)
    assert last.returncode == 0, (tmp_path / "log").read_text("utf-8")[-2_000:]
    stored, refused = records_of(tmp_path, tenant_ids)
    for tenant_id in tenant_ids:
        assert all(name.startswith(f"{tenant_id}:") for name in (*stored[tenant_id], *refused[tenant_id])), tenant_id
    everything = [name for names in (*stored.values(), *refused.values()) for name in names if "fork" not in name]
    verdict = oracle.verdict(everything)
    assert verdict.clean, str(verdict)
    assert sum(map(len, refused.values())), "no Logboek has refused anything"
    assert len(oracle.acknowledged) > len(tenant_ids)
    print(f"{len(oracle.acknowledged)} acknowledged in {len(tenant_ids)} Logboeken: {verdict}")

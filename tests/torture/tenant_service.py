"""A service with many Logboeken, for `test_tenants.py` to kill; its arguments are directory, seed and life."""

from __future__ import annotations

import itertools
import os
import random
import sys
import threading
import time
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import ldv_otel as ldv
from ldv_otel._internal.config.settings import Settings, read_service_settings, tenant_settings
from ldv_otel._internal.delivery import drainer
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.delivery.retry import RetryPolicy
from ldv_otel._internal.delivery.spool.inspect import inspect_spools
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.tenant_context import set_tenant_names
from ldv_otel._internal.sdk.tenants import orphans, processors
from ldv_otel._internal.sdk.tenants.processor import TenantsProcessor
from ldv_otel.errors import BatchRefused, LogboekUnavailable
from tests.torture.outbox_service import SharedFileLogboek

ACTIVITY = "https://register.example/activiteiten/marteling"
_THREADS = 3
_DRAIN_SECONDS = 120.0
_PAUSES = RetryPolicy(first_pause_seconds=0.01, longest_pause_seconds=0.05, suspicion_seconds=5.0)


class FaultyLogboek(SharedFileLogboek):
    """One tenant's Logboek in a file, which is away, in doubt, slow or refuses some records, as its number says."""

    def __init__(self, path: Path, number: int, chance: random.Random | None) -> None:
        super().__init__(path)
        self._number = number
        self._chance = chance

    def _fail(self, *, in_doubt: bool) -> None:
        chance = self._chance
        if chance is None:
            return
        if self._number % 5 == 1 or chance.random() < 0.1:
            raise LogboekUnavailable("It is away.", in_doubt=in_doubt)
        if self._number % 5 == 2 and chance.random() < 0.3:
            time.sleep(0.1)

    def send(self, batch: Batch) -> None:
        """Store it, or not, or store it and say nothing."""
        if self._number % 5 == 3 and any(each.name.endswith("/40") for each in batch.logregels):
            raise BatchRefused("It takes no fortieth record.", certain=True)
        self._fail(in_doubt=False)
        super().send(batch)
        self._fail(in_doubt=True)


def set_up(directory: Path, chance: random.Random | None) -> tuple[TenantsProcessor, Settings]:
    """Have `processing` log to the Logboeken of the file in a directory."""
    vars(drainer).update(_GATHER_SECONDS=0.005, _ADOPT_SECONDS=0.2, OPENING=_PAUSES, SENDING=_PAUSES)
    vars(orphans).update(_LOOK_SECONDS=0.3)
    settings = read_service_settings(
        {"LDV_LOGBOEKEN": str(directory / "logboeken.yaml"), "LDV_SPOOL": str(directory / "spool")}
    )
    assert settings.logboeken is not None
    numbers = {tenant.id: number for number, tenant in enumerate(settings.logboeken.content.tenants)}

    def make_sink(settings: Settings) -> FaultyLogboek:
        return FaultyLogboek(directory / f"{settings.tenant}.logboek", numbers.get(settings.tenant, 0), chance)

    vars(processors).update(make_sink=make_sink)
    processor = TenantsProcessor.from_settings(settings)
    provider = TracerProvider()
    attach(provider, processor)
    trace.set_tracer_provider(provider)
    set_tenant_names(processor.choice)
    return processor, settings


def work(ids: list[str], worker: str, chance: random.Random) -> None:
    """Log for one tenant after another until the process is killed; say what is issued, and what was acknowledged."""
    for number in itertools.count():
        tenant_id = chance.choice(ids)
        # In short numbers, which nobody takes for a BSN.
        name = f"{tenant_id}:{worker}/{number // 50}/{number % 50}"
        os.write(1, f"i {name}\n".encode())
        with ldv.tenant(tenant_id), ldv.processing(ACTIVITY, name=name) as actie:
            actie.data_subject("123456782", type="BSN")
        os.write(1, f"a {name}\n".encode())


def live(directory: Path, seed: str, life: int) -> None:
    """Log in several threads, and in a forked child in every other life, until all are killed."""
    chance = random.Random(f"{seed} {life}")
    processor, settings = set_up(directory, chance)
    assert settings.logboeken is not None
    ids = [tenant.id for tenant in settings.logboeken.content.tenants]
    del processor
    child = 0
    if life % 2:
        with ldv.tenant(ids[0]), ldv.processing(ACTIVITY, name=f"{ids[0]}:before the fork"):
            pass
        child = 1 if os.fork() == 0 else 0
    threads = [
        threading.Thread(
            target=work,
            args=(ids, f"{life}/{child}/{number}", random.Random(chance.random())),
        )
        for number in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def drain(directory: Path) -> int:
    """Send all that is left, with every Logboek back; return 0 once nothing is."""
    processor, settings = set_up(directory, None)
    file = settings.logboeken
    assert file is not None
    bases = [
        spool_base(spool_root(each), each.logboek)
        for each in (tenant_settings(settings, file, tenant.id) for tenant in file.content.tenants)
    ]
    end = time.monotonic() + _DRAIN_SECONDS
    while time.monotonic() < end:
        if not any(spool.pending for base in bases for spool in inspect_spools(base)):
            processor.close()
            return 0
        time.sleep(0.2)
    return 1


if __name__ == "__main__":
    place, its_seed, its_life = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if its_life < 0:
        sys.exit(drain(place))
    live(place, its_seed, its_life)

"""A service with several Logboeken in memory, through the whole SDK side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from ldv_otel import testing
from ldv_otel._internal.config.logboeken import QUARANTINE
from ldv_otel._internal.config.settings import Settings, read_service_settings
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.level import Delivery
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.privacy.pseudonyms import Pseudonymiser
from ldv_otel._internal.privacy.tenant_keys import read_tenant_keys
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk import processing as processing_module
from ldv_otel._internal.sdk.attach import attach
from ldv_otel._internal.sdk.propagator import use_propagator
from ldv_otel._internal.sdk.tenant_context import set_tenant_names
from ldv_otel._internal.sdk.tenants.choice import TenantChoice
from ldv_otel._internal.sdk.tenants.processor import TenantsProcessor
from ldv_otel._internal.sdk.tenants.processors import TenantProcessors
from tests.support.tenants import write_logboeken

RULES = """
rules:
  - match: {name: GET /vergunning}
    activity: https://register.example/activiteiten/parkeren
    subject: {attribute: app.bsn, type: BSN}
"""

PARTIES = """
gateways: [10.0.0.5]
callers:
  - name: gemeente
    processor: https://zaken.amsterdam.example
    proven_by: [{header: X-Consumer, value: gemeente}]
  - name: ander
    processor: https://ander.example
    proven_by: [{header: X-Consumer, value: ander}]
"""


class Service:
    """A service whose Logboeken are in memory, and whose spools are real.

    Attributes:
        logboeken: By tenant, those that something was ever logged in.
    """

    def __init__(self, settings: Settings, resource: Mapping[str, str]) -> None:
        file = settings.logboeken
        assert file is not None
        rings = read_tenant_keys(file)
        self.rings = rings
        self.logboeken: dict[str, testing.InMemoryLogboek] = {}
        parties = parties_for(settings)
        self.choice = TenantChoice(file, parties)

        def deliver(settings: Settings, sink: Sink) -> Delivery:
            del sink
            memory = testing.InMemoryLogboek(Pseudonymiser(rings[settings.tenant]))
            self.logboeken[settings.tenant] = memory
            return DurableDelivery(memory, spool_base(spool_root(settings), settings.logboek))

        processors = TenantProcessors(settings, file, rings, parties, deliver)
        self.processor = TenantsProcessor(self.choice, processors, 10.0)
        self.provider = TracerProvider(resource=Resource(resource))
        attach(self.provider, self.processor)

    def logged(self) -> dict[str, list[Logregel]]:
        """What is in each Logboek, once all of it was delivered; without the empty ones."""
        assert self.processor.flush(10.0)
        return {name: memory.logregels for name, memory in self.logboeken.items() if memory.logregels}

    def names(self) -> dict[str, list[str]]:
        """The names of what is in each Logboek."""
        return {name: sorted(each.name for each in logregels) for name, logregels in self.logged().items()}


MakeService = Callable[..., Service]


@pytest.fixture
def make_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeService]:
    """Make a service of tenants 0363 and 0344 unless it is told otherwise; it is the process's own for this test."""
    made: list[Service] = []
    propagator = propagate.get_global_textmap()

    def make(
        ids: tuple[str, ...] = ("0363", "0344"), *, resource: Mapping[str, str] | None = None, **options: Any
    ) -> Service:
        (tmp_path / "rules.yaml").write_text(RULES)
        (tmp_path / "parties.yaml").write_text(PARTIES)
        path = write_logboeken(tmp_path, ids, **options)
        settings = read_service_settings(
            {
                "LDV_LOGBOEKEN": str(path),
                "LDV_SPOOL": str(tmp_path / "spool"),
                "LDV_RULES": str(tmp_path / "rules.yaml"),
                "LDV_PARTIES": str(tmp_path / "parties.yaml"),
            }
        )
        service = Service(settings, resource or {})
        made.append(service)
        # Past `set_tracer_provider`, which takes one for good.
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: service.provider)
        monkeypatch.setattr(processing_module, "_last_tracer", (None, None))
        set_tenant_names(service.choice)
        use_propagator(service.processor.parties, service.processor.extensions, service.choice)
        return service

    yield make
    set_tenant_names(None)
    propagate.set_global_textmap(propagator)
    for service in made:
        service.processor.close()


@contextmanager
def server_span(service: Service, headers: Mapping[str, str], *, peer: str = "", **attributes: str) -> Iterator[Any]:
    """Serve a request, as an instrumentation of a web server does."""
    from ldv_otel import extract

    context = extract(headers, peer_address=peer, context=otel_context.get_current())
    tracer = service.provider.get_tracer("instrumentation")
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    with tracer.start_as_current_span(
        "GET /vergunning", context, kind=trace.SpanKind.SERVER, attributes={"app.bsn": "123456782", **named}
    ) as span:
        yield span


__all__ = ["QUARANTINE"]

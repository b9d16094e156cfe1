"""The span processor of a service with several Logboeken: it gives each span to the processor of its tenant."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind

from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.config.logboeken import LogboekenFile, read_logboeken
from ldv_otel._internal.config.settings import Settings, tenant_settings
from ldv_otel._internal.config.watched_file import WatchedFile
from ldv_otel._internal.delivery.drainer_threads import DrainerThreads, SharedThreads
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.level import Delivery
from ldv_otel._internal.delivery.paths import spool_base, spool_root
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.privacy.tenant_keys import read_tenant_keys
from ldv_otel._internal.record.overlooked import OverlookedAttribute
from ldv_otel._internal.sdk import span_state
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.health import Health, health_of, health_of_all
from ldv_otel._internal.sdk.processor import LdvSpanProcessor, delivery_for
from ldv_otel._internal.sdk.tenants.choice import TenantChoice
from ldv_otel._internal.sdk.tenants.orphans import OrphanSweep
from ldv_otel._internal.sdk.tenants.processors import TenantProcessors
from ldv_otel.errors import ConfigurationError

_logger = logging.getLogger(__name__)

#: How long the end of the process waits for what is being sent, of all tenants together.
_STOP_SECONDS: Final = 5.0
#: Of its spool, and a connection; and what a service has open itself.
_FILES_OF_TENANT: Final = 4
_FILES_OF_SERVICE: Final = 200


class TenantsProcessor(SpanProcessor):
    """Logs every Actie in the Logboek of its tenant.

    Args:
        choice: Says whose a span is.
        processors: Log it.
        sweep: Looks for what dead processes left; None for who looks for nothing.
        flush_seconds: How long `shutdown` waits for what is pending, of all tenants together.
    """

    def __init__(
        self,
        choice: TenantChoice,
        processors: TenantProcessors,
        flush_seconds: float,
        sweep: OrphanSweep | None = None,
    ) -> None:
        self._sweep = sweep
        self.choice = choice
        self.processors = processors
        self.flush_seconds = flush_seconds
        self.parties = processors.quarantine.parties
        self.extensions = processors.quarantine.extensions
        self.mapper = processors.quarantine.mapper

    @classmethod
    def from_settings(cls, common: Settings) -> TenantsProcessor:
        """Return the processor for the Logboeken that the settings name.

        Their keys are read, and compared, now; a spool and a connection a tenant has from its first span on.

        Raises:
            ConfigurationError: They cannot work.
        """
        file = common.logboeken
        if file is None:
            raise ConfigurationError("LDV_LOGBOEKEN is not set. Logging did not start.")
        if common.delivery == "memory":
            raise ConfigurationError(
                "LDV_DELIVERY=memory is for tests, and LDV_LOGBOEKEN for services: each tenant would have a queue of "
                "its own in memory. Logging did not start. Leave LDV_DELIVERY out."
            )
        parties = parties_for(common)
        choice = TenantChoice(file, parties)

        threads = DrainerThreads(uninstrumented)

        def deliver(settings: Settings, sink: Sink) -> Delivery:
            address = settings.logboek
            shared = SharedThreads(threads, f"{address.host}:{address.port}")
            return delivery_for(settings, sink, drains=True, shared=shared)

        processors = TenantProcessors(common, file, read_tenant_keys(file), parties, deliver)
        bases = _spool_bases(common, file)
        processor = cls(choice, processors, common.flush_seconds)

        def take_over() -> None:
            changed = read_logboeken(file.path, allow_insecure=common.allow_insecure)
            processor.take_over(changed)
            bases.update(_spool_bases(common, changed))
            _warn_about_files(len(bases))

        sweep = OrphanSweep(bases, processors.send_left, WatchedFile(file.path, take_over).look)
        processor._sweep = sweep
        threads.last(sweep)
        _warn_about_files(len(bases))
        return processor

    def take_over(self, file: LogboekenFile) -> None:
        """Follow another file from here on: tenants come and go, and so do rules.

        One that is gone is refused from here on; what it has on disk is sent to its own Logboek.

        Raises:
            ConfigurationError: The file cannot be followed; the one of before stays.
        """
        rings = read_tenant_keys(file)
        self.choice.follow(file, lambda: self.processors.take_over(file, rings))

    def may_be_actie(self, name: str, kind: SpanKind, attributes: Mapping[str, object]) -> bool:
        """Return whether a span that starts like this may be an Actie; the rules are those of all tenants."""
        return self.processors.quarantine.may_be_actie(name, kind, attributes)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Choose whose a span is, for good."""
        self._owner_of(span, parent_context).on_start(span, parent_context)

    def _owner_of(self, span: Span, parent_context: Context | None) -> LdvSpanProcessor:
        processors = self.processors
        try:
            decision = self.choice.of_span(span, parent_context)
            if decision.contradicted:
                return processors.contradicted
            if not decision.tenant:
                return processors.unnamed
            return processors.of(decision.tenant) if decision.decided else processors.unnamed
        except Exception as error:  # LDV-A8: the application goes on, and no other tenant gets the record
            _logger.error("Whose a span is could not be chosen; please report this. %s", type_and_places(error))
            return processors.contradicted

    def on_end(self, span: ReadableSpan) -> None:
        """Log a span if it is an Actie, in the Logboek that was chosen when it began."""
        live_span = span_state.find(span)
        if live_span is not None and isinstance(live_span.owner, LdvSpanProcessor):
            live_span.owner.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver everything; as that of a processor for one Logboek."""
        return self.flush(min(timeout_millis / 1_000, self.flush_seconds), patient=False)

    def flush(self, timeout_seconds: float, *, patient: bool = True) -> bool:
        """Deliver what is pending, of all tenants, within this time together."""
        end = time.monotonic() + timeout_seconds
        processors = self.processors.all().values()
        committed = [processor.settle(max(0.0, end - time.monotonic())) for processor in processors]
        deliveries = [processor.delivery for processor in processors]
        for delivery in deliveries:
            # All begin at once; the slowest is waited for.
            delivery.flush(0.0, patient=patient)
        settled = committed + [
            delivery.flush(max(0.0, end - time.monotonic()), patient=patient) for delivery in deliveries
        ]
        return all(settled)

    def shutdown(self) -> None:
        """Deliver what is pending, and go on: another provider may take the place of the one that was shut down."""
        self.flush(self.flush_seconds)

    def close(self) -> None:
        """Deliver what is pending, at the end of the process; what is logged afterwards is for the next one to send."""
        if self._sweep is not None:
            self._sweep.ask_to_stop()
        self.flush(self.flush_seconds)
        deliveries = [processor.delivery for processor in self.processors.all().values()]
        for delivery in deliveries:
            # All end at once; then it is waited for together, and no longer than for one.
            if isinstance(delivery, DurableDelivery):
                delivery.ask_to_stop()
        end = time.monotonic() + _STOP_SECONDS
        for delivery in deliveries:
            if isinstance(delivery, DurableDelivery):
                delivery.shutdown(0.0, last_words=True, stop_seconds=max(0.0, end - time.monotonic()))

    def health(self) -> Health:
        """Return how logging is doing: of all tenants together, and of each."""
        processors = self.processors.all()
        healths = {
            tenant_id: health_of(
                processor.delivery.stats(), logboek=self.processors.logboek_of(tenant_id), flags=processor.flags
            )
            for tenant_id, processor in processors.items()
        }
        overlooked: dict[str, OverlookedAttribute] = {}
        left_out: dict[str, None] = {}
        for processor in processors.values():
            left_out |= processor.maker.left_out
            for attribute in processor.overlooked.report():
                spans = attribute.spans + (overlooked[attribute.name].spans if attribute.name in overlooked else 0)
                overlooked[attribute.name] = msgspec.structs.replace(attribute, spans=spans)
        return msgspec.structs.replace(
            health_of_all(healths),
            unmatched_rules=self.mapper.unmatched(),
            overlooked=tuple(overlooked.values()),
            resource_left_out=tuple(left_out),
        )


def _spool_bases(common: Settings, file: LogboekenFile) -> dict[str, Path]:
    """Return the directory of the spools of each tenant, by id."""
    each = {tenant.id: tenant_settings(common, file, tenant.id) for tenant in file.content.tenants}
    return {tenant_id: spool_base(spool_root(settings), settings.logboek) for tenant_id, settings in each.items()}


def _warn_about_files(tenants: int) -> None:
    """Say at the start when all tenants at once would have more files open than this process may."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = tenants * _FILES_OF_TENANT + _FILES_OF_SERVICE
    if most != resource.RLIM_INFINITY and most < wanted:
        _logger.warning(
            "This process may have %d files open, and %d tenants that are busy at once need some %d: then records are "
            "refused. Raise the limit (`ulimit -n`, LimitNOFILE= of systemd).",
            most,
            tenants,
            wanted,
        )

"""`LdvSpanProcessor`: every Actie that ends becomes a Logregel and goes to delivery."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.level import Delivery
from ldv_otel._internal.parties.parties import Parties, parties_for
from ldv_otel._internal.privacy.pseudonyms import DataSubject, Pseudonymiser
from ldv_otel._internal.record.actie import ExceptionFacts, LogregelMaker, SpanFacts, child_of, interrupted, is_actie
from ldv_otel._internal.record.builder import resource_text
from ldv_otel._internal.record.logregel import Logregel, Status, encode_logregel
from ldv_otel._internal.sdk import span_state as live
from ldv_otel._internal.sdk import span_subjects as told
from ldv_otel._internal.sdk._private import cut_attributes, uninstrumented
from ldv_otel._internal.sdk.extensions import Extensions, load_extensions
from ldv_otel._internal.sdk.inbound_context import restarted_from
from ldv_otel._internal.sdk.peers import called_address
from ldv_otel._internal.sdk.span_rules import SpanMapper, mapper_for
from ldv_otel._internal.times.instants import ms_from_ns
from ldv_otel.attributes import (
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    NAMESPACE,
    PROCESSING_ACTIVITY_ID,
    Flag,
)
from ldv_otel.errors import LogboekUnavailable

if TYPE_CHECKING:
    from ldv_otel._internal.delivery.sink import Sink

# What sets logging up, and what only some Acties need, is imported where it is used: `import ldv_otel` stays light.
# ruff: noqa: PLC0415

_logger = logging.getLogger(__name__)

_STATUS: Final = {StatusCode.UNSET: Status.UNSET, StatusCode.OK: Status.OK, StatusCode.ERROR: Status.ERROR}
_FAILED: Final = StatusCode.ERROR


def maker_for(settings: Settings) -> LogregelMaker:
    """Return what makes records, with the keys of the settings.

    Raises:
        ConfigurationError: There are no keys, or they cannot be used.
    """
    from ldv_otel._internal.privacy.key_file import keys_for

    pseudonymiser = Pseudonymiser(keys_for(settings), settings.pseudonymous_types)
    return LogregelMaker(pseudonymiser.subject, exception_messages=settings.exception_messages)


def _delivery(settings: Settings, sink: Sink) -> Delivery:
    if settings.delivery == "memory":
        from ldv_otel._internal.delivery.losses import LossWriter
        from ldv_otel._internal.delivery.memory import MemoryDelivery

        return MemoryDelivery(
            sink, queue_records=settings.queue_records, quiet=uninstrumented, on_loss=LossWriter(settings)
        )
    from ldv_otel._internal.delivery.durable import DurableDelivery
    from ldv_otel._internal.delivery.paths import spool_base, spool_root

    delivery = DurableDelivery(
        sink,
        spool_base(spool_root(settings), settings.logboek),
        level=settings.delivery,
        confirm_seconds=settings.confirm_seconds,
        quiet=uninstrumented,
    )
    delivery.start_draining()
    return delivery


class LdvSpanProcessor(SpanProcessor):
    """Logs every Actie, sampled or not (LDV-A3), and never lets logging break the application (LDV-A8).

    Wire it by hand with `provider.add_span_processor(LdvSpanProcessor(...))` together with `LdvSampler`, without which
    spans that the sampler drops never get here; `ldv_otel.install()` does both.

    Args:
        maker: Makes records of spans.
        delivery: Takes them over; shut down with this processor.
        flush_seconds: How long `shutdown` waits for what is pending.
        mapper: Applies mapping rules to spans of existing instrumentation.
        parties: Whom this application calls; who calls it is up to `LdvPropagator`.
        extensions: What else Acties say in their records.
        expose_subject: Let other exporters see the pseudonym of whom a span is about.
    """

    def __init__(  # noqa: PLR0913  (each is a part that can be had without the others)
        self,
        maker: LogregelMaker,
        delivery: Delivery,
        *,
        flush_seconds: float = 10.0,
        mapper: SpanMapper | None = None,
        parties: Parties | None = None,
        extensions: Extensions | None = None,
        expose_subject: bool = False,
    ) -> None:
        self._maker = maker
        self._mapper = mapper or SpanMapper(None, maker.pseudonymise)
        self.rule_for = self._mapper.rule_for
        self._expose_subject = expose_subject
        self.delivery = delivery
        self.flush_seconds = flush_seconds
        self.parties = parties or Parties()
        self._calls_known_parties = self.parties.calls_known_parties
        self.extensions = extensions or Extensions()
        self._counting = threading.Lock()
        #: How often each flag was set on a record, and `failed` for spans that could not be made into one.
        self.flags: Counter[str] = Counter()
        self.pseudonymise = maker.pseudonymise
        self._writes_ahead = delivery.writes_ahead(None)
        self._shut = False

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return a processor with the delivery level, keys and Logboek that the settings name, opened.

        Raises:
            ConfigurationError: They cannot work; an unreachable server is no such reason, records wait for it.
        """
        from ldv_otel._internal.delivery.sink import make_sink

        sink = make_sink(settings)
        maker = maker_for(settings)
        mapper = mapper_for(settings, maker.pseudonymise)
        parties = parties_for(settings)
        with uninstrumented():
            try:
                sink.open()
            except LogboekUnavailable as error:
                _logger.warning("The service starts without its Logboek; Logregels wait for it. %s", error)
        return cls(
            maker,
            _delivery(settings, sink),
            flush_seconds=settings.flush_seconds,
            mapper=mapper,
            parties=parties,
            extensions=load_extensions(parties, sink.traits.extension),
            expose_subject=settings.expose_subject == "pseudonym",
        )

    def may_be_actie(self, name: str, kind: SpanKind, attributes: Mapping[str, object]) -> bool:
        """Say whether a span that starts like this may be an Actie: by its attributes, or by a mapping rule."""
        return is_actie(attributes) or name == live.SUBJECT_SPAN_NAME or self._mapper.may_match(name, kind)

    @property
    def blocks(self) -> bool:
        """Whether the end of an Actie may wait for a disk or a server."""
        return self.delivery.blocks

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note where the span hangs, who called and whom it calls; `write-ahead` puts the start of an Actie on disk.

        `processing` does the latter itself, because it can refuse to go on, and wait outside an event loop.
        """
        if self._shut:
            return
        known = live.begin(span, self, parent_context)
        if known.owner is not self:
            return
        if known.foreign is not None and span.parent is None and (caller := restarted_from(parent_context)) is not None:
            # As OpenTelemetry does at a public endpoint: the tracing backend can still go from one trace to the other.
            span.add_link(caller)
        if self._calls_known_parties:
            self._note_called_party(span, known)
        if self._writes_ahead and not _is_ours(span):
            try:
                self.begin(known)
            except LogboekUnavailable as error:
                _logger.error("The start of an Actie was refused; only its end will be logged. %s", error)

    def begin(self, known: live.LiveSpan) -> None:
        """Put the start of a span on disk if it is an Actie: all that is known by now, with pseudonyms only.

        Raises:
            LogboekUnavailable: The disk refused.
        """
        records = self._begun(known)
        if not records:
            return
        from ldv_otel._internal.delivery.spool.write_ahead import ActieStart, actie_id

        start = ActieStart(actie_id(records[0]), tuple(records))
        self.delivery.begin(start, more=known.start is not None)
        known.start = records[0]

    def _begun(self, known: live.LiveSpan) -> list[Logregel]:
        """Return what becomes of a span if it is never ended; nothing when it is no Actie."""
        span = known()
        try:
            facts = self._facts(span, known) if span is not None else None
            return [interrupted(record) for record in self._maker.make(facts)] if facts is not None else []
        except Exception:
            # LDV-A8, as in `on_end`.
            _logger.exception("The start of an Actie could not be made; only its end is logged. Please report this.")
            return []

    def add_to_start(self, known: live.LiveSpan, subject: DataSubject) -> None:
        """Put a data subject on disk that was named while the Actie ran.

        Raises:
            LogboekUnavailable: The disk refused.
        """
        start = known.start
        if start is None:
            return
        if not start.data_subject_id:
            self.begin(known)
            return
        from ldv_otel._internal.delivery.spool.write_ahead import ActieStart, actie_id

        child = interrupted(child_of(start, subject, os.urandom(8)))
        self.delivery.begin(ActieStart(actie_id(start), (child,)), more=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Log the span if it is an Actie."""
        try:
            self._end(span)
        except Exception:
            # LDV-A8: the application goes on. The name is left out on purpose: it may quote anything.
            with self._counting:
                self.flags["failed"] += 1
            _logger.exception("A span could not be made into a Logregel; it is lost. Please report this.")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver everything; True only if nothing is pending and nothing was lost."""
        return self.delivery.flush(timeout_millis / 1_000)

    def shutdown(self) -> None:
        """Flush and stop; what cannot be delivered is reported by the delivery."""
        self._shut = True
        self.delivery.shutdown(self.flush_seconds)

    def _end(self, span: ReadableSpan) -> None:
        known = live.find(span)
        if known is None or known.owner is not self or known.ended:
            return
        if self._calls_known_parties:
            self._note_called_party(span, known)
        if known.parent is not None:
            self._learn_upwards(known)
        facts = self._facts(span, known)
        if facts is None:
            known.end(actie=False)
            return
        records = self._maker.make(facts)
        known.end(actie=True, activity=records[0].processing_activity_id)
        if self._expose_subject:
            known.exposed = told.exposed(records)
        for record in records:
            if record.flags:
                with self._counting:
                    self.flags.update(record.flags)
        self._submit(records, known)

    @staticmethod
    def _learn_upwards(known: live.LiveSpan) -> None:
        """Learn whom the spans around this one are about, before its end cuts it off from them."""
        try:
            told.learn_upwards(known.parent)
        except Exception as error:  # noqa: BLE001  (LDV-A8: the record is made all the same; and the shield stays closed)
            # The type only: the rest may quote what may not be shown.
            _logger.error("Whom a span is about could not be found out (%s).", type(error).__name__)
            known.too_many = True

    def _facts(self, span: ReadableSpan, known: live.LiveSpan) -> SpanFacts | None:
        """Return what is known of a span as it is now; None when it is no Actie."""
        seen = told.learn(known, span)
        if seen.rule is None and known.activity is None and not known.subjects and not is_actie(seen.attributes):
            return None
        facts = span_facts(span, seen.attributes, known)
        if known.told_in_trace:
            told.take_out(facts, known)
        if seen.rule is not None:
            self._mapper.apply(seen.rule, seen.identifiers, facts)
        return facts

    def _note_called_party(self, span: ReadableSpan, known: live.LiveSpan) -> None:
        """Remember where the party that a span calls can be asked; some instrumentations name it only at the end."""
        if span.kind in live.OUTBOUND:
            host, port = called_address(live.attributes_of(span))
            if host and (read_api := self.parties.read_api(host, port)):
                known.add_read_api(read_api)

    def _submit(self, records: Sequence[Logregel], known: live.LiveSpan) -> None:
        try:
            if len(records) == 1:
                self.delivery.submit(records[0], known.level)
            else:
                from ldv_otel._internal.delivery.spool.write_ahead import actie_id

                # With one flush.
                payloads = list(map(encode_logregel, records))
                self.delivery.submit_encoded(payloads, known.level, ended=actie_id(records[0]))
        except LogboekUnavailable as error:
            # `processing` raises it; a span made by hand has nobody to tell but the log.
            known.refused = error
            _logger.error("A Logregel was refused. %s", error)


def _is_ours(span: Span) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name == live.SCOPE


def span_facts(span: ReadableSpan, attributes: Mapping[str, object], known: live.LiveSpan | None) -> SpanFacts:
    """Return what is known of an ended span: what it says itself, and what its live span knows.

    Args:
        attributes: The span's, from `live.attributes_of`.

    Raises:
        ValueError: The span has no context, and so no ids.
    """
    context = span.get_span_context()
    if context is None:
        raise ValueError("a span without a context has no ids")
    code, started = span.status.status_code, span.start_time or 0
    status = _STATUS[code]
    facts = SpanFacts(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        name=span.name,
        start_time_ns=started,
        end_time_ns=span.end_time or started,
        status=status,
        attributes=attributes,
        # Only a failure's exception enters the record, and `events` makes a tuple each time.
        exception=_exception(span.events) if code is _FAILED else None,
        resource=record_of_resource(span.resource),
    )
    if span.dropped_attributes:
        facts.flags = (Flag.ATTRIBUTES_DROPPED,)
    if (cut := cut_attributes(span, attributes)) and _is_cut(cut, attributes, known):
        facts.flags = (*facts.flags, Flag.VALUE_CUT)
    if known is not None:
        _add_known(facts, known)
    return facts


def _is_cut(cut: Sequence[str], attributes: Mapping[str, object], known: live.LiveSpan | None) -> bool:
    """Whether the record may hold a part of a value: who is known by a part of a number is somebody else."""
    given_whole = known is not None and known.activity is not None
    if not given_whole and not is_actie(attributes):
        # An Actie by a mapping rule, which may look anywhere.
        return True
    return any(name.startswith(NAMESPACE) and not (given_whole and name == PROCESSING_ACTIVITY_ID) for name in cut)


def _add_known(facts: SpanFacts, known: live.LiveSpan) -> None:
    if known.activity is not None and facts.attributes.get(PROCESSING_ACTIVITY_ID) != known.activity:
        # Span limits may have cut or dropped it; the record keeps what `processing` was given.
        facts.attributes = {**facts.attributes, PROCESSING_ACTIVITY_ID: known.activity}
    if known.ids_repeated:
        facts.flags = (*facts.flags, Flag.SPAN_ID_REPEATED)
    if extended := known.extended():
        facts.extended = known.owner.extensions.record_attributes(extended, ms_from_ns(facts.start_time_ns))
    facts.subjects = known.subjects
    facts.exception = known.exception or facts.exception
    facts.outbound_span_ids = tuple(known.outbound)
    facts.read_apis = known.read_apis
    facts.enclosing = known.parent.as_enclosing() if known.parent is not None else None
    if facts.enclosing is None:
        facts.foreign = known.caller()


def record_of_resource(resource: Resource) -> str:
    """Return the record's form of a resource; hashing a resource costs more than this, so it is known by identity."""
    global _last_resource  # noqa: PLW0603  (a cache of one: nearly every process has a single resource)
    known, text = _last_resource
    if known is not resource:
        text = resource_text(resource.attributes)
        _last_resource = (resource, text)
    return text


_last_resource: tuple[Resource | None, str] = (None, "{}")


def _exception(events: Any) -> ExceptionFacts | None:
    """Return the last exception that was recorded: the one that ended the Actie."""
    for event in reversed(events):
        if isinstance(event, Event) and event.name == "exception" and event.attributes:
            found = event.attributes
            return ExceptionFacts(
                type=str(found.get(EXCEPTION_TYPE, "")),
                stacktrace=str(found.get(EXCEPTION_STACKTRACE, "")),
                message=str(found.get(EXCEPTION_MESSAGE, "")),
            )
    return None

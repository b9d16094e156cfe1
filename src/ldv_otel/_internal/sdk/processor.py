"""`LdvSpanProcessor` makes the Logregels of every Actie that ends, and hands them to delivery."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Self

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.level import Delivery
from ldv_otel._internal.parties.parties import Parties, parties_for
from ldv_otel._internal.privacy.pseudonyms import DataSubject, Pseudonymiser
from ldv_otel._internal.record.actie import LogregelMaker, is_actie
from ldv_otel._internal.record.builder import child_of, interrupted, redacted
from ldv_otel._internal.record.logregel import Logregel, actie_id, encode_logregel
from ldv_otel._internal.sdk import _private, span_state, span_subjects
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.extensions import Extensions, load_extensions
from ldv_otel._internal.sdk.inbound_context import restarted_from
from ldv_otel._internal.sdk.peers import called_address
from ldv_otel._internal.sdk.span_facts import facts_of
from ldv_otel._internal.sdk.span_rules import SpanMapper, mapper_for
from ldv_otel._internal.sdk.span_state import LiveSpan
from ldv_otel.attributes import FLAGS
from ldv_otel.errors import LogboekUnavailable

if TYPE_CHECKING:
    from ldv_otel._internal.delivery.sink import Sink

# What sets logging up, and what only some Acties need, is imported where it is used: `import ldv_otel` stays light.

_logger = logging.getLogger(__name__)

#: Counted with the flags: spans that could not be made into a record.
_FAILED: Final = "failed"


def maker_for(settings: Settings) -> LogregelMaker:
    """Return a maker of records, with the keys of the settings.

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
        parties: The parties that this application calls; `LdvPropagator` identifies those that call it.
        extensions: They add attributes to records.
        expose_subject: Let other exporters see the pseudonyms of a span's data subjects.

    Attributes:
        flags: How often each flag was set on a record, and `failed` for spans that could not be made into one.
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
        self.flags: Counter[str] = Counter()
        self.pseudonymise = maker.pseudonymise
        self.writes_ahead = delivery.writes_ahead(None)
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
        """Return whether a span that starts like this may be an Actie: by its attributes, or by a mapping rule."""
        return is_actie(attributes) or name == span_state.SUBJECT_SPAN_NAME or self._mapper.may_match(name, kind)

    @property
    def blocks(self) -> bool:
        """Whether the end of an Actie may wait for a disk or a server."""
        return self.delivery.blocks

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Begin a live span with its caller and called party; at level `write-ahead` commit the start of an Actie.

        `processing` commits its start itself, because it can refuse to go on, and wait outside an event loop.
        """
        if self._shut:
            return
        live_span = span_state.begin(span, self, parent_context)
        if live_span.owner is not self:
            return
        if (
            live_span.foreign is not None
            and span.parent is None
            and (caller := restarted_from(parent_context)) is not None
        ):
            # As OpenTelemetry does at a public endpoint: the tracing backend can still go from one trace to the other.
            span.add_link(caller)
        if self._calls_known_parties:
            self._note_called_party(span, live_span)
        if self.writes_ahead and not _is_of_processing(span):
            try:
                self.begin(live_span)
            except LogboekUnavailable as error:
                _logger.error("The start of an Actie was refused; only its end will be logged. %s", error)

    def begin(self, live_span: LiveSpan) -> None:
        """Commit the start of a span if it is an Actie: everything known by now, with pseudonyms only.

        Raises:
            LogboekUnavailable: The disk refused.
        """
        records = self._records_of_start(live_span)
        if not records:
            return
        from ldv_otel._internal.delivery.spool.write_ahead import ActieStart

        start = ActieStart(actie_id(records[0]), tuple(records))
        self.delivery.begin(start, more=live_span.record.start is not None)
        live_span.record.start = records[0]

    def _records_of_start(self, live_span: LiveSpan) -> list[Logregel]:
        """Return the records that stand if the span is never ended; none when it is no Actie."""
        span = live_span()
        try:
            if span is None:
                return []
            snapshot = live_span.look(span)
            facts = facts_of(span, snapshot, live_span)
            if facts is None:
                return []
            if snapshot.rule is not None:
                self._mapper.apply(snapshot.rule, snapshot.identifiers, facts)
            return [interrupted(record) for record in self._maker.make(facts)]
        except Exception:
            # LDV-A8, as in `on_end`.
            _logger.exception("The start of an Actie could not be made; only its end is logged. Please report this.")
            return []

    def add_to_start(self, live_span: LiveSpan, subject: DataSubject) -> None:
        """Commit a data subject that was named while the Actie ran.

        Raises:
            LogboekUnavailable: The disk refused.
        """
        start = live_span.record.start
        if start is None:
            return
        if not start.data_subject_id:
            self.begin(live_span)
            return
        from ldv_otel._internal.delivery.spool.write_ahead import ActieStart

        # The start was made before this data subject was named, and may quote the identifier.
        parent = redacted(start, live_span.known_subjects.known_redactor())
        child = interrupted(child_of(parent, subject, os.urandom(8)))
        self.delivery.begin(ActieStart(actie_id(start), (child,)), more=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Log the span if it is an Actie."""
        try:
            self._end(span)
        except Exception:
            # LDV-A8: the application goes on. The name is left out on purpose: it may quote anything.
            with self._counting:
                self.flags[_FAILED] += 1
            _logger.exception("A span could not be made into a Logregel; it is lost. Please report this.")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver everything; True only if nothing is pending and nothing was lost."""
        return self.delivery.flush(timeout_millis / 1_000)

    def shutdown(self) -> None:
        """Flush and stop; what cannot be delivered is reported by the delivery."""
        self._shut = True
        self.delivery.shutdown(self.flush_seconds)

    def _end(self, span: ReadableSpan) -> None:
        live_span = span_state.find(span)
        if live_span is None or live_span.owner is not self or live_span.ended:
            return
        if self._calls_known_parties:
            self._note_called_party(span, live_span)
        if live_span.parent is not None:
            self._look_upwards(live_span.parent, live_span)
        snapshot = live_span.look(span)
        facts = facts_of(span, snapshot, live_span)
        if facts is None:
            live_span.end(actie=False)
            return
        if snapshot.rule is not None:
            self._mapper.apply(snapshot.rule, snapshot.identifiers, facts)
        records = self._maker.make(facts)
        # Before delivery, which may wait for a disk: other threads start children meanwhile.
        live_span.end(actie=True, activity=records[0].processing_activity_id)
        if self._expose_subject:
            live_span.known_subjects.exposed = span_subjects.exposed_attributes(records)
        if len(records) > 1 or FLAGS in records[0].attributes:
            self._count_flags(records)
        try:
            if len(records) == 1:
                self.delivery.submit(records[0], live_span.record.level)
            else:
                self._submit_together(records, live_span)
        except LogboekUnavailable as error:
            # `processing` raises it; a span made by hand has no caller of ours, so only the log shows it.
            live_span.record.refused = error
            _logger.error("A Logregel was refused. %s", error)

    def _count_flags(self, records: Sequence[Logregel]) -> None:
        with self._counting:
            for record in records:
                self.flags.update(record.flags)

    @staticmethod
    def _look_upwards(parent: LiveSpan, live_span: LiveSpan) -> None:
        """Have the shield learn of the spans around one that ends, before its end cuts it off from them."""
        try:
            parent.look_upwards()
        except Exception as error:  # noqa: BLE001  (LDV-A8: the record is made all the same)
            # The type only: the rest may quote an identifier. And the shield stays closed.
            _logger.error("The data subjects of a span could not be found out (%s).", type(error).__name__)
            live_span.known_subjects.too_many = True

    def _note_called_party(self, span: ReadableSpan, live_span: LiveSpan) -> None:
        """Keep where the party that a span calls can be read; some instrumentations name the party only at the end."""
        if span.kind in span_state.OUTBOUND:
            host, port = called_address(_private.attributes(span))
            if host and (read_api := self.parties.read_api(host, port)):
                live_span.add_read_api(read_api)

    def _submit_together(self, records: Sequence[Logregel], live_span: LiveSpan) -> None:
        """Hand all records of an Actie to delivery, for which it needs one flush."""
        payloads = list(map(encode_logregel, records))
        self.delivery.submit_encoded(payloads, live_span.record.level, ended=actie_id(records[0]))


def _is_of_processing(span: Span) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name == span_state.SCOPE

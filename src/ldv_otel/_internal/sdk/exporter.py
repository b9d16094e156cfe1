"""`ClickHouseSpanExporter` stores the Acties among exported spans, for services that wire the SDK by hand."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Self

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.sink import Sink, make_sink
from ldv_otel._internal.delivery.write_gates import reasons_to_refuse, stray_bsn_in
from ldv_otel._internal.privacy.redaction import Identifier, TraceIdentifiers
from ldv_otel._internal.record.actie import LogregelMaker, activity_of, identifiers_in, is_actie
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.overlooked import OverlookedAttributes
from ldv_otel._internal.record.span_facts import EnclosingActie, SpanFacts
from ldv_otel._internal.sdk import _private, span_state
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.inbound_context import foreign_in
from ldv_otel._internal.sdk.processor import maker_for
from ldv_otel._internal.sdk.span_facts import bare_facts_of, facts_of
from ldv_otel._internal.sdk.span_rules import SpanMapper, SpanSnapshot, mapper_for
from ldv_otel.attributes import Flag
from ldv_otel.errors import LdvError

_logger = logging.getLogger(__name__)


class ClickHouseSpanExporter(SpanExporter):
    """Stores the Acties among the spans it is given, in `SimpleSpanProcessor` or `BatchSpanProcessor`.

    It has less than `LdvSpanProcessor`: the SDK hands exporters sampled spans only; `BatchSpanProcessor` drops spans
    when its queue is full and forgets a batch that failed; a subject named with `data_subject()` needs an
    `LdvSpanProcessor` on the provider; and an Actie whose parent span is not in the same export keeps the id of that
    span as parent, Actie or not. Prefer `install()`.

    Args:
        sink: Where to; the exporter opens and closes it.
        maker: Makes records of spans.
        mapper: Applies mapping rules to spans of existing instrumentation.
        refuses: Returns why a record is not to be stored, empty text for one that is; by default what the maker's
            policy for stray BSNs says.
    """

    def __init__(
        self,
        sink: Sink,
        maker: LogregelMaker,
        *,
        mapper: SpanMapper | None = None,
        refuses: Callable[[Logregel], str] | None = None,
    ) -> None:
        self._sink = sink
        self._maker = maker
        self._refuses = refuses or (stray_bsn_in if maker.stray.policy == "refuse" else None)
        self._mapper = mapper or SpanMapper(None, maker.pseudonymise)
        self._writer_id = new_writer_id()
        self._next_seq = 0
        self._overlooked = OverlookedAttributes(_logger)
        self._sending = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return an exporter to the Logboek that the settings name.

        Raises:
            ConfigurationError: It cannot work like this.
        """
        maker = maker_for(settings)
        refuses = reasons_to_refuse(settings, uninstrumented)
        return cls(make_sink(settings), maker, mapper=mapper_for(settings, maker.pseudonymise), refuses=refuses)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Store the Acties among these spans; SUCCESS means that the Logboek confirmed each of them."""
        refused, reasons = 0, list[str]()
        try:
            with self._sending, uninstrumented():
                made = self._records(spans)
                # Here, and not by the sink: one of them must not cost the others.
                reasons = [self._refuses(record) if self._refuses is not None else "" for record in made]
                records = [record for record, reason in zip(made, reasons, strict=True) if not reason]
                refused = len(made) - len(records)
                if records:
                    self._sink.open()
                    batch = number_batch(self._writer_id, self._next_seq, records)
                    self._next_seq += len(records)
                    self._sink.send(batch)
        except LdvError as error:
            _logger.error(
                "%d spans could not be logged, and this processor will not try again: %s", len(spans), str(error)
            )
            return SpanExportResult.FAILURE
        if refused:
            _logger.error(
                "%d Logregels were refused, and this processor will not try again. %s",
                refused,
                " ".join(sorted({reason for reason in reasons if reason})),
            )
        return SpanExportResult.FAILURE if refused else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the Logboek."""
        self._sink.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  (the SDK's signature)
        """Return True: `export` keeps nothing back."""
        return True

    def _records(self, spans: Sequence[ReadableSpan]) -> list[Logregel]:
        exported = _ExportedSpans(spans)
        snapshots = [self._snapshot(span) for span in spans]
        # All identifiers of a trace before its first record: a span may quote the data subject of another one.
        identifiers = TraceIdentifiers()
        for span, snapshot in zip(spans, snapshots, strict=True):
            if not isinstance(snapshot, Exception):
                identifiers.add(_trace_id(span), _identifiers_of(span, snapshot))
        records = []
        for span, snapshot in zip(spans, snapshots, strict=True):
            try:
                facts = self._facts(span, snapshot, identifiers, exported)
            except Exception as error:  # LDV-A8: one span must not cost the others' records, nor its own
                records.extend(self._maker.bare(bare_facts_of(span, span_state.find(span)), error))
            else:
                records.extend(self._maker.make(facts) if facts is not None else ())
        return records

    def _facts(
        self,
        span: ReadableSpan,
        snapshot: SpanSnapshot | Exception,
        identifiers: TraceIdentifiers,
        exported: _ExportedSpans,
    ) -> SpanFacts | None:
        if isinstance(snapshot, Exception):
            raise snapshot
        live_span = span_state.find(span)
        facts = facts_of(span, snapshot, live_span, self._maker)
        if facts is None:
            self._overlooked.add(snapshot.attributes)
            return None
        facts.redactor = identifiers.redactor(facts.trace_id, _identifiers_of(span, snapshot))
        if snapshot.rule is not None:
            self._mapper.apply(snapshot.rule, snapshot.identifiers, facts)
        if live_span is None:
            exported.add_relations(facts, span)
        return facts

    def _snapshot(self, span: ReadableSpan) -> SpanSnapshot | Exception:
        """Return the span as it is, or why that cannot be found out: one span must not cost the others' records."""
        try:
            attributes, length_limit = _private.limited_attributes(span)
            rule = self._mapper.rule_for(span, attributes)
            identifiers = rule.identifiers(attributes) if rule is not None else ()
            return SpanSnapshot(span.name, attributes, length_limit, rule, identifiers)
        except Exception as error:
            return error


class _ExportedSpans:
    """The tree of the spans in one export, from which an Actie without a live span gets its relations."""

    def __init__(self, spans: Sequence[ReadableSpan]) -> None:
        #: A child has its parent's context object; only a parent rebuilt from its ids is found by them.
        self._by_context = {id(span.context): span for span in spans}
        self._by_ids: dict[tuple[int, int], list[ReadableSpan]] = defaultdict(list)
        for span in spans:
            if span.context is not None:
                self._by_ids[span.context.trace_id, span.context.span_id].append(span)
        #: The ids that travelled to other parties, by the Actie (as `id()`) from which they did.
        self._outbound: dict[int, list[bytes]] = defaultdict(list)
        for span in spans:
            if span.kind in span_state.OUTBOUND and (actie := self._actie_above(span)) is not None:
                self._outbound[id(actie)].append(_id(span))

    def add_relations(self, facts: SpanFacts, span: ReadableSpan) -> None:
        """Add what an `LdvSpanProcessor` would have known, as far as the spans of this export show it."""
        facts.outbound_span_ids = tuple(self._outbound.get(id(span), ()))
        if span.context is not None and len(self._by_ids[span.context.trace_id, span.context.span_id]) > 1:
            facts.flags = (*facts.flags, Flag.SPAN_ID_REPEATED)
        actie = self._actie_above(span)
        if actie is not None:
            facts.enclosing = EnclosingActie(_id(actie), str(activity_of(_private.attributes(actie))))
            return
        top = span
        while (above := self._parent_of(top)) is not None:
            top = above
        if top.parent is not None and top.parent.is_remote:
            facts.foreign = foreign_in(top.parent)
        elif span.parent is not None:
            facts.enclosing = EnclosingActie(span.parent.span_id.to_bytes(8, "big"), "")

    def _parent_of(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return a span's parent, if it is in this export and can be told from others with its ids."""
        if span.parent is None or span.parent.is_remote:
            return None
        parent = self._by_context.get(id(span.parent))
        if parent is not None:
            return parent
        same_ids = self._by_ids.get((span.parent.trace_id, span.parent.span_id), ())
        return same_ids[0] if len(same_ids) == 1 and same_ids[0] is not span else None

    def _actie_above(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the nearest enclosing Actie in this export."""
        above = self._parent_of(span)
        while above is not None and not is_actie(_private.attributes(above)):
            above = self._parent_of(above)
        return above


def _identifiers_of(span: ReadableSpan, snapshot: SpanSnapshot) -> list[Identifier]:
    """Return the identifiers in a span, with those that its `LdvSpanProcessor`, if there is one, knows of its trace."""
    identifiers: list[Identifier] = [*identifiers_in(snapshot.attributes), *snapshot.identifiers]
    live_span = span_state.find(span)
    if live_span is not None:
        identifiers += [*(live_span.known_subjects.own or ()), *live_span.known_subjects.trace.long()]
    return identifiers


def _trace_id(span: ReadableSpan) -> bytes:
    return span.context.trace_id.to_bytes(16, "big") if span.context is not None else b""


def _id(span: ReadableSpan) -> bytes:
    return span.context.span_id.to_bytes(8, "big") if span.context is not None else b""

"""`ClickHouseSpanExporter`, for who wires the SDK by hand."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Self

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.sink import Sink, make_sink
from ldv_otel._internal.record.actie import EnclosingActie, LogregelMaker, SpanFacts, activity_of, is_actie
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.sdk import span_state as live
from ldv_otel._internal.sdk._private import uninstrumented
from ldv_otel._internal.sdk.inbound_context import foreign_in
from ldv_otel._internal.sdk.processor import maker_for, span_facts
from ldv_otel._internal.sdk.span_rules import SpanMapper, mapper_for
from ldv_otel.errors import LdvError

_logger = logging.getLogger(__name__)


class ClickHouseSpanExporter(SpanExporter):
    """Stores the Acties among the spans it is given, in `SimpleSpanProcessor` or `BatchSpanProcessor`.

    What that gives up against `LdvSpanProcessor`: the SDK hands exporters sampled spans only; `BatchSpanProcessor`
    drops spans when its queue is full and forgets a batch that failed; a subject named with `data_subject()` needs an
    `LdvSpanProcessor` on the provider; and an Actie whose parent span is not in the same export keeps the id of that
    span as parent, Actie or not. Prefer `install()`.

    Args:
        sink: Where to; the exporter opens and closes it.
        maker: Makes records of spans.
        mapper: Applies mapping rules to spans of existing instrumentation.
    """

    def __init__(self, sink: Sink, maker: LogregelMaker, *, mapper: SpanMapper | None = None) -> None:
        self._sink = sink
        self._maker = maker
        self._mapper = mapper or SpanMapper(None, maker.pseudonymise)
        self._writer_id = new_writer_id()
        self._next_seq = 0
        self._sending = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return an exporter to the Logboek that the settings name.

        Raises:
            ConfigurationError: It cannot work like this.
        """
        maker = maker_for(settings)
        return cls(make_sink(settings), maker, mapper=mapper_for(settings, maker.pseudonymise))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Store the Acties among these spans; SUCCESS means that the Logboek confirmed each of them."""
        try:
            with self._sending, uninstrumented():
                records = self._records(spans)
                if records:
                    self._sink.open()
                    batch = number_batch(self._writer_id, self._next_seq, records)
                    self._next_seq += len(records)
                    self._sink.send(batch)
        except LdvError as error:
            _logger.error("%d spans could not be logged, and this processor will not try again: %s", len(spans), error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Let go of the Logboek."""
        self._sink.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  (the SDK's signature)
        """Return True: `export` keeps nothing back."""
        return True

    def _records(self, spans: Sequence[ReadableSpan]) -> list[Logregel]:
        parents = {span.context.span_id: span for span in spans if span.context is not None}
        outbound = _outbound(parents)
        records = []
        for span in spans:
            attributes = live.attributes_of(span)
            rule = self._mapper.rule_for(span, attributes)
            if rule is not None or is_actie(attributes):
                live_span = live.find(span)
                facts = span_facts(span, attributes, live_span)
                if rule is not None:
                    self._mapper.apply(rule, rule.identifiers(attributes), facts)
                if live_span is None and span.context is not None:
                    _add_relations(facts, span, parents)
                    facts.outbound_span_ids = tuple(outbound.get(span.context.span_id, ()))
                records.extend(self._maker.make(facts))
        return records


def _add_relations(facts: SpanFacts, span: ReadableSpan, spans: Mapping[int, ReadableSpan]) -> None:
    """Add what an `LdvSpanProcessor` would have known, as far as the spans of this export tell it."""
    actie = _actie_above(span, spans)
    if actie is not None:
        facts.enclosing = EnclosingActie(_id(actie), str(activity_of(live.attributes_of(actie))))
        return
    top = span
    while top.parent is not None and not top.parent.is_remote and top.parent.span_id in spans:
        top = spans[top.parent.span_id]
    if top.parent is not None and top.parent.is_remote:
        facts.foreign = foreign_in(top.parent)
    elif span.parent is not None:
        facts.enclosing = EnclosingActie(span.parent.span_id.to_bytes(8, "big"), "")


def _outbound(spans: Mapping[int, ReadableSpan]) -> dict[int, list[bytes]]:
    """Return the ids that travelled to other parties, by the span id of the Actie from which they did."""
    found = defaultdict(list)
    for span in spans.values():
        if span.kind in live.OUTBOUND and (actie := _actie_above(span, spans)) is not None:
            found[int.from_bytes(_id(actie), "big")].append(_id(span))
    return found


def _actie_above(span: ReadableSpan, spans: Mapping[int, ReadableSpan]) -> ReadableSpan | None:
    """Return the nearest enclosing Actie in this export."""
    below = span
    while below.parent is not None and not below.parent.is_remote and below.parent.span_id in spans:
        below = spans[below.parent.span_id]
        if is_actie(live.attributes_of(below)):
            return below
    return None


def _id(span: ReadableSpan) -> bytes:
    return span.context.span_id.to_bytes(8, "big") if span.context is not None else b""
